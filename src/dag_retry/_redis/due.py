"""The runs that are due, and who takes them: the counter as a sweeper uses it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dag_retry._defaults import NAMESPACE, TTL
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys, run_of
from dag_retry._redis.lifetimes import Lifetimes, ms
from dag_retry._redis.record import record_of, text
from dag_retry._redis.scripts import Verbs, new_claim_id, run_script, script
from dag_retry._types import Claim, Verdict

if TYPE_CHECKING:
    from redis import Redis, RedisCluster


class DueRuns:
    """Every run that somebody must look at, by when. Any number of sweepers may take from it at once.

    Every method raises :class:`CounterError` where Redis is unreachable or refuses.

    :param redis_client: the client.
    :param namespace: the counter's.
    :param ttl: the counter's.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = NAMESPACE, ttl: timedelta = TTL) -> None:
        self._redis = redis_client
        self._keys = Keys(namespace)
        lifetimes = Lifetimes(ttl)
        self._lease = lifetimes.lease
        self._verbs = Verbs(redis_client, self._keys, lifetimes.ttl)

    def read(self, most: int = 100) -> tuple[list[tuple[str, str]], timedelta | None]:
        """Return the runs that are due, the longest waiting first, and how long it is until the next one is.

        :param most: how many runs to return.
        :return: ``(dag_id, run_id)`` of each, and the time until the next that is not due yet (None: there is none).
        """
        with counter_errors(self._redis):
            wait, *members = run_script(self._redis, script("due"), 1, self._keys.index("active"), most)
        return [run_of(text(member)) for member in members], timedelta(milliseconds=int(wait)) if wait else None

    def take(self, dag_id: str, run_id: str, *, holder: str) -> Claim | None:
        """Take a run that is due.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks, for the reader: host and process.
        :return: the claim, ``WON`` (the run is to be cleared, unless it has been), or an ending that is to be told;
            None where the run is not due any more: another has it.
        """
        claim_id = new_claim_id()
        taken = self._verbs.run("take", dag_id, run_id, lease=self._lease, claim_id=claim_id, holder=holder)
        if not taken:
            return None
        verdict, *flat = taken
        record = record_of(dag_id, run_id, dict(zip(flat[::2], flat[1::2], strict=True)))
        assert record is not None  # noqa: S101 (the script gives the whole record)
        return Claim(
            verdict=Verdict(text(verdict)),
            reason=record.reason,
            attempt=record.attempt,
            max_attempts=record.max_attempts,
            generation=record.generation,
            claim_id=claim_id,
            dag_id=dag_id,
            run_id=run_id,
            holder=holder,
            failed_try=record.failed_try,
            clear_options=record.clear_options,
        )

    def miss(self, dag_id: str, run_id: str, *, queued_at: int, grace: timedelta, holder: str) -> bool:
        """Record that a run failed and no callback claimed that failure, unless one has.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param queued_at: when Airflow last queued the run, in ms.
        :param grace: how long after the record's last change a callback may still be on its way.
        :param holder: who noticed, for the reader.
        :return: whether the run is unclaimed, and was not known to be.
        """
        return bool(self._verbs.run("miss", dag_id, run_id, grace=ms(grace), queued_at=queued_at, holder=holder))
