"""Hazards of a Dag's operators, which its file alone tells: those that do not simply start over in an attempt."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from dag_retry.cli.doctor.dag.shape import Shape, said_of
from dag_retry.cli.doctor.finding import Finding

# A templated run id that holds one of these is another one in each attempt.
_PER_ATTEMPT = ("try_number", "clear_number")


def children(tasks: list[Any], shape: Shape) -> Iterator[Finding]:
    """Find tasks that trigger a run of another Dag, and what a second trigger does.

    :param tasks: the tasks, as the Dag's file made them.
    :param shape: the Dag's shape.
    """
    for task in tasks:
        if not _is_a(task, "TriggerDagRunOperator"):
            continue
        if not shape.is_repeated(task.task_id) and not _argument(task, "wait_for_completion"):
            continue  # Nothing fails after it has triggered.
        child = _argument(task, "trigger_dag_id")
        pins = [pin for pin in ("trigger_run_id", "logical_date") if isinstance(_argument(task, pin), str)]
        if any(word in str(_argument(task, pin)) for pin in pins for word in _PER_ATTEMPT):
            continue
        if not pins:
            yield Finding(
                "child Dags",
                "note",
                f"{task.task_id} triggers one more run of {child} in each attempt",
                "if one run must do, set trigger_run_id and reset_dag_run=True: an attempt then clears that run",
            )
        elif not _argument(task, "reset_dag_run"):
            skips = _argument(task, "skip_when_already_exists")
            then = "the task is skipped, and so may be all after it" if skips else "the attempts fail at once"
            yield Finding(
                "child Dags",
                "warning",
                f"{task.task_id} triggers the same run of {child} in each attempt ({pins[0]}): it exists, so {then}",
                "set reset_dag_run=True",
            )


def resuming(tasks: list[Any], shape: Shape) -> Iterator[Finding]:
    """Find tasks that take a second try for the resumption of the first.

    A clear keeps ``task_state_store``, and ``try_number`` counts on (Airflow 3.3.2).

    :param tasks: the tasks, as the Dag's file made them.
    :param shape: the Dag's shape.
    """
    durable = [
        task.task_id
        for task in tasks
        if _is_a(task, "ResumableJobMixin")
        and _argument(task, "durable") is not False
        and not _reads(task, "clear_number")
        and shape.is_repeated(task.task_id)
    ]
    if durable:
        yield Finding(
            "task state",
            "warning",
            said_of(durable, "resumes its job", "resume their jobs")
            + ", and a clear keeps the id of a job: one that succeeded is not submitted again",
            "if each attempt is to submit the job anew, set durable=False, or add dag_run.clear_number to its "
            "external_id_key",
        )
    counting = [task.task_id for task in tasks if _reads(task, "try_number")]
    if counting:
        yield Finding(
            "try_number",
            "note",
            f"{said_of(counting, 'reads', 'read')} try_number, which counts on: no attempt begins with try 1",
            "compare dag_run.clear_number, if an attempt is to do what a first run does",
        )


def _class(task: Any) -> type[Any]:
    """Return the class of a task's operator, also if the task is mapped."""
    found = getattr(task, "operator_class", None)
    return found if isinstance(found, type) else type(task)


def _is_a(task: Any, name: str) -> bool:
    return any(each.__name__ == name for each in _class(task).__mro__)


def _argument(task: Any, name: str) -> Any:
    """Return an argument of a task's operator. One that is mapped has another value in each index."""
    return task.partial_kwargs.get(name) if hasattr(task, "partial_kwargs") else getattr(task, name, None)


def _reads(task: Any, name: str) -> bool:
    """Return whether the task's own code, and not Airflow's, reads an attribute of this name."""
    function = _argument(task, "python_callable")
    if function is None and not _class(task).__module__.startswith("airflow."):
        function = inspect.unwrap(_class(task).execute)  # Airflow wraps it (`ExecutorSafeguard`).
    return name in getattr(getattr(function, "__code__", None), "co_names", ())
