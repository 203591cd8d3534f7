"""Names in a Dag's policies of which nothing is there: tasks, and exceptions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from dag_retry._airflow import section
from dag_retry._policy.policy import Policy
from dag_retry.cli.doctor.dag.shape import named
from dag_retry.cli.doctor.finding import Finding

_MOST = 5


def examine(dag: Any, policies: Iterable[Policy]) -> Iterator[Finding]:
    """Yield the findings about names in the policies of a Dag.

    :param dag: the Dag, as its file made it.
    :param policies: the policies of its callbacks.
    """
    unknown: dict[str, None] = {}
    unusable: dict[str, None] = {}
    for policy in policies:
        unknown |= dict.fromkeys(_unknown_tasks(dag, policy.conditions.task_ids))
        unusable |= dict.fromkeys(policy.conditions.unusable_names())
    if unknown:
        found = (
            f"{', '.join(map(repr, unknown))} {'is no task' if len(unknown) == 1 else 'are no tasks'} of {dag.dag_id}"
        )
        yield Finding("task_ids", "fault", found, f"use one of: {_meant(unknown, dag.task_dict)}")
    if unusable:
        remedy = "correct the name: a task that can't import the exception has its run skipped, and not retried"
        yield Finding("retry_on, give_up_on", "fault", "; ".join(unusable), remedy)


def _unknown_tasks(dag: Any, task_ids: Collection[str]) -> list[str]:
    """Return the ids that name no task. A policy compares whole ids: a group or an index of a mapped task is no task.

    The option of the section is for all Dags. So a Dag need not have each task that the option names, but one.
    """
    unknown = [task_id for task_id in task_ids if task_id not in dag.task_dict]
    of_section = list(task_ids) == section.configured("task_ids")
    return [] if of_section and len(unknown) < len(task_ids) else unknown


def _meant(unknown: Iterable[str], known: Collection[str]) -> str:
    """Return the tasks that were meant: those of a group of that name, or in any group, or of a similar name."""
    meant: set[str] = set()
    full = {each.rpartition(".")[2]: each for each in known} | {each: each for each in known}
    for name in unknown:
        inside = {each for each in known if each.startswith(f"{name}.") or each.endswith(f".{name}")}
        meant |= inside or {full[each] for each in get_close_matches(name, full)}
    return named(meant or known, _MOST)
