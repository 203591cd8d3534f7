"""Dags whose policies are tried: conditions, limits, what a winner finds, and what becomes of it when it dies."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dag_retry import DagRetry
from dag_retry._callback import callbacks
from tests.demo.barrier import wait_for_siblings


def always_fails(dag_id: str, retry: DagRetry, error: type[Exception] = TimeoutError, **dag_args: Any) -> None:
    with DAG(dag_id, schedule=None, **dag_args):

        @task
        def fail() -> None:
            raise error

        fail()


retry = DagRetry(2)
always_fails("hopeless", retry, AirflowFailException, **retry.dag_args())
always_fails("hopeless_dag_level", retry, AirflowFailException, **retry.dag_args(level="dag"))
always_fails("fewer_attempts", retry, **retry.dag_args())
always_fails("fewer_attempts_of_the_dag", retry, **retry.dag_args(params={"dag_retry": {"max_attempts": 1}}))
always_fails("selected_with_its_own", retry, **DagRetry(1).dag_args(tags=["retried"]))
always_fails("disabled", retry, **retry.dag_args())
always_fails("wrong_limits", retry, **retry.dag_args())
always_fails("paused_by_failures", retry, **retry.dag_args(level="dag", max_consecutive_failed_dag_runs=1))

failed_tasks = DagRetry(2, reasons="task_failure")
for dag_id, timed in {"timed_out": retry, "timed_out_for_good": failed_tasks}.items():
    with DAG(dag_id, schedule=None, dagrun_timeout=timedelta(seconds=60), **timed.dag_args()):

        @task
        def hang(dag_run: Any = None) -> None:
            if dag_run.clear_number == 0:
                time.sleep(600)

        hang()

# In the second generation there are fewer parts, all skipped: what was mapped and is no more is not skipped for the
# trigger rule `all_skipped`, and Airflow finds nothing that it could run (`TriggerRuleDep`, 3.3.2).
for dag_id, deadlocked in {"deadlocked": retry, "deadlocked_for_good": failed_tasks}.items():
    with DAG(dag_id, schedule=None, **deadlocked.dag_args()):

        @task
        def parts(dag_run: Any = None) -> list[int]:
            return list(range(2 if dag_run.clear_number else 3))

        @task
        def part(number: int, dag_run: Any = None) -> None:
            if dag_run.clear_number == 1:
                raise AirflowSkipException

        @task(trigger_rule=TriggerRule.ALL_SKIPPED)
        def nothing_to_do() -> None: ...

        @task(trigger_rule=TriggerRule.ALL_DONE)
        def check(dag_run: Any = None) -> None:
            if dag_run.clear_number == 0:
                raise TimeoutError

        part.expand(number=parts()) >> [nothing_to_do(), check()]

out_of_hand = DagRetry(2, delay=timedelta(hours=1))
with DAG("outage", schedule=None, **out_of_hand.dag_args()):

    @task
    def fail_before_the_outage(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError

    fail_before_the_outage()

newer = DagRetry(2, delay=timedelta(seconds=20), skip_if_newer_run=True)
with DAG("newer_run", schedule=None, **newer.dag_args()):

    @task
    def fail_if_old(dag_run: Any = None) -> None:
        if dag_run.conf.get("old"):
            raise TimeoutError

    fail_if_old()

failed = DagRetry(2, scope="failed")
with DAG("late_sibling", schedule=None, **failed.dag_args()):

    @task
    def succeed() -> None: ...

    @task
    def fail_at_once(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            raise TimeoutError

    @task
    def fail_late(dag_run: Any = None) -> None:
        time.sleep(3)
        if dag_run.clear_number < 2:
            raise TimeoutError

    succeed()
    fail_at_once()
    fail_late()

task_level = DagRetry(2)


def claim_and_die(context: Any) -> None:
    """What a kill right after the claim leaves."""
    if context["dag_run"].clear_number == 0:
        callbacks.act = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[attr-defined]
    task_level.on_failure(context)


arguments = task_level.dag_args(level="task")
arguments["default_args"]["on_failure_callback"] = [claim_and_die]
with DAG("winner_killed", schedule=None, **arguments):
    for branch in ("a", "b"):

        @task(task_id=branch)
        def fail_together(name: str, dag_run: Any = None) -> None:
            wait_for_siblings(dag_run, name, branches=2)
            if dag_run.clear_number == 0:
                raise TimeoutError(name)

        fail_together(branch)

with DAG("killed_at_the_task_level", schedule=None, **task_level.dag_args(level="task")):

    @task
    def die(dag_run: Any = None) -> None:
        if dag_run.clear_number == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    die()
