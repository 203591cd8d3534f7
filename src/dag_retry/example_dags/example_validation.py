"""The run starts again only if the validation fails. Any other failure needs a human."""

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=2, task_ids="validate")

with DAG("example_validation", schedule=None, **retry.dag_args(level="dag")):

    @task
    def fill(dag_run=None):
        return 0 if dag_run.clear_number == 0 else 42

    @task
    def validate(rows):
        if rows == 0:
            raise ValueError("the table is empty")

    validate(fill())
