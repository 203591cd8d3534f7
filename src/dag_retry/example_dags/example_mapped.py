"""Two of five mapped tasks fail. Only these two, and the tasks after them, run again."""

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=2, scope="failed")

with DAG("example_mapped", schedule=None, **retry.dag_args()):

    @task
    def load(part, dag_run=None):
        if part % 2 and dag_run.clear_number == 0:
            raise ConnectionError(f"part {part} was cut off")
        return part

    @task
    def add_up(parts):
        print(sum(parts))

    add_up(load.expand(part=list(range(5))))
