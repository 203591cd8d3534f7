"""How the callbacks of a Dag retry its runs, as the Dag's file attached them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from dag_retry._policy.dag_level import callbacks_of, retries_runs
from dag_retry._policy.policy import Policy
from dag_retry._retry import DagRetry, Level


class Attached(NamedTuple):
    """Which callbacks of ours a Dag has.

    :param at_dag: whether a Dag-level callback retries runs.
    :param clearing: the tasks whose own callback may clear the run.
    :param judging: the tasks whose own callback only records that a failure is not retried.
    :param bare: the tasks without a callback of ours.
    :param on_success: whether the Dag reports that a run succeeded.
    :param others: whether the Dag or a task has a failure callback of somebody else, which may call ours.
    :param policies: the policies of these callbacks.
    """

    at_dag: bool
    clearing: frozenset[str]
    judging: frozenset[str]
    bare: frozenset[str]
    on_success: bool
    others: bool
    policies: tuple[Policy, ...]

    @property
    def level(self) -> Level | None:
        """The level, as ``dag_args`` names it; None if no callback retries runs."""
        if self.at_dag:
            return "both" if self.clearing else "dag"
        return "task" if self.clearing else None


def attached(dag: Any) -> Attached:
    """Find the callbacks of ours.

    :param dag: the Dag, as its file made it.
    """
    own = {task.task_id: callbacks_of(task, "on_failure_callback") for task in dag.tasks}
    at_dag = callbacks_of(dag, "on_failure_callback")
    every = [*at_dag, *(each for some in own.values() for each in some)]
    retries = {id(retry): retry for retry in map(_retry, every) if retry}
    clearing = {task_id for task_id, some in own.items() if any(map(retries_runs, some))}
    judging = {task_id for task_id, some in own.items() if any(map(_retry, some))} - clearing
    return Attached(
        at_dag=any(map(retries_runs, at_dag)),
        clearing=frozenset(clearing),
        judging=frozenset(judging),
        bare=frozenset(own) - clearing - judging,
        on_success=any(map(_retry, callbacks_of(dag, "on_success_callback"))),
        others=not all(map(_retry, every)),
        policies=tuple(retry._policy for retry in retries.values()),
    )


def _retry(callback: Any) -> DagRetry | None:
    """Return whose callback this is; None if the callback is not ours."""
    found = inspect.unwrap(callback) if callable(callback) else callback
    owner = getattr(found, "__self__", None)
    if isinstance(owner, DagRetry):
        return owner
    # The functions of the recipe are those of a DagRetry with the section's options.
    return DagRetry() if getattr(found, "__module__", None) == "dag_retry.recipe" else None
