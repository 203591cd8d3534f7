"""What is due, and who takes it: the counter, as a sweeper uses it. It knows Redis, and nothing of Airflow or HTTP."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from dag_retry._redis.counter import AttemptCounter
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.record import record_of, text
from dag_retry._redis.scripts import script
from dag_retry._types import Claim, Verdict


class Outbox(AttemptCounter):
    """Every run that somebody must look at, by when. Any number of sweepers may take from it at once.

    Every method raises :class:`CounterError` where Redis is unreachable or refuses.
    """

    def due(self, most: int = 100) -> tuple[list[tuple[str, str]], timedelta | None]:
        """Return the runs that are due, the longest waiting first, and how long it is until the next one is.

        :param most: how many runs to return.
        :return: ``(dag_id, run_id)`` of each, and the time until the next that is not due yet (None: there is none).
        """
        wait, *members = self._eval(script("due"), 1, self._keys.index("due"), most)
        return [_run_of(member) for member in members], timedelta(milliseconds=int(wait)) if wait else None

    def take(self, dag_id: str, run_id: str, *, holder: str) -> Claim | None:
        """Take a run that is due.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks, for the reader: host and process.
        :return: the claim, ``WON`` (the run is to be cleared, unless it has been), or an ending that is to be told;
            None where it is not due any more: another has it.
        """
        claim_id = uuid.uuid4().hex
        taken = self._run("take", dag_id, run_id, self._lifetimes.lease, claim_id, holder)
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
            options=record.options,
        )

    def miss(self, dag_id: str, run_id: str, *, queued_at: int, grace: timedelta, holder: str) -> bool:
        """Record that a run failed and no callback claimed that, unless one has.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param queued_at: when Airflow last queued the run, in ms.
        :param grace: how long after the record's last change a callback may still be on its way.
        :param holder: who noticed, for the reader.
        :return: whether it is unclaimed, and was not known to be.
        """
        return bool(self._run("miss", dag_id, run_id, grace // timedelta(milliseconds=1), queued_at, holder))

    def dag_ids(self) -> set[str]:
        """Return the Dags of the newest 10,000 runs that failed."""
        with counter_errors(self._redis):
            members: Any = self._redis.zrange(self._keys.index("recent"), 0, -1)
        return {dag_id for dag_id, _ in map(_run_of, members)}


def _run_of(member: Any) -> tuple[str, str]:
    # A dag_id holds no `:`, so the first one ends it.
    dag_id, _, run_id = text(member).partition(":")
    return dag_id, run_id
