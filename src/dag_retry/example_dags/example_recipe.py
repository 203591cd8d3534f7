"""Airflow's how-to "Dag-level Retry via on_failure_callback". Its functions are imported from this package."""

from datetime import timedelta

from airflow.sdk import DAG, task

from dag_retry.recipe import cleanup_attempts, clear_dag_run_on_failure

with DAG(
    "example_recipe",
    schedule=None,
    default_args={"retries": 0, "retry_delay": timedelta(0), "on_failure_callback": clear_dag_run_on_failure},
    on_success_callback=cleanup_attempts,
):

    @task
    def step_one(dag_run=None):
        if dag_run.clear_number == 0:
            raise ConnectionError("at first")

    @task
    def step_two(value): ...

    step_two(step_one())
