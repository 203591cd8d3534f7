"""Branches that fail together in a run's first generation: each way to retry the run, each number of branches."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task
from recipe_published import cleanup_attempts, clear_dag_run_on_failure  # type: ignore[import-not-found]

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings

TIMES = Path(os.environ["AIRFLOW_HOME"]) / "times"


def tell(dag_run: Any, what: str, branch: str) -> None:
    """Leave the time, where the benchmark finds it."""
    folder = TIMES / dag_run.dag_id / dag_run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / what).open("a") as file:
        file.write(f"{time.time():.3f} {branch}\n")


def arguments(way: str) -> dict[str, Any]:
    defaults = {"retries": 0}
    if way == "recipe":
        return {
            "default_args": defaults | {"on_failure_callback": clear_dag_run_on_failure},
            "on_success_callback": cleanup_attempts,
        }
    level: Any = way
    return DagRetry(2).dag_args(level=level, default_args=defaults)


for way in ("recipe", "task", "dag", "both"):
    for branches in map(int, os.environ["BENCHMARK_BRANCHES"].split(",")):
        with DAG(f"{way}_{branches}", schedule=None, max_active_tasks=branches, **arguments(way)) as dag:

            @task
            def work(branch: str, branches: int, dag_run: Any = None) -> None:
                if dag_run.clear_number:
                    tell(dag_run, "restarted", branch)
                    return
                wait_for_siblings(dag_run, branch, branches=branches, timeout=240)
                tell(dag_run, "failed", branch)
                raise TimeoutError(branch)

            for number in range(branches):
                work.override(task_id=f"work_{number}")(str(number), branches)
        globals()[dag.dag_id] = dag
