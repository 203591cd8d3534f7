"""Whether the route clears a run: every line of the table, without a database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import ValidationError

from dag_retry._airflow.audit_log import Line, SetByHand, Try, read_states_set
from dag_retry.plugin.clear.decision import decide
from dag_retry.plugin.clear.messages import ClearRequest
from dag_retry.plugin.clear.our_clears import OurClear, read_our_clear, write_our_clear

if TYPE_CHECKING:
    from dag_retry.plugin.clear.airflow_internals import LockedRun

NOW = datetime(2026, 11, 27, 8, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def uuid7(at: datetime) -> str:
    text = f"{int(at.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


TI = uuid7(NOW)
CLAIM: dict[str, Any] = {
    "claim_id": "mine",
    "generation": 3,
    "base": 3,
    "attempt": 1,
    "max_attempts": 2,
    "fresh": False,
    "task_id": "load",
    "map_index": -1,
    "ti_id": TI,
    "only_failed": False,
    "run_on_latest_version": False,
    "skip_if_newer_run": False,
    "note": "",
}


@dataclass
class Row:
    """What the database has: a run whose task has just failed, if nothing else is said."""

    state: str = "failed"
    clear_number: int = 3
    created_at: datetime | None = NOW - 60 * SECOND
    our_clears: Sequence[OurClear] = ()
    set_by_hand: Sequence[SetByHand] = ()
    is_paused: bool = False
    is_paused_by_failures: bool = False
    is_draining: bool = False
    is_of_paused_backfill: bool = False
    has_newer_success: bool = False
    tries: dict[str, Try] = field(default_factory=lambda: {TI: Try("failed", NOW)})

    def find_try(self, ti_id: str) -> Try | None:
        return self.tries.get(ti_id)


def decided(row: Row | None = None, **claim: Any) -> tuple[str, str, int]:
    return decide(ClearRequest(**CLAIM | claim), cast("LockedRun", row or Row()))


def its(state: str | None, end_date: datetime | None = NOW) -> dict[str, Try]:
    return {TI: Try(state, end_date)}


@pytest.mark.parametrize(
    ("row", "claim"),
    [
        (Row(), {}),
        (Row(state="running"), {}),
        (Row(state="queued"), {}),
        (Row(state="running", tries=its("running", None)), {"fresh": True}),
        (Row(state="running", tries=its("running", None)), {}),  # its worker is lost
        (Row(tries=its("skipped")), {}),  # dagrun_timeout
        (Row(tries=its("skipped")), {"fresh": True}),
        (Row(tries=its(None)), {}),  # a deadlock of its tasks
        (Row(tries={}), {"ti_id": "", "task_id": ""}),  # Airflow named no task
        (Row(created_at=None), {}),  # made before Airflow 3.2
    ],
)
def test_current(row: Row, claim: dict[str, Any]) -> None:
    assert decided(row, **claim) == ("current", "cleared", 1)


def test_already_cleared() -> None:
    assert decided(Row(clear_number=4)) == ("already_cleared", "already_cleared", 1)


@pytest.mark.parametrize(
    ("row", "claim"),
    [
        (Row(tries={}), {}),
        (Row(), {"ti_id": uuid7(NOW - SECOND)}),
        (Row(state="running", tries=its("restarting")), {"fresh": True}),  # Airflow 3.4 keeps its id
        (Row(state="failed", tries=its("restarting")), {}),
        (Row(state="running", tries=its("up_for_retry")), {}),
        (Row(state="running", tries=its(None)), {}),
        (Row(created_at=NOW, tries={}), {"ti_id": uuid7(NOW)}),  # made with its run
        (Row(tries={}), {"ti_id": "ffffffff-ffff-4fff-8fff-ffffffffffff"}),  # no UUIDv7
    ],
)
def test_another_try_in_the_same_generation(row: Row, claim: dict[str, Any]) -> None:
    """A scheduler resets an orphaned task, or a public clear loses its update of ``clear_number``."""
    assert decided(row, **claim) == ("replaced", "replaced", 1)


@pytest.mark.parametrize(
    ("row", "claim"),
    [
        (None, {}),
        (Row(), {"generation": 4}),
        (Row(created_at=NOW, tries={}), {"ti_id": uuid7(NOW - SECOND)}),
        (Row(clear_number=4, created_at=NOW, tries={}), {"ti_id": uuid7(NOW - SECOND)}),
    ],
)
def test_gone(row: Row | None, claim: dict[str, Any]) -> None:
    assert decide(ClearRequest(**CLAIM | claim), cast("LockedRun", row)) == ("gone", "gone", 1)


def of_run(state: str) -> SetByHand:
    return SetByHand(NOW, state, of_run=True)


def of_task(state: str, task_id: str | None = "load", map_index: str | None = None, after: int = 0) -> SetByHand:
    return SetByHand(NOW + after * SECOND, state, task_id=task_id, map_index=map_index)


@pytest.mark.parametrize(
    ("row", "claim"),
    [
        (Row(state="success", set_by_hand=[of_run("success")]), {}),
        (Row(set_by_hand=[of_run("failed")]), {}),
        (
            Row(state="running", tries=its("running"), set_by_hand=[of_run("failed")]),
            {"fresh": True},
        ),  # a teardown runs
        (Row(tries=its("failed")), {"fresh": True}),
        (Row(state="running", tries=its("success")), {}),
        (Row(state="running", set_by_hand=[of_task("failed")]), {"fresh": True}),
        (Row(state="running", set_by_hand=[of_task("failed", task_id=None)]), {}),
        (Row(state="running", set_by_hand=[of_task("failed", map_index="2", after=-9)]), {"map_index": 2}),
        (Row(tries=its("skipped"), set_by_hand=[of_task("skipped")]), {}),
    ],
)
def test_settled_by_hand(row: Row, claim: dict[str, Any]) -> None:
    assert decided(row, **claim) == ("settled", "settled_by_hand", 1)


@pytest.mark.parametrize(
    "word",
    [
        of_run("queued"),
        of_run("None"),  # a request that set a note only
        of_task("failed", task_id="other"),
        of_task("failed", map_index="2"),
        of_task("success"),  # refused, or undone
        of_task("failed", after=1),  # it had failed before
        of_task("failed", after=-61),  # refused, and it failed later
    ],
)
def test_what_people_set_that_settles_nothing(word: SetByHand) -> None:
    assert decided(Row(set_by_hand=[word])) == ("current", "cleared", 1)


def test_a_run_that_recovered_by_itself() -> None:
    assert decided(Row(state="success")) == ("settled", "run_succeeded", 1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Row(is_paused=True), "dag_paused"),
        (Row(is_paused=True, is_paused_by_failures=True), "dag_paused_by_failures"),
        (Row(is_draining=True), "dag_draining"),
        (Row(is_of_paused_backfill=True), "backfill_ended"),
        (Row(has_newer_success=True), "newer_run_succeeded"),
    ],
)
def test_hopeless(row: Row, reason: str) -> None:
    assert decided(row, skip_if_newer_run=True) == ("hopeless", reason, 1)


def test_a_newer_run_counts_only_if_it_is_asked_for() -> None:
    assert decided(Row(has_newer_success=True)) == ("current", "cleared", 1)


def clears(*of: tuple[str, int, int]) -> list[OurClear]:
    return [OurClear(claim_id, generation, attempt, 1) for claim_id, generation, attempt in of]


@pytest.mark.parametrize(
    ("ours", "claim", "outcome"),
    [
        # Redis and the audit log agree.
        (clears(("a", 2, 1)), {"base": 2, "attempt": 2}, ("current", "cleared", 2)),
        # Redis has forgotten one, some, all.
        (clears(("a", 2, 1)), {"base": 3, "attempt": 1}, ("current", "cleared", 2)),
        (clears(("b", 2, 2), ("a", 1, 1)), {"base": 3, "attempt": 1}, ("exhausted", "audit_log", 2)),
        (clears(("b", 2, 2), ("a", 1, 1)), {"base": 2, "attempt": 2}, ("exhausted", "audit_log", 2)),
        (clears(("b", 2, 2), ("a", 1, 1)), {"base": 0, "attempt": 1, "max_attempts": 3}, ("current", "cleared", 3)),
        # A person has cleared the run since: a fresh budget.
        (clears(("b", 1, 2), ("a", 0, 1)), {"base": 3, "attempt": 1}, ("current", "cleared", 1)),
        # The cap was lowered meanwhile.
        (clears(("b", 2, 5)), {"base": 2, "attempt": 1, "max_attempts": 3}, ("exhausted", "audit_log", 5)),
    ],
)
def test_the_second_witness(ours: list[OurClear], claim: dict[str, Any], outcome: tuple[str, str, int]) -> None:
    assert decided(Row(our_clears=ours), **claim) == outcome


def test_an_exhausted_run_does_not_wait_for_its_dag() -> None:
    assert decided(Row(our_clears=clears(("a", 2, 2)), is_paused=True)) == ("exhausted", "audit_log", 2)


@pytest.mark.parametrize("row", [Row(clear_number=4), Row(clear_number=9), Row(clear_number=4, state="success")])
def test_a_repeated_request(row: Row) -> None:
    row.our_clears = clears(("later", 4, 3), ("mine", 3, 2))
    assert decided(row) == ("cleared", "cleared", 2)


def test_our_line_is_read_as_written() -> None:
    extra = write_our_clear(ClearRequest(**CLAIM), attempt=2, dag_run=7)
    assert json.loads(extra) == {
        "claim_id": "mine", "generation": 3, "base": 3, "attempt": 2, "max_attempts": 2, "dag_run": 7
    }  # fmt: skip
    assert read_our_clear(extra) == OurClear("mine", 3, 2, 7)
    assert [read_our_clear(other) for other in (None, "", "[]", "what?", '{"claim_id": "mine"}')] == [None] * 5


def logged(event: str, extra: str | None, dag_id: str = "d", task_id: str | None = None) -> Line:
    return Line(NOW, event, dag_id, task_id, extra)


BULK = '{"action": "update", "entities": [{"dag_id": %s, "dag_run_id": "r", "state": "failed"}, {"dag_run_id": "o"}]}'


@pytest.mark.parametrize(
    ("line", "states"),
    [
        # As Airflow 3.3.2 writes them.
        (logged("patch_dag_run", '{"state": "failed", "method": "PATCH"}'), [of_run("failed")]),
        (logged("patch_dag_run", '{"note": "hm", "method": "PATCH"}'), [of_run("None")]),
        (logged("patch_task_instance", '{"new_state": "SUCCESS"}', task_id="load"), [of_task("success")]),
        (logged("patch_task_instance", '{"map_index": "2", "new_state": "failed"}', task_id="load"),
         [of_task("failed", map_index="2")]),
        (logged("patch_task_group_instances", '{"group_id": "g", "new_state": "failed"}'), [of_task("failed", None)]),
        (logged("bulk_dag_runs", '{"actions": [%s], "method": "PATCH"}' % (BULK % '"d"'), dag_id="~"),
         [of_run("failed")]),
        (logged("bulk_dag_runs", '{"actions": [%s]}' % (BULK % "null")), [of_run("failed")]),
        (logged("bulk_dag_runs", '{"actions": [%s]}' % (BULK % '"other"')), []),
        (logged("bulk_dag_runs", '{"actions": [{"action": "delete", "entities": ["r"]}]}'), []),
        # Of requests that Airflow then refused.
        (logged("bulk_dag_runs", '{"actions": [1, {"entities": {}}]}'), []),
        (logged("bulk_dag_runs", '{"actions": "all"}'), []),
        (logged("patch_dag_run", '{"state": ["failed"]}'), [of_run("['failed']")]),
        (logged("patch_dag_run", None), [of_run("None")]),
    ],
)  # fmt: skip
def test_what_people_set_is_read_from_the_audit_log(line: Line, states: list[SetByHand]) -> None:
    assert list(read_states_set(line, "d", "r")) == states


@pytest.mark.parametrize(
    "wrong",
    [
        {"dag_id": "other"},
        {"claim_id": ""},
        {"claim_id": "x" * 65},
        {"claim_id": "a\0b"},
        {"generation": -1},
        {"generation": 2**31},
        {"generation": "3"},
        {"generation": True},
        {"attempt": 0},
        {"ti_id": "other"},
        {"ti_id": TI + "\n"},
        {"map_index": -2},
        {"task_id": "x" * 251},
        {"note": "x" * 1001},
        {"note": "a\0b"},
        {"fresh": 1},
    ],
)
def test_bad_requests(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClearRequest(**CLAIM | wrong)
