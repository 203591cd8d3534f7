"""One Dag for each fault, by the same name: two branches that fail together in the first attempt.

Runs of the Dags whose names end with ``_rest`` are cleared by Airflow's REST API, those of the others atomically.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings

FAULTS = [
    "done_but_500",
    "done_but_cut",
    "done_but_silent",
    "not_done_503",
    "token_over",
    "redirected",
    "away_for_a_while",
    "winner_killed_before_the_clear",
    "winner_killed_after_the_clear",
    "done_but_500_rest",
    "done_but_cut_rest",
    "done_but_silent_rest",
    "not_done_503_rest",
    "token_over_rest",
    "winner_killed_before_the_clear_rest",
    "winner_killed_after_the_clear_rest",
]

retry = DagRetry(max_attempts=2)


@task
def branch(name: str, dag_run: Any = None) -> None:
    wait_for_siblings(dag_run, name, branches=2)
    if dag_run.clear_number == 0:
        raise TimeoutError(name)


for fault in FAULTS:
    with DAG(fault, schedule=None, **retry.dag_args(default_args={"retries": 0})):
        for name in ("a", "b"):
            branch.override(task_id=f"branch_{name}")(name)
