"""Runs that a clear would harm, or could not bring back."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

from airflow.sdk import DAG, BaseOperator, ResumableJobMixin, task

from dag_retry import DagRetry
from dag_retry._retry import Level
from tests.live.gate import wait_at_gate

retry = DagRetry(2)

for level in get_args(Level):
    with DAG(f"ends_well_{level}", schedule=None, **retry.dag_args(level=level)):

        @task
        def optional() -> None:
            raise TimeoutError

        @task(trigger_rule="all_done")
        def clean_up() -> None: ...

        optional() >> clean_up()

with DAG("tried_out", schedule=None, **retry.dag_args()) as tried_out:

    @task
    def fail() -> None:
        raise TimeoutError

    fail()

if __name__ == "__main__":
    tried_out.test()

with DAG(
    "one_after_another",
    schedule=None,
    max_active_runs=1,
    **retry.dag_args(level="dag", default_args={"depends_on_past": True}),
):

    @task
    def fail_first(dag_run: Any = None) -> None:
        if dag_run.run_id == "first" and dag_run.clear_number == 0:
            raise TimeoutError

    fail_first()

later = DagRetry(2, delay=timedelta(hours=1))
with DAG(
    "backfill",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    **later.dag_args(level="dag"),
):

    @task
    def fail_once(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            wait_at_gate(dag_run, dag_run.run_id)
            raise TimeoutError

    fail_once()


class Job(ResumableJobMixin, BaseOperator):
    """A job elsewhere, which Airflow finds again by what `task_state_store` holds."""

    external_id_key = "job_id"

    def execute(self, context: Any) -> Any:
        return self.execute_resumable(context)

    def submit_job(self, context: Any) -> str:
        with (Path(os.environ["AIRFLOW_HOME"]) / "submitted").open("a") as submitted:
            submitted.write(f"{self.task_id} {context['ti'].try_number}\n")
        return f"job-{context['ti'].try_number}"

    def get_job_status(self, external_id: Any, context: Any) -> str:
        return "done"

    def is_job_active(self, status: str) -> bool:
        return False

    def is_job_succeeded(self, status: str) -> bool:
        return True

    def poll_until_complete(self, external_id: Any, context: Any) -> None: ...

    def get_job_result(self, external_id: Any, context: Any) -> Any:
        return external_id


class JobOfAnAttempt(Job):
    def execute(self, context: Any) -> Any:
        self.external_id_key += f"_{context['dag_run'].clear_number}"
        return super().execute(context)


with DAG("job", schedule=None, **retry.dag_args()):

    @task
    def validate(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError

    [
        Job(task_id="resumes"),
        Job(task_id="never_resumes", durable=False),
        JobOfAnAttempt(task_id="resumes_in_its_attempt"),
    ] >> validate()
