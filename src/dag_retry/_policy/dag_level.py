"""What a Dag's own attributes say about retries: the callbacks of ours that it has, and its Dag level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Callback = TypeVar("Callback", bound=Callable[..., None])

# The attribute that marks a callback of ours.
_RETRIES = "retries_dag_runs"


def ours(*, retries: bool) -> Callable[[Callback], Callback]:
    """Mark a callback of ours. The mark is found on bound methods, and on wrappers (``functools.wraps``) too.

    :param retries: whether the callback retries a failed run.
    """

    def mark(callback: Callback) -> Callback:
        setattr(callback, _RETRIES, retries)
        return callback

    return mark


def callbacks_of(owner: Any, name: str) -> list[Any]:
    """Return the callbacks that a Dag or a task has, in order.

    :param owner: the Dag or the task, as the Dag's file made it; anything else has none.
    :param name: ``on_failure_callback`` or ``on_success_callback``.
    """
    there = getattr(owner, name, None) or ()
    return list(there) if isinstance(there, (list, tuple)) else [there]


def retries_runs(callback: Any) -> bool:
    """Return whether a callback is ours and retries failed runs.

    :param callback: a callback.
    """
    return bool(getattr(callback, _RETRIES, False))


def is_attached(dag: Any) -> bool:
    """Return whether a Dag-level callback of the Dag retries runs. Then a task may leave its failure to the callback.

    :param dag: the Dag, as its file made it; anything else has no such callback.
    """
    return any(map(retries_runs, callbacks_of(dag, "on_failure_callback")))


def has_callbacks(dag: Any) -> bool:
    """Return whether a callback of ours is attached to the Dag, or to a task of it.

    :param dag: the Dag, as its file made it.
    """
    there = [*callbacks_of(dag, "on_failure_callback"), *callbacks_of(dag, "on_success_callback")]
    there += [callback for task in dag.tasks for callback in callbacks_of(task, "on_failure_callback")]
    return any(hasattr(callback, _RETRIES) for callback in there)


def clear_waits_for_ever(dag: Any) -> bool:
    """Return whether a run that is cleared after its end can't begin again.

    The cleared run is queued, for ``max_active_runs=1`` allows only one run, and that is the next one by then. The next
    run waits for a task of the cleared run (``depends_on_past``, which ``wait_for_downstream`` sets too).

    :param dag: the Dag, as its file made it; of anything else nothing is known.
    """
    return getattr(dag, "max_active_runs", None) == 1 and any(task.depends_on_past for task in dag.tasks)
