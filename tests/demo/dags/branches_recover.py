"""Three branches fail at the same moment. The run is cleared once, and its second attempt succeeds."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings

BRANCHES = ("north", "south", "east")

retry = DagRetry(max_attempts=2)

with DAG("branches_recover", schedule=None, **retry.dag_args(default_args={"retries": 0})) as dag:

    @task
    def load(branch: str, dag_run: Any = None) -> None:
        """Fail until the run is cleared."""
        wait_for_siblings(dag_run, branch, branches=len(BRANCHES))
        if dag_run.clear_number == 0:
            raise ConnectionError(f"{branch}: the source hung up")

    for name in BRANCHES:
        load.override(task_id=f"load_{name}")(name)
