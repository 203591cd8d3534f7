"""Whether a run is certainly lost once one of its tasks has failed, although other tasks may still run.

A run fails if one of its leaves does (``DagRun.update_state``). The failure of a task that is no leaf need not reach
one: a task between them may run all the same (``all_done``), or may have been skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

# The states of each task that was asked for. A mapped task has one for each of its indexes.
States: TypeAlias = Mapping[str, Collection[str | None]]

# With these rules one failed task is enough: Airflow sets the next one to UPSTREAM_FAILED and waits for no other
# (`TriggerRuleDep._evaluate_trigger_rule`). Tasks with any other rule run, are skipped, or wait for the others.
_PASS_FAILURE_ON = ("all_success", "none_failed", "none_failed_min_one_success")

_FAILED = ("failed", "upstream_failed")
_FINISHED = (*_FAILED, "success", "skipped", "removed")


def is_lost(dag: Any, task_id: str, *, mapped: bool, read_states: Callable[[list[str]], States | None]) -> bool:
    """Return whether the run certainly fails, and no teardown is still to come.

    :param dag: the Dag, as its file made it.
    :param task_id: the task that has failed.
    :param mapped: whether one index of a mapped task has failed.
    :param read_states: returns the present states of tasks, or None if Airflow does not tell. This is called at most
        once, and not where the Dag alone gives the answer.
    """
    leaves = _leaves(dag)
    lost = _lost(dag, task_id, {})
    teardowns = _teardowns(dag, lost, task_id, mapped)
    if leaves.isdisjoint(lost):
        return False
    if lost == {task_id} and not teardowns:
        return True
    # A task that waits for the failed one may have been skipped by another, or have run before a clear by hand.
    before = {upstream for each in lost - {task_id} for upstream in dag.task_dict[each].upstream_task_ids}
    states = read_states(sorted(lost | before | teardowns))
    if states is None:
        return False
    lost = _lost(dag, task_id, states)
    return not leaves.isdisjoint(lost) and not any(
        state not in _FINISHED for teardown in _teardowns(dag, lost, task_id, mapped) for state in states[teardown]
    )


def may_end_well_without(dag: Any) -> dict[str, set[str]]:
    """Return the tasks whose failure need not fail the run, each with the tasks after it that run all the same.

    :param dag: the Dag, as its file made it.
    """
    leaves = _leaves(dag)
    found = {}
    for task in dag.tasks:
        lost = _lost(dag, task.task_id, {})
        if _counts(task) and leaves.isdisjoint(lost):
            after = {each for one in lost for each in dag.task_dict[one].downstream_task_ids}
            found[task.task_id] = {each for each in after - lost if _counts(dag.task_dict[each])}
    return found


def _lost(dag: Any, task_id: str, states: States) -> set[str]:
    """Return the failed task, and those that Airflow will set to UPSTREAM_FAILED for its sake."""
    lost = {task_id}
    # Airflow skips what a failed task of such a Dag leaves unfinished, so nothing passes failure on
    # (`_stop_remaining_tasks`).
    to_do = [] if dag.fail_fast else [task_id]
    while to_do:
        for each in dag.task_dict[to_do.pop()].downstream_task_ids - lost:
            if _passes_failure_on(dag.task_dict[each], states):
                lost.add(each)
                to_do.append(each)
    return lost


def _passes_failure_on(task: Any, states: States) -> bool:
    """Return whether a task after a lost one is lost too."""
    own = states.get(task.task_id, ())
    if task.trigger_rule not in _PASS_FAILURE_ON or any(state is not None and state not in _FAILED for state in own):
        return False
    if task.trigger_rule != "all_success" or (own and None not in own):
        return True
    # One skipped task is enough to skip this one, if the scheduler comes before the failure is stored.
    return not any("skipped" in states.get(upstream, ()) for upstream in task.upstream_task_ids)


def _leaves(dag: Any) -> set[str]:
    """Return the tasks whose states decide how the run ends (``DagRun._tis_for_dagrun_state``)."""
    leaves = {
        task.task_id
        for task in dag.tasks
        if _counts(task) and not any(_counts(dag.task_dict[each]) for each in task.downstream_task_ids)
    }
    return leaves or {task.task_id for task in dag.tasks if not task.downstream_task_ids}


def _counts(task: Any) -> bool:
    return not task.is_teardown or bool(task.on_failure_fail_dagrun)


def _teardowns(dag: Any, lost: set[str], task_id: str, mapped: bool) -> set[str]:
    """Return the other teardowns, but those whose setups are all lost: they never run (``all_done_setup_success``)."""
    teardowns = set()
    for task in dag.tasks:
        if task.is_teardown and task.task_id != task_id:
            setups = {each for each in task.upstream_task_ids if dag.task_dict[each].is_setup}
            # The other indexes of a mapped setup may have succeeded.
            if not setups or not setups <= lost or (mapped and task_id in setups):
                teardowns.add(task.task_id)
    return teardowns
