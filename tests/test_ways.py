"""The ways to clear: what Airflow's state says of a claim, and how each way asks. The live tests ask a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import ApiUnanswered, ApiUnusable, Claim, FailedTry, Verdict
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from dag_retry._airflow.ways.atomic import AtomicWay, RouteMissingError
from dag_retry._airflow.ways.decision import Decision, Seen, decide
from dag_retry._airflow.ways.rest import RestWay
from tests.stub_api import StubApi, after, answer, before

TRY = FailedTry("branch_b", -1, "try-0", "TimeoutError")
CLAIM = Claim(
    verdict=Verdict.WON,
    reason="claimed",
    attempt=1,
    max_attempts=2,
    generation=0,
    base=0,
    claim_id="claim",
    dag_id="daily_load",
    run_id="run",
    holder="",
    failed_try=TRY,
)


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def api(stub: StubApi) -> Iterator[AirflowApi]:
    with AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(60)) as api:
        yield api


class TestDecide:
    @pytest.mark.parametrize(
        ("level", "reason", "run_state", "try_state", "outcome"),
        [
            ("task", "claimed", "running", "running", "current"),
            ("task", "fresh_budget", "running", "running", "current"),
            ("dag", "claimed", "failed", "failed", "current"),
            ("dag", "taken_over", "failed", "failed", "current"),
            ("sweeper", "due", "failed", "failed", "current"),
            ("sweeper", "taken_over", "running", "failed", "current"),
            ("sweeper", "taken_over", "running", "running", "current"),
            # Airflow's dagrun_timeout fails the run, and skips what still runs.
            ("task", "claimed", "failed", "skipped", "current"),
            # A person stopped the run. Then its task failed while it was being stopped.
            ("task", "claimed", "failed", "failed", "settled"),
            ("task", "claimed", "success", "success", "settled"),
            ("dag", "claimed", "success", "failed", "settled"),
            ("sweeper", "due", "success", "failed", "settled"),
            ("sweeper", "due", "failed", "success", "settled"),
            # Airflow 3.4: the task has been cleared, and has not ended yet.
            ("task", "claimed", "running", "restarting", "already_cleared"),
            ("sweeper", "taken_over", "failed", "restarting", "already_cleared"),
            # The task itself begins another try.
            ("sweeper", "taken_over", "running", "up_for_retry", "already_cleared"),
            ("sweeper", "taken_over", "running", "scheduled", "already_cleared"),
        ],
    )
    def test_by_state(self, level: Any, reason: str, run_state: str, try_state: str, outcome: str) -> None:
        claim = CLAIM._replace(reason=reason)
        assert decide(Seen(run_state, "try-0", try_state), claim, level).outcome == outcome

    @pytest.mark.parametrize("run_state", ["running", "queued", "success", "failed"])
    def test_another_try_is_there(self, run_state: str) -> None:
        assert decide(Seen(run_state, "try-1", "running"), CLAIM, "task").outcome == "already_cleared"

    def test_the_audit_log_says_that_a_person_decided(self) -> None:
        seen = Seen("failed", "try-0", "failed", settled=True)
        assert decide(seen, CLAIM._replace(reason="due"), "sweeper").outcome == "settled"

    @pytest.mark.parametrize("reason", ["timed_out", "all_tasks_deadlocked"])
    def test_a_run_that_failed_as_a_whole_may_name_a_task_that_succeeded(self, reason: str) -> None:
        claim = CLAIM._replace(failed_try=TRY._replace(error=reason))
        assert decide(Seen("failed", "try-0", "success"), claim, "dag").outcome == "current"


class TestRest:
    def test_a_clear_that_airflow_may_still_be_at_work_on_is_left(self, stub: StubApi, api: AirflowApi) -> None:
        """A gateway has given up, and the look finds the failed try. A second clear might be one too many."""
        stub.faults = [before(504, "<html>")]
        assert RestWay(api).clear(CLAIM, "task", "") == Decision("left", "clear_in_progress")
        assert [path for method, path in stub.seen if method == "POST"] == ["/api/v2/dags/daily_load/dagRuns/run/clear"]

    def test_a_clear_in_progress_is_left_though_the_next_look_is_not_answered(
        self, stub: StubApi, api: AirflowApi
    ) -> None:
        """Whoever tried again would look in time, and clear a second time."""
        stub.faults = [before(504, "<html>"), before(503)]
        assert RestWay(api).clear(CLAIM, "task", "") == Decision("left", "clear_in_progress")

    def test_a_clear_that_was_done_late_is_found(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [after(504)]
        assert RestWay(api).clear(CLAIM, "task", "").outcome == "already_cleared"
        assert stub.clears == 1

    def test_a_run_that_is_gone(self, stub: StubApi, api: AirflowApi) -> None:
        claim = CLAIM._replace(run_id="deleted")
        assert RestWay(api).look(claim, "task").outcome == "gone"

    def test_a_404_that_is_not_airflows_is_no_word_about_the_run(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [lambda *_: answer(404, {"detail": "Not Found"})]
        with pytest.raises(ApiUnusable, match="404"):
            RestWay(api).look(CLAIM._replace(run_id="other"), "task")

    @pytest.mark.parametrize(
        ("event", "extra", "decided"),
        [
            ("patch_dag_run", {"state": "failed"}, True),
            ("patch_dag_run", {"note": "state: failed"}, False),
            ("patch_task_instance", {"new_state": "failed"}, True),
            ("bulk_dag_runs", {"actions": [{"entities": [{"dag_run_id": "run", "state": "failed"}]}]}, True),
            ("bulk_dag_runs", {"actions": [{"entities": [{"dag_run_id": "other", "state": "failed"}]}]}, False),
            ("clear_dag_run", {"dry_run": False}, False),
        ],
    )
    def test_the_audit_log_is_asked_where_people_had_time(
        self, stub: StubApi, api: AirflowApi, event: str, extra: dict[str, Any], *, decided: bool
    ) -> None:
        stub.run_state = stub.ti_state = "failed"
        stub.ti_ended = "2026-11-27T08:00:01Z"
        line = {"when": "2026-11-27T08:00:00Z", "event": event, "extra": json.dumps(extra)}
        stub.audit_log = [line | {"dag_id": "daily_load", "task_id": "branch_b"}]
        assert RestWay(api).look(CLAIM, "dag").outcome == "current"
        outcome = "settled" if decided else "current"
        assert RestWay(api).look(CLAIM._replace(reason="due"), "sweeper").outcome == outcome

    def test_a_paused_dag_is_hopeless(self, stub: StubApi, api: AirflowApi) -> None:
        stub.paused = True
        assert RestWay(api).look(CLAIM, "task") == ("hopeless", "dag_paused", 0)

    def test_a_stranded_run_is_queued_after_the_clear(self, stub: StubApi, api: AirflowApi) -> None:
        """The scheduler's verdict overlaps the clear: the run is failed, and its tasks are nobody's."""
        stub.ti_state = None
        stub.run_state = "failed"
        assert RestWay(api).clear(CLAIM, "task", "").outcome == "cleared"
        assert (stub.clears, stub.run_state) == (1, "queued")


class TestAtomic:
    def test_one_request(self, stub: StubApi, api: AirflowApi) -> None:
        stub.route = lambda asked: answer(200, {"outcome": "cleared", "reason": "cleared", "attempt": 1})
        way = AtomicWay(api.client)
        assert way.look(CLAIM, "task").outcome == "current"
        assert way.clear(CLAIM, "task", "Dag retry 1/2") == ("cleared", "cleared", 1)
        assert stub.asked == [
            {
                "claim_id": "claim",
                "generation": 0,
                "base": 0,
                "attempt": 1,
                "max_attempts": 2,
                "fresh": True,
                "task_id": "branch_b",
                "map_index": -1,
                "ti_id": "try-0",
                "only_failed": False,
                "run_on_latest_version": False,
                "skip_if_newer_run": False,
                "note": "Dag retry 1/2",
            }
        ]

    @pytest.mark.parametrize("status", [404, 405, 501])
    def test_no_route(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.route = lambda asked: answer(status, {"detail": "no"})
        with pytest.raises(RouteMissingError):
            AtomicWay(api.client).clear(CLAIM, "task", "")

    @pytest.mark.parametrize("status", [409, 500, 503])
    def test_unclear(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.route = lambda asked: answer(status, {"detail": "ask again"})
        with pytest.raises(ApiUnanswered, match="ask again") as unclear:
            AtomicWay(api.client).clear(CLAIM, "task", "")
        # An error that is its own cause: Airflow's log of the error would never end.
        assert unclear.value.__cause__ is not unclear.value

    @pytest.mark.parametrize("said", [{}, {"outcome": "else", "reason": "", "attempt": 1}, {"outcome": "cleared"}])
    def test_an_answer_of_something_else(self, stub: StubApi, api: AirflowApi, said: Any) -> None:
        stub.route = lambda asked: answer(200, said)
        with pytest.raises(ApiUnusable) as refused:
            AtomicWay(api.client).clear(CLAIM, "task", "")
        assert refused.value.reason == "not_airflow"

    def test_a_run_that_failed_as_a_whole_names_no_try(self, stub: StubApi, api: AirflowApi) -> None:
        stub.route = lambda asked: answer(200, {"outcome": "cleared", "reason": "cleared", "attempt": 1})
        claim = CLAIM._replace(failed_try=TRY._replace(error="timed_out"))
        AtomicWay(api.client).clear(claim, "dag", "")
        assert (stub.asked[0]["ti_id"], stub.asked[0]["fresh"]) == ("", False)
