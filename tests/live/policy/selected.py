"""Dags whose file does not name the package: the section selects them by a tag."""

from __future__ import annotations

import os
import signal
from typing import Any

from airflow.sdk import DAG, task, task_group

from tests.demo.barrier import wait_for_siblings


def own(context: Any) -> None:
    print("the Dag's own callback")


with DAG("selected", schedule=None, tags=["retried"]):

    @task(on_failure_callback=own)
    def fail_together(name: str, dag_run: Any = None) -> None:
        wait_for_siblings(dag_run, name, branches=3)
        if dag_run.clear_number == 0:
            raise TimeoutError(name)

    @task_group
    def grouped(name: str) -> None:
        fail_together.override(task_id="in_a_group")(name)

    fail_together("alone")
    fail_together.override(task_id="mapped").expand(name=["mapped"])
    grouped("grouped")

with DAG("selected_and_killed", schedule=None, tags=["retried"]):

    @task
    def die(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    die()

with DAG("not_selected", schedule=None, tags=["others"]):

    @task
    def fail() -> None:
        raise TimeoutError

    fail()
