"""One task each: killed, timed out, with retries of its own, and one that never fails."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings

retry = DagRetry(2)

with DAG("killed", schedule=None, **retry.dag_args(default_args={"retries": 0})):

    @task
    def die(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    die()

with DAG(
    "timed_out",
    schedule=None,
    dagrun_timeout=timedelta(seconds=30),  # and the attempt that succeeds has to end in it, beside all others
    **retry.dag_args(default_args={"retries": 0}),
):

    @task
    def hang(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            time.sleep(600)

    hang()

# A stopped supervisor sends no heartbeats: for Airflow the task is lost, and the dag processor calls back for it.
with DAG("lost", schedule=None, **retry.dag_args(default_args={"retries": 0})):

    @task
    def fall_silent(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(600)

    fall_silent()

with DAG("lost_and_cleared", schedule=None, **retry.dag_args(default_args={"retries": 0})):

    @task
    def fall_silent_as_well(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            wait_for_siblings(dag_run, "silent", branches=2)
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(600)

    @task
    def clear(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            wait_for_siblings(dag_run, "clearing", branches=2)
            time.sleep(3)
            raise TimeoutError

    fall_silent_as_well()
    clear()

with DAG("own_retries", schedule=None, **retry.dag_args(default_args={"retries": 1})):

    @task
    def fail_twice(ti: Any = None) -> None:
        if ti.try_number <= 2:
            raise TimeoutError(f"try {ti.try_number}")

    fail_twice()

with DAG(
    "own_retries_dag_level",
    schedule=None,
    **retry.dag_args(level="dag", default_args={"retries": 1, "retry_delay": timedelta(0)}),
):

    @task
    def fail_thrice(ti: Any = None) -> None:
        if ti.try_number <= 3:
            raise TimeoutError(f"try {ti.try_number}")

    fail_thrice()

with DAG("odd..ids", schedule=None, **retry.dag_args(default_args={"retries": 0})):

    @task(task_id="fail.once")
    def fail_once(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError

    fail_once()

with DAG("never_failed", schedule=None, **retry.dag_args(default_args={"retries": 0})):

    @task
    def succeed() -> None: ...

    succeed()
