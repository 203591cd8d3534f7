"""Three branches always fail at the same moment. The run is cleared twice, then given up, with one alert."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings

BRANCHES = ("north", "south", "east")

log = logging.getLogger(__name__)


def alert(context: Any) -> None:
    """Log a line. In your Dag this would be a notifier. It is called once, however many branches fail."""
    outcome = context["dag_retry"]
    log.error("ALERT: %s of %s gave up after %d attempts", outcome.run_id, outcome.dag_id, outcome.attempt)


retry = DagRetry(max_attempts=2, on_exhausted=alert)

with DAG("branches_exhaust", schedule=None, **retry.dag_args(default_args={"retries": 0})) as dag:

    @task
    def load(branch: str, dag_run: Any = None) -> None:
        """Fail in every attempt."""
        wait_for_siblings(dag_run, branch, branches=len(BRANCHES))
        raise ConnectionError(f"{branch}: the source is gone")

    for name in BRANCHES:
        load.override(task_id=f"load_{name}")(name)
