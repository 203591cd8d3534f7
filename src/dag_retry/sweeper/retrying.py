"""Runs that Redis calls ``retrying``: whether they have succeeded, or still stand in Airflow's queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from dag_retry._airflow import sdk
from dag_retry._airflow.client import moment
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback.endings import note_ending
from dag_retry._callback.holder import describe_run
from dag_retry._policy.hooks import Hooks
from dag_retry._redis.counter import AttemptCounter
from dag_retry._redis.reads import RunId
from dag_retry._types import Status
from dag_retry.sweeper.airflow_runs import AirflowRun, AirflowRuns

log = logging.getLogger(__name__)

# A run that is queued for so long stands in the heartbeat.
_QUEUED_LONG = timedelta(minutes=5)
_MOST_QUEUED = 100
# A Dag may have thousands of queued runs. One look reads so many pages of them.
_MOST_PAGES = 20


class LostSuccesses:
    """Runs that have succeeded, and whose Dag-level callback never said so.

    :param airflow: the session with Airflow's REST API.
    :param counter: records that they succeeded.
    :param hooks: the hooks to tell.
    """

    def __init__(self, airflow: Airflow, counter: AttemptCounter, hooks: Hooks) -> None:
        self._airflow = airflow
        self._counter = counter
        self._hooks = hooks

    def settle(self, since: datetime, until: datetime, time_left: Deadline, retrying: Mapping[RunId, int]) -> datetime:
        """Settle the runs that succeeded in an interval, and return where the next look begins.

        :param since: the start of the interval.
        :param until: the end of the interval.
        :param time_left: the look ends when no time is left, but never where it began.
        :param retrying: the runs, each with the generation whose failure was claimed.
        """
        if not retrying:
            return until
        dag_ids = {dag_id for dag_id, _ in retrying}
        for page in AirflowRuns(self._airflow).ended("success", since, until, dag_ids):
            for run in page:
                generation = retrying.get((run.dag_id, run.run_id))
                if generation is not None:
                    self._settle(run, generation + 1)
            reached = moment(page[-1].ended_at)
            if not time_left.left() and reached > since:
                return reached
        return until

    def _settle(self, run: AirflowRun, generation: int) -> None:
        """Record that a run succeeded, and tell the hooks.

        :param run: the run.
        :param generation: the least that the run can have. If it has failed since, its record has another.
        """
        record = self._counter.succeed(
            run.dag_id,
            run.run_id,
            generation=generation,
            run_started=moment(run.started_at) if run.started_at else None,
        )
        if record is None:
            return
        sdk.count("succeeded", run.dag_id)
        log.info(
            "Dag retry: %s succeeded on attempt %d of %d. Its callback did not say so.",
            describe_run(run.dag_id, run.run_id),
            record.attempt,
            record.max_attempts,
        )
        self._airflow.deadline.renew()
        context: dict[str, Any] = {"dag_id": run.dag_id, "run_id": run.run_id}
        # A hook that fails is logged. The success is recorded, so nobody tells it again.
        with suppress(Exception):
            self._hooks.tell(context, Status.SUCCEEDED, record, record.reason)
        note_ending(self._airflow, Status.SUCCEEDED, record, record.reason)


def queued_long(airflow: Airflow, retrying: Mapping[RunId, int]) -> list[RunId]:
    """Return the retried runs that Airflow has kept ``queued`` for five minutes: at most 100.

    A Dag that has reached its ``max_active_runs``, and a pool without free slots, leave a run there.

    :param airflow: the session with Airflow's REST API.
    :param retrying: the runs, each with the generation whose failure was claimed.
    """
    if not retrying:
        return []
    before = int((datetime.now(timezone.utc) - _QUEUED_LONG).timestamp() * 1000)
    found: list[RunId] = []
    for page in islice(AirflowRuns(airflow).queued({dag_id for dag_id, _ in retrying}), _MOST_PAGES):
        runs = ((run.dag_id, run.run_id) for run in page if 0 < run.queued_ms <= before)
        found += [run for run in runs if run in retrying]
    return found[:_MOST_QUEUED]
