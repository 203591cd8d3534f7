"""Hazards of a Dag's callbacks, which its file alone tells: whether they fit its tasks, and who calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dag_retry._policy.lost_runs import may_end_well_without
from dag_retry.cli.doctor.dag.attached import Attached
from dag_retry.cli.doctor.dag.shape import named, said_of
from dag_retry.cli.doctor.finding import Finding


def callbacks(dag_id: str, ours: Attached, *, tagged: bool) -> Iterator[Finding]:
    """Check that our callbacks are attached wherever the level needs them.

    :param dag_id: the Dag.
    :param ours: the Dag's callbacks.
    :param tagged: whether the Dag has our tag.
    """
    if ours.level is None:
        return
    yield Finding("level", "ok", ours.level)
    if ours.bare and ours.level != "dag":
        left = "are left to the Dag level, which knows no exception" if ours.at_dag else "retry nothing"
        yield Finding(
            "callbacks",
            "note" if ours.at_dag else "warning",
            said_of(
                ours.bare,
                f"has no callback of ours: its failures {left}",
                f"have no callback of ours: their failures {left}",
            ),
            "add retry.on_failure to the task's own on_failure_callback, which replaces that of default_args",
        )
    if not ours.on_success:
        yield Finding(
            "on_success_callback",
            "warning",
            "the Dag does not report its successes: a retried run that succeeded stays retrying until a sweeper looks",
            "attach on_success_callback=retry.on_success to the Dag",
        )
    if not tagged:
        yield Finding(
            "tag",
            "warning",
            f"{dag_id} has no tag dag-retry: sweepers do not find a failure of it that no callback has claimed",
            'add tags=["dag-retry"]',
        )


def sweeper(ours: Attached, start: str, *, delays: bool, login: bool) -> Iterator[Finding]:
    """Find a Dag that needs a sweeper. The caller knows that none runs.

    :param ours: the Dag's callbacks.
    :param start: how to start a sweeper.
    :param delays: whether an attempt may have a delay.
    :param login: whether there are credentials. Without them only a task, or the sweeper's Dag, clears a run.
    """
    if ours.level and delays:
        yield Finding("sweeper", "fault", "attempts have a delay, and none runs that would begin them", start)
    elif ours.level == "dag" and not login:
        yield Finding(
            "sweeper", "fault", 'without credentials level="dag" needs one for each clear, and none runs', start
        )
    elif ours.level == "task":
        yield Finding(
            "sweeper",
            "warning",
            'none runs, and with level="task" nobody else retries a run whose task was killed',
            f'attach level="both"; or {start}',
        )


def leaves(dag: Any, ours: Attached) -> Iterator[Finding]:
    """Find tasks that may fail in a run that succeeds."""
    ends_well = may_end_well_without(dag)
    if not ends_well or ours.level is None:
        return
    failed, after = named(ends_well), set().union(*ends_well.values())
    last = "fail_fast" if dag.fail_fast else f"{named(after)} ({_rules(dag, after)})"
    found = f"{last} may end the run well although {failed} failed"
    if ours.level == "task":
        yield Finding(
            "leaves",
            "warning",
            f'{found}, and level="task" clears the run all the same',
            'attach level="both": it clears a run only if the run is certainly lost',
        )
        return
    remedy = (
        f"make {named(after)} {'a teardown' if len(after) == 1 else 'teardowns'}, or add a leaf that needs {failed}"
    )
    yield Finding(
        "leaves",
        "note",
        f"{found}: then nothing is retried",
        f"if that failure is to be retried, {'leave out fail_fast' if dag.fail_fast else remedy}",
    )


def _rules(dag: Any, task_ids: set[str]) -> str:
    return ", ".join(
        sorted({str(getattr(rule := dag.task_dict[each].trigger_rule, "value", rule)) for each in task_ids})
    )


def teardowns(dag: Any, ours: Attached) -> Iterator[Finding]:
    """Find teardowns that do not fit what a retry clears.

    With ``only_failed`` Airflow clears failed tasks and those that waited for them. A setup that succeeded stays as it
    is (``SerializedDAG.clear``, 3.3.2).
    """
    found = {task.task_id for task in dag.tasks if task.is_teardown}
    setups = {task.task_id for task in dag.tasks if task.is_setup}
    if not found:
        return
    if ours.level == "task":
        yield Finding(
            "teardowns",
            "warning",
            f'level="task" clears the run before {said_of(found, "has", "have")} run: the next attempt sets up what '
            "still stands",
            'attach level="both" or "dag": they wait for teardowns',
        )
    if setups and any(policy.scope == "failed" for policy in ours.policies):
        yield Finding(
            "teardowns",
            "warning",
            f'scope "failed" does not clear {named(setups)}: failed tasks run again without what '
            f"{said_of(found, 'has', 'have')} taken down",
            'set scope to "run"',
        )
