"""What a Dag's own attributes say about retries at its Dag level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Callback = TypeVar("Callback", bound=Callable[..., None])

_MARK = "retries_dag_runs"


def retries_dag_runs(callback: Callback) -> Callback:
    """Mark a failure callback of ours. :func:`is_attached` finds the mark on bound methods and wrappers too.

    :param callback: a function that retries a failed run.
    """
    setattr(callback, _MARK, True)
    return callback


def is_attached(dag: Any) -> bool:
    """Return whether a Dag-level callback of the Dag retries runs. Then a task may leave its failure to the callback.

    :param dag: the Dag, as its file made it; anything else has no such callback.
    """
    callbacks = getattr(dag, "on_failure_callback", None)
    return any(
        getattr(each, _MARK, False) for each in (callbacks if isinstance(callbacks, (list, tuple)) else [callbacks])
    )


def clear_waits_for_ever(dag: Any) -> bool:
    """Return whether a run that is cleared after its end can't begin again.

    The cleared run is queued, for ``max_active_runs=1`` allows only one run, and that is the next one by then. The next
    run waits for a task of the cleared run (``depends_on_past``, which ``wait_for_downstream`` sets too).

    :param dag: the Dag, as its file made it; of anything else nothing is known.
    """
    return getattr(dag, "max_active_runs", None) == 1 and any(task.depends_on_past for task in dag.tasks)
