"""The shape of a Dag: which of its tasks end a run, and how many may run at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

# Airflow gives this rule to teardowns, and refuses it for other tasks (`BaseOperator.__init__`).
_TEARDOWN = "all_done_setup_success"


class Shape:
    """The shape of a Dag.

    :param tasks: the Dag's tasks, as Airflow's API tells them.
    :param whole_runs: whether an attempt clears the whole run, and not the failed tasks alone.
    """

    def __init__(self, tasks: Iterable[dict[str, Any]], *, whole_runs: bool = True) -> None:
        tasks = list(tasks)
        self._whole_runs = whole_runs
        self._mapped = {task["task_id"] for task in tasks if task.get("is_mapped")}
        self._teardowns = {task["task_id"] for task in tasks if task.get("trigger_rule") == _TEARDOWN}
        self._next = {task["task_id"]: set(task.get("downstream_task_ids") or ()) for task in tasks}

    def is_repeated(self, task_id: str) -> bool:
        """Return whether an attempt may run a task again that has succeeded.

        The run succeeds with its only leaf. So that task is not repeated, unless it is mapped.

        :param task_id: the task.
        """
        leaves = {each for each, after in self._next.items() if after <= self._teardowns} - self._teardowns
        return self._whole_runs and (leaves != {task_id} or task_id in self._mapped)

    def width(self) -> int:
        """Return how many tasks may run at once, at least: those that are as far from the first tasks."""
        depths = dict.fromkeys(self._next, 0)
        for _ in depths:
            deeper = {
                each: max((depths[before] + 1 for before, after in self._next.items() if each in after), default=0)
                for each in depths
            }
            if deeper == depths:
                break
            depths = deeper
        at = list(depths.values())
        return max((at.count(depth) for depth in set(at)), default=0)


def named(task_ids: Collection[str], most: int = 3) -> str:
    """Return some names of tasks, in order, and how many more there are.

    :param task_ids: the tasks.
    :param most: how many are named.
    """
    first = sorted(task_ids)[:most]
    more = len(task_ids) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def said_of(names: Collection[str], of_one: str, of_many: str) -> str:
    """Return some names, and what is said of them.

    :param names: the names of tasks, Dags or backfills.
    :param of_one: what is said if there is one.
    :param of_many: what is said if there are several.
    """
    return f"{named(names)} {of_one if len(names) == 1 else of_many}"
