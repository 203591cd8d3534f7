"""Three branches fail together. The run is cleared once, and recovers."""

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=3)

with DAG("example_plain", schedule=None, **retry.dag_args()):

    @task
    def extract(source, dag_run=None):
        if dag_run.clear_number == 0:
            raise ConnectionError(f"{source} is not reachable")

    for source in ("orders", "customers", "stock"):
        extract.override(task_id=f"extract_{source}")(source)
