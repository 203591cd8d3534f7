"""Failed runs whose failure no callback has claimed: they are claimed from what Airflow's API says.

A killed task calls nothing back, and Airflow may never call the Dag-level callback either. Then there is no claim.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from dag_retry._airflow import section
from dag_retry._airflow.session import Airflow
from dag_retry._redis.counter import AttemptCounter
from dag_retry._redis.due import DueRuns
from dag_retry._retry import TAG
from dag_retry._types import Claim, FailedTry, RunRecord, Status, Verdict
from dag_retry.sweeper.failed_runs import FailedRun, FailedRuns

log = logging.getLogger(__name__)


class UnclaimedRuns:
    """The runs that have failed without a claim.

    :param airflow: the session with Airflow's REST API. Each run has its whole deadline.
    :param counter: claims their failures.
    :param due_runs: records that their failures are unclaimed.
    :param grace: how long the callbacks of a failed run may take to come.
    :param holder: who asks: host and process.
    """

    def __init__(
        self,
        airflow: Airflow,
        counter: AttemptCounter,
        due_runs: DueRuns,
        *,
        grace: timedelta,
        holder: str,
    ) -> None:
        self._airflow = airflow
        self._counter = counter
        self._due_runs = due_runs
        self._grace = grace
        self._holder = holder

    def between(
        self, since: datetime, until: datetime, known: Collection[str]
    ) -> Iterator[tuple[FailedRun, Claim | None]]:
        """Yield the runs that ended in an interval, with a claim of each failure; None if nobody left a policy.

        :param since: the start of the interval.
        :param until: the end of the interval.
        :param known: the Dags that Redis knows. The Dags with our tag are added.
        """
        runs = FailedRuns(self._airflow.api.client)
        # All of them first: a run that is cleared is failed no more, and would move another to a page that was read.
        for run in list(runs.between(since, until, {*known, *runs.tagged(TAG)})):
            self._airflow.deadline.renew()
            record = self._counter.read(run.dag_id, run.run_id)
            if _is_in_hand(record, run) or self._was_ended_by_hand(run) or self._was_stranded(record, run):
                continue
            if claim := self._claim(record, run):
                if claim.verdict is not Verdict.LOST:
                    yield run, claim
            elif self._due_runs.miss(
                run.dag_id, run.run_id, queued_at=run.queued_ms, grace=self._grace, holder=self._holder
            ):
                yield run, None

    def _was_ended_by_hand(self, run: FailedRun) -> bool:
        """Return whether a person has ended the run. Nobody need retry the run then, nor be alarmed."""
        return self._airflow.api.is_settled(run.dag_id, run.run_id, FailedTry(), since=run.queued_at)

    def _was_stranded(self, record: RunRecord | None, run: FailedRun) -> bool:
        """Queue a run that Airflow has left failed after our clear, and return whether this is such a run."""
        if record is None or record.status is not Status.RETRYING:
            return False
        return self._airflow.api.queue_stranded(run.dag_id, run.run_id, record.failed_try)

    def _claim(self, record: RunRecord | None, run: FailedRun) -> Claim | None:
        """Claim a failure with the policy of the run's record, or else of the section; None if there is no policy.

        The API does not tell the generation. The claim has the least that the generation can be: a person may have
        cleared the run more than once since. So a late callback still wins its own claim.
        """
        max_attempts = (record and record.max_attempts) or section.configured("max_attempts")
        failed_try = max_attempts and self._airflow.api.find_failed_try(run.dag_id, run.run_id)
        if not max_attempts or not failed_try:
            return None
        return self._counter.claim(
            run.dag_id,
            run.run_id,
            generation=record.generation + 1 if record else 0,
            max_attempts=max_attempts,
            holder=self._holder,
            level="sweeper",
            failed_try=failed_try,
            clear_options=record.clear_options if record else (),
            own_hooks=record.own_hooks if record else False,
        )


def _is_in_hand(record: RunRecord | None, run: FailedRun) -> bool:
    """Return whether the record speaks of this failure: somebody holds the run, or the run's budget has ended.

    ``lua/miss.lua`` decides. This spares Airflow a question about each of these runs.
    """
    if record is None:
        return False
    return record.due_at != 0 or (record.status is not Status.RETRYING and run.queued_ms <= record.updated_at)
