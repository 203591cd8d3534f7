"""A retry that waits, and the sweeper's Dag, which is called for the end of its delay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from dag_retry.sweeper import sweeper_dag

sweeper = sweeper_dag()

# Longer than the Dag-level callback takes to come: what is due by then is cleared by that.
retry = DagRetry(2, delay=timedelta(seconds=15))
with DAG("delayed", schedule=None, **retry.dag_args()):

    @task
    def fail_once(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError

    fail_once()
