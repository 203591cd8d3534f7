"""The runs that are due, for sweepers to take."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dag_retry._defaults import NAMESPACE, TTL
from dag_retry._errors import ConfigError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys, run_of
from dag_retry._redis.lifetimes import Lifetimes, ms
from dag_retry._redis.record import record_of, text
from dag_retry._redis.replicas import Replicas
from dag_retry._redis.scripts import Verbs, check_ids, new_claim_id, run_script, script
from dag_retry._types import Claim, Verdict

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

log = logging.getLogger(__name__)


class DueRuns:
    """The runs that are due. Any number of sweepers may take runs at once.

    Every method raises :class:`CounterError` if Redis is unreachable or refuses.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param namespace: the namespace of the counter.
    :param ttl: the TTL of the counter.
    :param wait_replicas: how many replicas must have a run that is taken, as with the counter.
    """

    def __init__(
        self,
        redis_client: Redis | RedisCluster,
        *,
        namespace: str = NAMESPACE,
        ttl: timedelta = TTL,
        wait_replicas: int = 0,
    ) -> None:
        self._redis: Any = redis_client
        self._keys = Keys(namespace)
        self._lifetimes = Lifetimes(ttl)
        self._verbs = Verbs(redis_client, self._keys, self._lifetimes.ttl)
        self._replicas = Replicas(redis_client, self._verbs, wait_replicas)

    def read(self, most: int = 100) -> tuple[list[tuple[str, str]], timedelta | None]:
        """Return the runs that are due, the longest waiting first, and the time until the next run will be due.

        What stands in the index and is no run is taken out.

        :param most: how many runs to return, at most.
        :return: ``(dag_id, run_id)`` of each run, and the time until the next (None if there is none).
        """
        with counter_errors(self._redis):
            wait, *members = run_script(self._redis, script("due"), 1, self._keys.index("active"), most)
            if strange := [member for member in members if not _names_a_run(member)]:
                log.warning("Dag retry: no runs, and so taken out of the index of due runs: %r", strange)
                self._redis.zrem(self._keys.index("active"), *strange)
        runs = [run_of(text(member)) for member in members if member not in strange]
        return runs, timedelta(milliseconds=int(wait)) if wait else None

    def take(self, dag_id: str, run_id: str, *, holder: str) -> Claim | None:
        """Take a run that is due.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks: host and process. The events show it.
        :return: the claim: ``WON`` if the run is to be cleared, else an ending that the hooks were not told of; None if
            another holder has taken the run.
        :raises CounterError: also if the run's record can't be read, or if too few replicas have the claim.
        """
        claim_id = new_claim_id()
        taken, acknowledged = self._replicas.run(
            "take", dag_id, run_id, lease=self._lifetimes.lease, claim_id=claim_id, holder=holder
        )
        if not taken:
            return None
        verdict, *flat = taken
        record = record_of(dag_id, run_id, dict(zip(flat[::2], flat[1::2], strict=True)))
        assert record is not None  # noqa: S101 (the script gives the whole record)
        claim = Claim(
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
            own_hooks=record.own_hooks,
            status=record.status,
            base=record.base,
        )
        self._replicas.check(claim, acknowledged)
        return claim

    def quarantine(self, dag_id: str, run_id: str, *, pause: timedelta) -> None:
        """Put a run aside whose record can't be read. It needs a human.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param pause: how long until a sweeper looks at the run again.
        """
        indexes = [self._keys.index("active"), self._keys.index("attention")]
        call = (f"{dag_id}:{run_id}", ms(pause), self._lifetimes.shared_ttl)
        with counter_errors(self._redis):
            run_script(self._redis, script("quarantine"), len(indexes), *indexes, *call)

    def miss(
        self, dag_id: str, run_id: str, *, queued_at: int, grace: timedelta, holder: str, run_started: int = 0
    ) -> bool:
        """Record that a run failed and that no callback claimed the failure, unless a callback has.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param queued_at: when Airflow last queued the run, in ms since the epoch.
        :param grace: how long after the record's last change a callback may still come.
        :param holder: who found the run. The events show it.
        :param run_started: when the run began, in ms since the epoch; 0 if unknown.
        :return: whether the run is unclaimed from now on.
        """
        times = {"grace": ms(grace), "queued_at": queued_at, "run_started": run_started or None}
        return bool(self._verbs.run("miss", dag_id, run_id, **times, holder=holder))


def _names_a_run(member: str | bytes) -> bool:
    """Return whether a member of the index can be a run's. Somebody else may have written others."""
    name = text(member)
    try:
        check_ids(*run_of(name))
    except ConfigError:
        return False
    return not isinstance(member, bytes) or name.encode() == member
