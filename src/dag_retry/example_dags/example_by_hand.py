"""The callbacks are attached by hand, at both levels, beside a callback of your own."""

from datetime import timedelta

from airflow.sdk import DAG, task

from dag_retry import DagRetry

retry = DagRetry(max_attempts=2)


def mine(context):
    print(f"{context['run_id']} failed: {context['dag_retry'].status.value}")


with DAG(
    "example_by_hand",
    schedule=None,
    # A task that clears its own run waits for its retry_delay before it starts again.
    default_args={"on_failure_callback": [retry.on_failure, mine], "retry_delay": timedelta(0)},
    on_failure_callback=retry.on_failure,
    on_success_callback=retry.on_success,
):

    @task
    def load(dag_run=None):
        if dag_run.clear_number == 0:
            raise TimeoutError("the warehouse sleeps")

    load()
