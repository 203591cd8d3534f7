"""Dags for bad weather around Airflow: their tasks wait until the test has done to Redis or Airflow what it wants."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.demo.barrier import wait_for_siblings
from tests.live.gate import wait_at_gate

FAILURES = {
    "away_for_a_minute": 2,
    "redis_restarted": 2,
    "redis_forgets": 3,
    "redis_killed": 2,
    "redis_silent": 2,
    "scheduler_killed_at_the_clear": 1,
    "killed_in_the_attempt": 1,
    "clear_after_the_failure_rest": 1,
}
"""By dag_id, how many generations fail."""

OPEN = {"away_for_a_minute", "scheduler_killed_at_the_clear", "clear_after_the_failure_rest"}
"""Whose tasks wait for nobody."""


def branches(dag_id: str, failures: int, number: int, **options: Any) -> None:
    attempts = 3 if dag_id == "killed_in_the_attempt" else 2
    with DAG(dag_id, schedule=None, **DagRetry(attempts).dag_args(default_args={"retries": 0}), **options):
        for branch in range(number):

            @task(task_id=f"branch_{branch}")
            def run(name: str, dag_run: Any = None) -> None:
                if dag_id in FAILURES and dag_id not in OPEN:
                    wait_at_gate(dag_run, name)
                wait_for_siblings(dag_run, name, branches=number)
                if dag_run.clear_number < failures:
                    raise TimeoutError(name)

            run(f"branch_{branch}")


for dag_id, failures in FAILURES.items():
    branches(dag_id, failures, 2)

branches("ten_runs", 1, 4, max_active_runs=10)

# They never recover, while Redis forgets again and again.
for dag_id in ("forgotten", "forgotten_rest"):
    branches(dag_id, 99, 3, max_active_runs=10)
