"""A Dag whose next attempt waits."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from dag_retry import DagRetry

with DAG(
    "page_waits",
    schedule=None,
    **DagRetry(max_attempts=3, delay=timedelta(days=1)).dag_args(default_args={"retries": 0}),
):

    @task
    def wait() -> None:
        """Fail, always."""
        raise ConnectionError

    wait()
