"""A notifier sends one alert when all attempts have failed, however many branches fail."""

from airflow.sdk import DAG, BaseNotifier, task

from dag_retry import DagRetry


class Alert(BaseNotifier):
    def notify(self, context):
        outcome = context["dag_retry"]
        failed = outcome.failed_try
        print(f"{outcome.dag_id} {outcome.run_id} gave up after {outcome.attempt}: {failed.task_id}: {failed.error}")


retry = DagRetry(max_attempts=1, on_exhausted=Alert(), on_blocked=Alert())

with DAG("example_alert", schedule=None, **retry.dag_args()):

    @task
    def publish(region):
        raise PermissionError(f"{region} is read-only")

    for region in ("east", "west"):
        publish.override(task_id=f"publish_{region}")(region)
