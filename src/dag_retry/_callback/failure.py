"""What a callback's context says of a failure, and whether there is anything to retry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from dag_retry._errors import ContextError
from dag_retry._types import FailedTry


class UnknownTry(NamedTuple):
    """A failure of which Airflow tells the run, but neither its generation nor the try that failed.

    Nothing can be claimed for such a failure. Airflow tells a Dag's callback so little if the run has no FAILED task
    (`produce_dag_callback`). It tells a task's callback so little if the task's trigger ended it (`TaskFailedEvent`).

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param level: whose callback this is: ``task`` or ``dag``.
    """

    dag_id: str
    run_id: str
    level: Literal["task", "dag"]

    @classmethod
    def of(cls, context: Any) -> UnknownTry | None:
        """Read a context. Return None if the context tells more, or if Airflow gives no such context.

        :param context: what was given to a failure callback of a task or a Dag.
        """
        known = context if isinstance(context, Mapping) else {}
        dag_id, run_id = getattr(known.get("dag"), "dag_id", None), known.get("run_id")
        if known.get("dag_run") is not None or not isinstance(dag_id, str) or not isinstance(run_id, str):
            return None
        return cls(dag_id, run_id, "task" if known.get("reason") is None else "dag")


class Failure(NamedTuple):
    """One failure, as Airflow tells it to a callback.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param generation: ``dag_run.clear_number``, which the task's process read when the try began.
    :param level: where the callback runs: ``task`` in the task's worker, ``dag`` in the dag processor.
    :param tasks_ended: whether every task of the run has ended, so that no task-level callback is alive.
    :param failed_try: the try that failed.
    :param run_after: the run could not begin, and so not fail, earlier (`DagRun.get_queued_dag_runs_to_set_running`).
    :param run_started: when the run began (``dag_run.start_date``). A clear of a run that has ended moves this
        (``clear_task_instances``).
    :param heartbeat_timeout: whether the task's worker fell silent, and the dag processor calls back for it. Its
        context describes *now*, not the failure: the run may have been cleared since, and the task may begin a new try.
    :param restarting: whether the context says that the task of a heartbeat timeout begins a new try.
    :param try_number: the number of the failed try.
    :param skip: why there is nothing to retry, as a code; None if there is something.
    """

    dag_id: str
    run_id: str
    generation: int
    level: Literal["task", "dag"]
    tasks_ended: bool
    failed_try: FailedTry
    run_after: datetime | None
    run_started: datetime | None
    heartbeat_timeout: bool
    restarting: bool
    try_number: int
    skip: Literal["task_retries_left", "teardown"] | None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Failure:
        """Read a context.

        :param context: what Airflow gave to a failure callback of a task or a Dag.
        :raises ContextError: the context doesn't say which run, generation or try failed.
        """
        dag_run = _run_of(context)
        generation = getattr(dag_run, "clear_number", None)
        ti = context.get("ti") or context.get("task_instance")
        if not isinstance(generation, int) or ti is None:
            lacks = "ti" if ti is None else "dag_run.clear_number"
            raise ContextError(
                f"Dag run {dag_run.run_id!r} of Dag {dag_run.dag_id!r} failed, and was not retried: the callback's "
                f"context has no {lacks}, so this failure can't be told from another. Clear the run by hand."
            )
        # Airflow gives a `reason` to the callbacks of a Dag, and to no others.
        reason = context.get("reason")
        exception = context.get("exception")
        # A worker sets the state to FAILED before it calls back (`task_runner.py`). The dag processor sets no state.
        heartbeat_timeout = reason is None and ti.state != "failed"
        return cls(
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            generation=generation,
            # After a heartbeat timeout the callback outlives its task. The Dag-level callback may run at the same time.
            level="dag" if heartbeat_timeout or reason is not None else "task",
            # A run that timed out is failed at once, while its tasks may still be ending.
            tasks_ended=reason not in (None, "timed_out"),
            failed_try=FailedTry(
                task_id=ti.task_id,
                map_index=-1 if ti.map_index is None else ti.map_index,
                ti_id=str(ti.id),
                error=type(exception).__name__ if isinstance(exception, BaseException) else reason or "",
            ),
            run_after=getattr(dag_run, "run_after", None),
            run_started=getattr(dag_run, "start_date", None),
            heartbeat_timeout=heartbeat_timeout,
            restarting=heartbeat_timeout and ti.state == "restarting",
            try_number=ti.try_number,
            skip=_skip(context, ti) if reason is None else None,
        )


def _run_of(context: Mapping[str, Any]) -> Any:
    """Return the context's ``dag_run``.

    :raises ContextError: the context has none.
    """
    dag_run = context.get("dag_run") if isinstance(context, Mapping) else None
    if dag_run is None:
        raise ContextError(
            "the callback's context has no dag_run, so nothing was retried. Let Airflow call the callback: attach it "
            "with on_failure_callback=retry.on_failure"
        )
    return dag_run


def _skip(context: Mapping[str, Any], ti: Any) -> Literal["task_retries_left", "teardown"] | None:
    # Airflow 3.1 and 3.3.0 call on_failure_callback at a heartbeat timeout even if they will retry the task.
    if ti.state != "failed" and 0 < ti.try_number <= (getattr(ti, "max_tries", 0) or 0):
        return "task_retries_left"
    task = context.get("task")
    if getattr(task, "is_teardown", False) and not getattr(task, "on_failure_fail_dagrun", False):
        # The failure of such a teardown does not fail the run.
        return "teardown"
    return None
