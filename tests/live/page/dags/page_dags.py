"""Dags for the page: some give up at once, with an error full of HTML, and recover when they are cleared by hand."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry

Evil = type("<img src=x onerror=document.title='evil'>", (Exception,), {})

retry = DagRetry(max_attempts=1)

for name in ("page_public", "page_secret", "page_odd"):
    with DAG(name, schedule=None, **retry.dag_args(default_args={"retries": 0})):

        @task
        def load(branch: str, dag_run: Any = None) -> None:
            """Fail twice: attempt 1 of 1 fails too."""
            if dag_run.clear_number < 2:
                raise Evil(branch)

        load.override(task_id="load_a")("a")
        load.override(task_id="load_b")("b")

for number in range(20):
    with DAG(f"page_many_{number}", schedule=None):

        @task
        def none() -> None:
            """Do nothing."""

        none()
