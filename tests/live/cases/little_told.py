"""Runs of whose failure Airflow tells a callback too little: no failed task, a trigger, Params that do not fit."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, Param, task

from dag_retry import DagRetry
from dag_retry._retry import Level
from tests.live.cases.trigger import FailsTheTask
from tests.live.gate import wait_at_gate

retry = DagRetry(2)


class Defers(BaseOperator):
    def execute(self, context: Any) -> None:
        if context["dag_run"].clear_number == 0:
            self.defer(trigger=FailsTheTask(), method_name="execute")


tight = (Path(os.environ["AIRFLOW_HOME"]) / "tight").exists()

for level in ("both", "dag"):
    # Nobody has pushed what is expanded: `each` is upstream_failed in every generation, and no task is failed.
    with DAG(f"no_failed_task_{level}", schedule=None, **retry.dag_args(level=level)):
        nothing = EmptyOperator(task_id="nothing")
        BashOperator.partial(task_id="each").expand(bash_command=nothing.output)

    with DAG(
        f"params_{level}",
        schedule=None,
        params={"number": Param(1, type="integer", maximum=5 if tight else 100)},
        **retry.dag_args(level=level),
    ):

        @task
        def fail_once(level: str, dag_run: Any = None) -> None:
            if dag_run.clear_number == 0:
                wait_at_gate(dag_run, level)
                if level == "both":  # where the task's own callback would clear
                    os.kill(os.getpid(), signal.SIGKILL)
                raise TimeoutError

        fail_once(level)

for level in get_args(Level):
    for retries in (0, 1):
        own = {"retries": retries, "retry_delay": timedelta(0)}
        with DAG(f"trigger_{level}_{retries}", schedule=None, **retry.dag_args(level=level, default_args=own)):
            Defers(task_id="wait")
