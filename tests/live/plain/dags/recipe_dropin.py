"""The how-to's Dag with its own functions deleted and one import put in, and three branches instead of two steps."""

import time

from airflow.sdk import DAG, task

from dag_retry.recipe import cleanup_attempts, clear_dag_run_on_failure

with DAG(
    dag_id="recipe_dropin",
    schedule=None,
    default_args={
        "retries": 0,  # let the Dag-level retry take over
        "on_failure_callback": clear_dag_run_on_failure,
    },
    on_success_callback=cleanup_attempts,
):

    @task
    def step(seconds):
        time.sleep(seconds)
        raise RuntimeError("always")

    for branch, seconds in (("a", 0.5), ("b", 1.0), ("c", 1.5)):
        step.override(task_id=f"step_{branch}")(seconds)
