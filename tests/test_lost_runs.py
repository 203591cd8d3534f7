"""Whether a run is certainly lost: Dags as users write them, and what Airflow makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from dag_retry._policy.lost_runs import is_lost
from tests.lost_runs import CASES

# What Airflow tells, where this is not "the failed task runs its callback, what is before it has succeeded".
STATES: dict[str, dict[str, set[str | None]]] = {
    "skipped_by_a_task_before": {"skips": {"skipped"}, "join": {"skipped"}},
    "a_skipped_task_does_not_matter_to_none_failed": {"skips": {"skipped"}},
    "short_circuit": {"gate": {"success"}, "skipped": {"skipped"}, "join": {"skipped"}},
    "the_chosen_branch": {"other": {"skipped"}},
    "mapped": {"fails": {"running", "success", None}},
}


def judged(name: str, told: dict[str, set[str | None]] | None) -> tuple[bool, list[list[str]]]:
    dag, asked = CASES[name].dag, []
    failed = next(task_id for task_id in dag.task_dict if task_id.endswith("fails"))
    before = dag.get_task(failed).get_flat_relative_ids(upstream=True)

    def read_states(task_ids: list[str]) -> Any:
        asked.append(task_ids)
        ordinary: dict[str, set[str | None]] = {
            task_id: {"success" if task_id in before else "running" if task_id == failed else None}
            for task_id in task_ids
        }
        return None if told is None else ordinary | {task_id: told[task_id] for task_id in task_ids if task_id in told}

    return is_lost(dag, failed, mapped="mapped" in name, read_states=read_states), asked


@pytest.mark.parametrize("name", CASES)
def test_each_case(name: str) -> None:
    lost, asked = judged(name, STATES.get(name, {}))
    assert (lost, bool(asked)) == (CASES[name].lost, CASES[name].asks)
    assert len(asked) <= 1


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.asks])
def test_nothing_is_certain_where_airflow_tells_no_states(name: str) -> None:
    lost, asked = judged(name, None)
    assert (lost, len(asked)) == (False, 1)


@pytest.mark.parametrize(
    ("states", "lost"),
    [
        ({"join": {"upstream_failed"}}, True),
        ({"other": {"skipped"}}, False),
        ({"other": {"skipped"}, "join": {"upstream_failed"}}, True),
        ({"other": {"failed"}}, True),
        ({"join": {"success"}}, False),  # somebody has cleared the failed task alone
        ({"join": {"skipped"}}, False),
        ({"join": {"success", None}}, False),
    ],
)
def test_states_that_are_there_already(states: Any, lost: bool) -> None:
    assert judged("beside_a_task_that_succeeds", states)[0] is lost


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (None, False),
        ("running", False),
        ("up_for_retry", False),
        ("success", True),
        ("failed", True),
        ("skipped", True),
    ],
)
def test_a_teardown_of_another_branch(state: str | None, lost: bool) -> None:
    assert judged("a_teardown_of_another_branch", {"down": {state}})[0] is lost


def test_a_mapped_setup_that_failed_for_one_index() -> None:
    """Its other indexes have succeeded, so the teardown will run."""
    dag = CASES["a_setup_without_which_its_teardown_never_runs"].dag

    def read_states(task_ids: list[str]) -> Any:
        return {task_id: {None} for task_id in task_ids}

    assert is_lost(dag, "fails", mapped=False, read_states=read_states)
    assert not is_lost(dag, "fails", mapped=True, read_states=read_states)
