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
