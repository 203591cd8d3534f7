"""Failed runs whose failure no callback has claimed: they are claimed from what Airflow's API says.

A killed task calls nothing back, and Airflow may never call the Dag-level callback either. Then there is no claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from dag_retry._airflow import section
from dag_retry._airflow.client import moment
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._airflow.ways.atomic import AtomicWay, RouteMissingError
from dag_retry._callback.holder import describe_run
from dag_retry._errors import ApiRefused, ApiUnanswered, ApiUnusable
from dag_retry._redis.counter import AttemptCounter
from dag_retry._redis.due import DueRuns
from dag_retry._redis.overview import Overview
from dag_retry._redis.views import Unreadable
from dag_retry._retry import TAG
from dag_retry._types import Claim, FailedTry, RunRecord, Status, Verdict
from dag_retry.sweeper.airflow_runs import AirflowRun, AirflowRuns, TaggedDags

log = logging.getLogger(__name__)

# If Airflow does not answer about a run, looks ask again for so long.
_ASK_AGAIN = timedelta(hours=1)


class UnclaimedRuns:
    """The runs that have failed without a claim.

    :param airflow: the session with Airflow's REST API. Each run has the whole deadline.
    :param counter: claims their failures.
    :param due_runs: records that their failures are unclaimed.
    :param overview: reads what Redis knows of runs.
    :param grace: how long the callbacks of a failed run may take to come.
    :param holder: who asks: host and process.
    """

    def __init__(
        self,
        airflow: Airflow,
        counter: AttemptCounter,
        due_runs: DueRuns,
        overview: Overview,
        *,
        grace: timedelta,
        holder: str,
    ) -> None:
        self._airflow = airflow
        self._counter = counter
        self._due_runs = due_runs
        self._overview = overview
        self._tagged = TaggedDags(airflow, TAG)
        self._grace = grace
        self._holder = holder
        self._reached = datetime.now(timezone.utc)
        self._undecided: list[datetime] = []

    @property
    def looked_until(self) -> datetime:
        """Where the next look begins."""
        return min([self._reached, *self._undecided])

    def between(
        self, since: datetime, until: datetime, time_left: Deadline, check_way: Callable[[], None]
    ) -> Iterator[tuple[AirflowRun, Claim | None]]:
        """Yield the runs that ended in an interval, with a claim of each failure; None if nobody left a policy.

        Airflow is asked for the failed runs of all Dags. Ours are those with our tag, and those that Redis knows.

        :param since: the start of the interval.
        :param until: the end of the interval.
        :param time_left: the look ends when no time is left, but never where it began.
        :param check_way: called if Airflow does not answer about a run. It raises if that is no fault of the run.
        """
        known = self._overview.dag_ids()
        self._undecided = []
        for page in AirflowRuns(self._airflow).ended("failed", since, until):
            ours = [run for run in page if run.dag_id in known or self._tagged.hold(run)]
            records = self._overview.records([(run.dag_id, run.run_id) for run in ours])
            for run, record in zip(ours, records, strict=True):
                if isinstance(record, Unreadable) or _is_in_hand(record, run):
                    continue
                if found := self._examine(run, record, check_way):
                    yield found
                elif record and datetime.fromtimestamp(record.updated_at / 1000, timezone.utc) > until:
                    # While a callback may be on its way, no failure is recorded as unclaimed (`lua/miss.lua`).
                    self._undecided.append(moment(run.ended_at))
                self._reached = moment(run.ended_at)
                if not time_left.left() and self._reached > since:
                    return
            self._reached = moment(page[-1].ended_at)
            if not time_left.left() and self._reached > since:
                return
        self._reached = until

    def _examine(
        self, run: AirflowRun, record: RunRecord | None, check_way: Callable[[], None]
    ) -> tuple[AirflowRun, Claim | None] | None:
        """Claim the failure of a run, or record that it is unclaimed; None if there is nothing to do."""
        self._airflow.deadline.renew()
        try:
            return self._found(run, record)
        except ApiRefused as refusal:
            return None if refusal.reason == "http_404" else self._missed(run, refusal)
        except (ApiUnanswered, ApiUnusable) as error:
            check_way()
            ended_at = moment(run.ended_at)
            if datetime.now(timezone.utc) - ended_at > _ASK_AGAIN:
                return self._missed(run, error)
            log.warning("Dag retry: the next look asks again for %s: %s", _of(run), error)
            self._undecided.append(ended_at)
            return None

    def _found(self, run: AirflowRun, record: RunRecord | None) -> tuple[AirflowRun, Claim | None] | None:
        """Claim the failure of a run, if it is unclaimed."""
        if self._was_ended_by_hand(run) or self._was_stranded(record, run):
            return None
        if claim := self._claim(record, run):
            return None if claim.verdict is Verdict.LOST else (run, claim)
        return self._missed(run)

    def _missed(self, run: AirflowRun, error: Exception | None = None) -> tuple[AirflowRun, None] | None:
        """Record that a failure is unclaimed, unless a callback has claimed it.

        :param run: the run.
        :param error: why Airflow tells no more of the run.
        """
        if not self._due_runs.miss(
            run.dag_id, run.run_id, queued_at=run.queued_ms, grace=self._grace, holder=self._holder
        ):
            return None
        if error:
            log.error("Dag retry: no callback claimed that %s failed, and Airflow tells no more: %s", _of(run), error)
        return run, None

    def _was_ended_by_hand(self, run: AirflowRun) -> bool:
        """Return whether a person has ended the run. Nobody need retry the run then, nor be alarmed."""
        return self._airflow.api.is_settled(run.dag_id, run.run_id, FailedTry(), {}, since=run.queued_at)

    def _was_stranded(self, record: RunRecord | None, run: AirflowRun) -> bool:
        """Queue a run that Airflow has left failed after our clear, and return whether this is such a run."""
        if record is None or record.status is not Status.RETRYING:
            return False
        return self._airflow.api.queue_stranded(run.dag_id, run.run_id, record.failed_try)

    def _claim(self, record: RunRecord | None, run: AirflowRun) -> Claim | None:
        """Claim a failure with the policy of the run's record, or else of the section; None if there is no policy.

        If Redis has no record, it may have forgotten one: the run's clears count then.
        """
        max_attempts = (record and record.max_attempts) or section.configured("max_attempts")
        failed_try = max_attempts and self._airflow.api.find_failed_try(run.dag_id, run.run_id)
        if not max_attempts or not failed_try:
            return None
        return self._counter.claim(
            run.dag_id,
            run.run_id,
            generation=self._generation(record, run),
            max_attempts=max_attempts,
            holder=self._holder,
            level="sweeper",
            failed_try=failed_try,
            clear_options=record.clear_options if record else (),
            own_hooks=record.own_hooks if record else False,
            run_after=moment(run.run_after) if run.run_after else None,
        )

    def _generation(self, record: RunRecord | None, run: AirflowRun) -> int:
        """Return the generation of a run, which only the atomic way tells; else the least that the generation can be.

        A person may have cleared the run more than once since. After a claim of the least a late callback still wins.
        """
        least = record.generation + 1 if record else 0
        try:
            found = AtomicWay(self._airflow.api.client).generation(run.dag_id, run.run_id)
        except RouteMissingError:
            return least
        return max(least, found or 0)


def _of(run: AirflowRun) -> str:
    return describe_run(run.dag_id, run.run_id)


def _is_in_hand(record: RunRecord | None, run: AirflowRun) -> bool:
    """Return whether the record speaks of this failure: somebody holds the run, or the run's budget has ended.

    ``lua/miss.lua`` decides. This spares Airflow a question about each of these runs.
    """
    if record is None:
        return False
    return record.due_at != 0 or (record.status is not Status.RETRYING and run.queued_ms <= record.updated_at)
