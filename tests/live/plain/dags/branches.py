"""Parallel branches that fail together: what one retry of the whole run has to survive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings
from tests.live.elsewhere import Elsewhere


def tell(context: Any) -> None:
    """Leave a line for each time a hook is called."""
    outcome = context["dag_retry"]
    line = f"{outcome.dag_id} {outcome.status.value} {outcome.attempt}\n"
    with (Path(os.environ["AIRFLOW_HOME"]) / "told").open("a") as told:
        told.write(line)


def branches(dag_id: str, retry: DagRetry, *, recover: bool, level: Any = "both") -> None:
    """Three branches that fail together, in every attempt or in the first."""
    with DAG(dag_id, schedule=None, **retry.dag_args(level=level, default_args={"retries": 0})):
        for branch in ("a", "b", "c"):

            @task(task_id=f"branch_{branch}")
            def run(name: str, dag_run: Any = None) -> None:
                wait_for_siblings(dag_run, name, branches=3)
                if not recover or dag_run.clear_number == 0:
                    raise TimeoutError(name)

            run(branch)


hooks: dict[str, Any] = {"on_retry": tell, "on_exhausted": tell, "on_succeeded": tell, "on_blocked": tell}

branches("recover", DagRetry(2, **hooks), recover=True)
branches("recover_dag_level", DagRetry(2, **hooks), recover=True, level="dag")
branches("recover_task_level", DagRetry(2, **hooks), recover=True, level="task")
branches("exhaust", DagRetry(2, **hooks), recover=False)
branches("given_up", DagRetry(2), recover=False)

# Bad weather: nobody at that port, and nobody by that name.
branches("redis_away", Elsewhere({"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}, **hooks), recover=True)
stranger = {"API_USERNAME": "stranger", "API_PASSWORD": "s3cret"}
branches("login_refused", Elsewhere(stranger, **hooks), recover=True)

mapped_retry = DagRetry(2, **hooks)
with DAG("mapped", schedule=None, **mapped_retry.dag_args(default_args={"retries": 0})):

    @task
    def piece(number: int, dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError(str(number))

    piece.expand(number=list(range(24)))
