"""Dags of which each meets one hazard of retries, and a healthy one. No run of them is started."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, BaseOperator, Param, setup, task, teardown

from dag_retry import DagRetry

retry = DagRetry(2)
dag_of = functools.partial(DAG, schedule=None)


def alert(context: Any) -> None: ...


def steps(*names: str) -> list[Any]:
    return [EmptyOperator(task_id=name) for name in names]


try:
    from airflow.sdk import ResumableJobMixin
except ImportError:  # before Airflow 3.3
    ResumableJob: Any = None
else:

    class ResumableJob(ResumableJobMixin, BaseOperator):  # type: ignore[no-redef]
        """A job that Airflow finds again by what ``task_state_store`` holds."""

        submit_job: Any = None
        get_job_status: Any = None
        is_job_active: Any = None
        is_job_succeeded: Any = None
        poll_until_complete: Any = None
        get_job_result: Any = None

        def execute(self, context: Any) -> Any:
            return self.execute_resumable(context)

    class JobOfAnAttempt(ResumableJob):  # type: ignore[misc]
        def execute(self, context: Any) -> Any:
            self.external_id_key += f"_{context['dag_run'].clear_number}"
            return super().execute(context)


# Nothing of all this is a hazard as it stands here.
with dag_of(
    "daily_load",
    max_active_tasks=2,
    max_active_runs=1,
    params={"number": Param(1, type="integer"), "dag_retry": {"max_attempts": 2}},
    **retry.dag_args(default_args={"retries": 0}),
):

    @setup
    def make_cluster() -> None: ...

    @teardown
    def take_down() -> None: ...

    @task
    def load(source: str) -> None: ...

    cluster, down = make_cluster(), take_down()
    loads = load.expand(source=["orders", "stock"])
    child = TriggerDagRunOperator(
        task_id="child", trigger_dag_id="reader", trigger_run_id="{{ run_id }}", reset_dag_run=True
    )
    publish = EmptyOperator(task_id="publish", outlets=[Asset("published")])
    cluster >> loads >> child >> publish
    loads >> down
    down.as_teardown(setups=[cluster])

with dag_of("reader", schedule=[Asset("published"), Asset("raw")]):
    steps("read")

with dag_of(
    "after_the_last", max_active_runs=1, **retry.dag_args(level="both", default_args={"depends_on_past": True})
):
    steps("load")

with dag_of("in_backfills", **retry.dag_args()):
    steps("load")

if ResumableJob:
    with dag_of("resuming", **retry.dag_args()):
        ResumableJob(task_id="submit") >> steps("validate")
        ResumableJob(task_id="anew", durable=False)
        JobOfAnAttempt(task_id="of_an_attempt")

with dag_of("counting", **retry.dag_args()):

    @task
    def skip_when_tried(ti: Any = None) -> str:
        return "done before" if ti.try_number > 1 else "fresh"

    skip_when_tried()

with dag_of("in_twos", **retry.dag_args(default_args={"retries": 1})):
    for number in (1, 2):
        skip_when_tried.override(task_id=f"skip_{number}")()

with dag_of("same_child", **retry.dag_args()):
    (
        TriggerDagRunOperator(task_id="trigger", trigger_dag_id="reader", trigger_run_id="{{ run_id }}")
        >> steps("validate")
    )
with dag_of("skipped_child", **retry.dag_args()):
    (
        TriggerDagRunOperator(
            task_id="trigger",
            trigger_dag_id="reader",
            logical_date="{{ logical_date }}",
            skip_when_already_exists=True,
        )
        >> steps("validate")
    )
with dag_of("more_children", **retry.dag_args()):
    TriggerDagRunOperator(task_id="trigger", trigger_dag_id="reader", wait_for_completion=True)

with dag_of("producer", **retry.dag_args()):
    EmptyOperator(task_id="extract", outlets=[Asset("raw")]) >> steps("validate")

with dag_of("producer_alone", **DagRetry(2, scope="failed").dag_args()):
    EmptyOperator(task_id="extract", outlets=[Asset("raw")]) >> steps("validate")

for level in ("both", "task"):
    with dag_of(f"ends_in_clean_up_{level}", **retry.dag_args(level=level)):
        steps("optional") >> EmptyOperator(task_id="clean_up", trigger_rule="all_done")
with dag_of("fails_fast", fail_fast=True, **retry.dag_args(level="dag")):
    first, last = steps("first", "last")
    first >> last


def with_cluster(work: Callable[[], Any]) -> None:
    @setup
    def make_cluster() -> None: ...

    @teardown
    def take_down() -> None: ...

    cluster, down = make_cluster(), take_down()
    cluster >> work() >> down
    down.as_teardown(setups=[cluster])


with dag_of("leaves_its_cluster", **retry.dag_args(level="task")):
    with_cluster(lambda: EmptyOperator(task_id="work"))
with dag_of("works_without_its_cluster", **DagRetry(2, scope="failed").dag_args()):
    with_cluster(lambda: EmptyOperator(task_id="work"))

with dag_of("tightened", params={"number": Param(1, type="integer", maximum=5)}, **retry.dag_args()):
    steps("load")
with dag_of("limited", params={"dag_retry": {"max_attempts": 0}}, **retry.dag_args()):
    steps("load")

for wide in ("both", "dag"):
    with dag_of(f"narrow_{wide}", max_active_tasks=2, **retry.dag_args(level=wide)):
        steps("a", "b", "c")

with dag_of("delayed", **DagRetry(2, delay=timedelta(minutes=1)).dag_args(level="dag")):
    steps("load")
with dag_of("level_task", **retry.dag_args(level="task")):
    steps("load")

with dag_of("tries_itself", **retry.dag_args(default_args={"retries": 2})):
    steps("load")
with dag_of(
    "late",
    tags=["dag-retry"],
    default_args={"on_failure_callback": retry.on_failure, "retry_delay": timedelta(minutes=5)},
    on_failure_callback=retry.on_failure,
    on_success_callback=retry.on_success,
):
    steps("load")

with dag_of("without_callbacks", on_failure_callback=None):
    steps("load")
with dag_of("half_attached", on_failure_callback=retry.on_failure, tags=["dag-retry"]):
    steps("load")
with dag_of("untagged", on_failure_callback=[alert, retry.on_failure], on_success_callback=retry.on_success):
    steps("load")
with dag_of("with_its_own", **retry.dag_args()):
    EmptyOperator(task_id="load", on_failure_callback=alert)
    steps("publish")
