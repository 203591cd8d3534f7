"""The attempts begin after 5, 10 and 20 s. No callback waits: a sweeper clears the run."""

from datetime import timedelta

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=3, delay=timedelta(seconds=5), backoff=2, max_delay=timedelta(minutes=1))

with DAG("example_delay", schedule=None, **retry.dag_args()):

    @task
    def load(dag_run=None):
        if dag_run.clear_number < 3:
            raise ConnectionError("too many clients")

    load()
