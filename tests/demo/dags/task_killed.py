"""A task is killed, as the kernel does when memory runs out. Then only the Dag-level callback runs."""

from __future__ import annotations

import os
import signal
from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=2)

with DAG("task_killed", schedule=None, **retry.dag_args(default_args={"retries": 0})) as dag:

    @task
    def load(dag_run: Any = None) -> None:
        """Die at once until the run is cleared."""
        if dag_run.clear_number == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    load()
