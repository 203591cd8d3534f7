"""Branches that fail together in a run's first generation: each way to retry the run, each number of branches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.sdk import DAG, task
from recipe_published import cleanup_attempts, clear_dag_run_on_failure  # type: ignore[import-not-found]

from dag_retry import DagRetry
from dag_retry._policy.dag_level import ours
from tests.demo.barrier import wait_for_siblings
from tests.live.elsewhere import WITHOUT_CREDENTIALS, with_options

TIMES = Path(os.environ["AIRFLOW_HOME"]) / "times"

DEPLOYMENTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "atomic": nullcontext,
    "rest": lambda: patch("dag_retry._airflow.ways.atomic.ROUTE", "/no-such-route/v1"),
    "own": lambda: with_options(WITHOUT_CREDENTIALS),
    "dag": nullcontext,
}
"""By way: the deployment in which it is the first one that is there."""


def tell(dag_run: Any, what: str, text: str) -> None:
    """Leave the time, where the benchmark finds it."""
    folder = TIMES / dag_run.dag_id / dag_run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / what).open("a") as file:
        file.write(f"{time.time():.3f} {text}\n")


class Timed(DagRetry):
    """Retries as in a deployment, and tells the milliseconds of the callback that cleared the run."""

    def __init__(self, way: str) -> None:
        super().__init__(2)
        self._way = way

    @ours(retries=True)
    def on_failure(self, context: Any) -> None:
        began = time.perf_counter()
        with DEPLOYMENTS[self._way]():
            super().on_failure(context)
        milliseconds = 1000 * (time.perf_counter() - began)
        outcome = context["dag_retry"]
        # Those that lost find the run retrying too.
        if outcome.status == "retrying" and outcome.reason not in ("stale", "already_retrying"):
            tell(context["dag_run"], "cleared", f"{milliseconds:.1f}")

    def on_success(self, context: Any) -> None:
        # Without credentials there is no note of the success. Its requests are none that a failure takes.
        with with_options(WITHOUT_CREDENTIALS):
            super().on_success(context)


def arguments(way: str) -> dict[str, Any]:
    defaults = {"retries": 0}
    if way == "recipe":
        return {
            "default_args": defaults | {"on_failure_callback": clear_dag_run_on_failure},
            "on_success_callback": cleanup_attempts,
        }
    return Timed(way).dag_args(level="dag" if way == "dag" else "both", default_args=defaults)


for way in (*DEPLOYMENTS, "recipe"):
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
