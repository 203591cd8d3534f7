"""Runs whose clear was confirmed late: they may have ended again since, and a look may have passed over that end.

A look passes over a run whose claim somebody holds. The answer to a clear may be lost, and Airflow may answer again
only after the run has ended once more. Then no later look lists that end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from dag_retry._airflow.session import Airflow
from dag_retry._callback.holder import describe_run
from dag_retry._errors import ApiError, ApiRefused
from dag_retry._redis.overview import Overview
from dag_retry._redis.reads import RunId
from dag_retry._types import Claim, RunRecord, Status
from dag_retry.sweeper.airflow_runs import AirflowRun, AirflowRuns, moment
from dag_retry.sweeper.retrying import LostSuccesses
from dag_retry.sweeper.unclaimed import UnclaimedRuns

log = logging.getLogger(__name__)


class ConfirmedLate:
    """Looks at each of these runs, until Airflow has answered.

    :param airflow: the session with Airflow's REST API. Each run has the whole deadline.
    :param overview: reads what Redis knows of runs.
    :param unclaimed: examines a run that has failed.
    :param successes: settles a run that has succeeded.
    :param grace: how long the callbacks of a run that has ended may take to come. The next look lists later ends.
    """

    def __init__(
        self,
        airflow: Airflow,
        overview: Overview,
        unclaimed: UnclaimedRuns,
        successes: LostSuccesses,
        *,
        grace: timedelta,
    ) -> None:
        self._airflow = airflow
        self._overview = overview
        self._unclaimed = unclaimed
        self._successes = successes
        self._grace = grace
        self._runs: dict[RunId, None] = {}

    def add(self, dag_id: str, run_id: str) -> None:
        """Look at this run too.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        self._runs[dag_id, run_id] = None

    def look(self, check_way: Callable[[ApiError], None]) -> Iterator[tuple[AirflowRun, Claim | None]]:
        """Settle the runs that have succeeded. Yield those that have failed, as :meth:`UnclaimedRuns.between` does.

        :param check_way: called if Airflow does not answer about a run. It raises if that is no fault of the run.
        """
        for dag_id, run_id in list(self._runs):
            record = self._overview.run(dag_id, run_id)
            if not isinstance(record, RunRecord) or record.status is not Status.RETRYING:
                del self._runs[dag_id, run_id]
                continue
            try:
                run = self._find(dag_id, run_id)
            except ApiError as error:
                log.warning("Dag retry: the next look asks again for %s: %s", describe_run(dag_id, run_id), error)
                check_way(error)
                continue
            del self._runs[dag_id, run_id]
            if run is None:
                continue
            if run.state == "success":
                self._successes.settle_run(run, record.generation + 1)
            elif found := self._unclaimed.examine(run, record, check_way):
                yield found

    def _find(self, dag_id: str, run_id: str) -> AirflowRun | None:
        """Return the run, if it has ended so long ago that no look lists its end; None if not."""
        try:
            run = AirflowRuns(self._airflow).find(dag_id, run_id)
        except ApiRefused:
            return None
        if run is None or not run.ended_at or moment(run.ended_at) > datetime.now(timezone.utc) - self._grace:
            return None
        return run if run.state in ("success", "failed") else None
