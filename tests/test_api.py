"""The API client: what is sent, and what each answer is taken for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import ApiRefused, ApiUnanswered, ApiUnusable, AttemptCounter, FailedTry
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._airflow.settings import ApiSettings
from dag_retry._callback import winner
from dag_retry._callback.holder import Holder
from dag_retry._policy.hooks import Hooks
from tests.servers import free_port
from tests.stub_api import Fault, StubApi, after, before, echo

TRY = FailedTry("branch_b", -1, "try-0")


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def api(stub: StubApi) -> Iterator[AirflowApi]:
    settings = ApiSettings(stub.url, username="retry", password="s3cret")
    with AirflowApi(settings, Deadline(60)) as api:
        yield api


def is_current(api: AirflowApi, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
    """Ask whether a failed try is still the current one: every clear gives a task instance a new id."""
    return api.find_try(dag_id, run_id, failed_try).get("id") == failed_try.ti_id


def test_clear_is_no_dry_run(stub: StubApi, api: AirflowApi) -> None:
    api.clear("daily_load", "run")
    assert stub.clears == 1
    assert stub.seen == [("POST", "/auth/token"), ("POST", "/api/v2/dags/daily_load/dagRuns/run/clear")]
    assert stub.bodies[-1] == {"dry_run": False}


def test_a_token_needs_no_login(stub: StubApi) -> None:
    with AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(60)) as api:
        api.clear("daily_load", "run")
    assert stub.logins == 0


def test_is_current(stub: StubApi, api: AirflowApi) -> None:
    assert is_current(api, "daily_load", "run", TRY)
    api.clear("daily_load", "run")
    assert not is_current(api, "daily_load", "run", TRY)


def test_a_mapped_try_is_asked_for_by_its_index(stub: StubApi, api: AirflowApi) -> None:
    is_current(api, "daily_load", "run", FailedTry("branch_b", 7, "try-0"))
    assert stub.seen[-1][1].endswith("/taskInstances/branch_b/7")


def test_a_vanished_index_is_not_current_while_the_run_is_there(stub: StubApi, api: AirflowApi) -> None:
    stub.faults = [None, before(404, {"detail": "gone"})]
    assert not is_current(api, "daily_load", "run", FailedTry("branch_b", 7, "try-0"))


def test_a_vanished_run_refuses(stub: StubApi, api: AirflowApi) -> None:
    with pytest.raises(ApiRefused, match="404") as refused:
        is_current(api, "daily_load", "gone", TRY)
    assert refused.value.reason == "http_404"


@pytest.mark.parametrize(
    ("run_id", "path"),
    [
        ("manual__2026-01-01T00:00:00+00:00", "manual__2026-01-01T00%3A00%3A00%2B00%3A00"),
        ("with space", "with%20space"),
        ("läuft", "l%C3%A4uft"),
        ("a%2Fb", "a%252Fb"),
        ("a..b", "a..b"),
        ("...", "..."),
        ("x?y#z;v=1&w", "x%3Fy%23z%3Bv%3D1%26w"),
        ("back\\slash", "back%5Cslash"),
        ("%2e%2e", "%252e%252e"),
    ],
)
def test_ids_stay_one_segment(stub: StubApi, api: AirflowApi, run_id: str, path: str) -> None:
    stub.run_id = run_id
    api.clear("daily_load", run_id)
    assert stub.seen[-1] == ("POST", f"/api/v2/dags/daily_load/dagRuns/{path}/clear")
    assert stub.clears == 1


@pytest.mark.parametrize(
    ("dag_id", "run_id"),
    [("..", "run"), (".", "run"), ("daily_load", ".."), ("daily_load", "a/b"), ("daily_load", "~"), ("..", "%2F/../~")],
)
class TestOddIds:
    @pytest.fixture(autouse=True)
    def named(self, stub: StubApi, dag_id: str, run_id: str) -> None:
        stub.dag_id, stub.run_id = dag_id, run_id

    def test_stand_in_the_body(self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str) -> None:
        assert is_current(api, dag_id, run_id, TRY)
        api.clear(dag_id, run_id)
        assert not is_current(api, dag_id, run_id, TRY)
        assert stub.clears == 1
        assert {path for _, path in stub.seen} == {
            "/auth/token",
            "/api/v2/dags/~/dagRuns/~/taskInstances/list",
            "/api/v2/dags/~/clearDagRuns",
        }

    def test_one_index_of_hundreds(self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str) -> None:
        stub.indexes = 250
        assert is_current(api, dag_id, run_id, FailedTry("branch_b", 249, "try-0-249"))
        assert not is_current(api, dag_id, run_id, FailedTry("branch_b", 248, "try-0-249"))
        assert [body["page_offset"] for body in stub.bodies if "page_offset" in body] == [0, 100, 200] * 2

    def test_a_vanished_index(self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str) -> None:
        stub.indexes = 3
        assert not is_current(api, dag_id, run_id, FailedTry("branch_b", 3, "try-0-3"))

    def test_a_run_that_is_gone_or_may_not_be_read(
        self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str
    ) -> None:
        stub.run_id = "another"
        with pytest.raises(ApiRefused, match="the run is gone, or .* may not read the Dag") as refused:
            is_current(api, dag_id, run_id, TRY)
        assert refused.value.reason == "http_404"
        with pytest.raises(ApiRefused) as refused:
            api.clear(dag_id, run_id)
        assert refused.value.reason == "http_404"

    def test_before_airflow_3_3(self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str) -> None:
        stub.lists_runs = False
        assert is_current(api, dag_id, run_id, TRY)
        with pytest.raises(ApiRefused, match=r"only Airflow 3\.3 takes these ids") as refused:
            api.clear(dag_id, run_id)
        assert refused.value.reason == "unsafe_id"

    @pytest.mark.parametrize(
        "runs", [None, [], [{}], ["run"], [{"dag_id": "daily_load", "dag_run_id": "other"}], "two"]
    )
    def test_cleared_something_else(
        self, stub: StubApi, api: AirflowApi, dag_id: str, run_id: str, runs: object
    ) -> None:
        stub.faults = [None, before(200, {"dag_runs": [stub.run()] * 2 if runs == "two" else runs})]
        with pytest.raises(ApiUnusable, match="answered about something else") as refused:
            api.clear(dag_id, run_id)
        assert refused.value.reason == "not_airflow"


def test_an_odd_task_id_is_looked_for_in_a_list(stub: StubApi, api: AirflowApi) -> None:
    assert is_current(api, "daily_load", "run", FailedTry("..", -1, "try-0"))
    assert stub.bodies[-1]["task_ids"] == [".."]


def test_a_list_of_another_run_is_refused(stub: StubApi, api: AirflowApi) -> None:
    stub.faults = [None, before(200, {"task_instances": [stub.task_instance("branch_b", -1)]})]
    with pytest.raises(ApiUnusable, match="answered about something else"):
        is_current(api, "daily_load", "a/b", TRY)


class TestAnswers:
    @pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
    def test_unclear(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.faults = [None, before(status, {"detail": "database is locked"})]
        with pytest.raises(ApiUnanswered, match=f"answered {status}: database is locked"):
            api.clear("daily_load", "run")

    @pytest.mark.parametrize(("said", "seconds"), [("60", 60), ("Fri, 27 Nov 2026 12:00:00 GMT", 0), ("", 0)])
    def test_asks_to_wait(self, stub: StubApi, api: AirflowApi, said: str, seconds: float) -> None:
        stub.faults = [None, before(503, "", **{"Retry-After": said})]
        with pytest.raises(ApiUnanswered) as unanswered:
            api.clear("daily_load", "run")
        assert (unanswered.value.retry_after, unanswered.value.reason) == (seconds, "http_503")

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 422])
    def test_refused(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.faults = [None, before(status, {"detail": "no"})]
        with pytest.raises(ApiRefused, match=f"answered {status}: no") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == f"http_{status}"
        assert stub.clears == 0

    def test_redirects_are_not_followed(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(302, "", Location=f"{stub.url}/login")]
        with pytest.raises(ApiUnusable, match="login page") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "redirect"
        assert all("login" not in path for _, path in stub.seen)

    @pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", '"ok"'])
    def test_not_an_object(self, stub: StubApi, api: AirflowApi, body: str) -> None:
        stub.faults = [None, before(200, body)]
        with pytest.raises(ApiUnusable, match="is it Airflow's API") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "not_airflow"

    @pytest.mark.parametrize("body", [{}, {"dag_id": "daily_load", "dag_run_id": "other"}, {"task_instances": []}])
    def test_another_run(self, stub: StubApi, api: AirflowApi, body: Any) -> None:
        stub.faults = [None, before(200, body)]
        with pytest.raises(ApiUnusable, match="answered about something else") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "not_airflow"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"status": "healthy"},
            {"dag_id": "daily_load", "dag_run_id": "other", "task_id": "branch_b", "map_index": -1, "id": "try-9"},
            {"dag_id": "daily_load", "dag_run_id": "run", "task_id": "branch_a", "map_index": -1, "id": "try-9"},
            {"dag_id": "daily_load", "dag_run_id": "run", "task_id": "branch_b", "map_index": 0, "id": "try-9"},
        ],
    )
    def test_a_look_at_another_try(self, stub: StubApi, api: AirflowApi, body: Any) -> None:
        """It has another id, and would be taken for a run that somebody has cleared."""
        stub.faults = [None, before(200, body)]
        with pytest.raises(ApiUnusable, match="answered about something else") as refused:
            is_current(api, "daily_load", "run", TRY)
        assert refused.value.reason == "not_airflow"

    def test_a_vanished_index_of_another_run(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(404)]
        stub.run_as = {"status": "healthy"}
        with pytest.raises(ApiUnusable, match="answered about something else"):
            is_current(api, "daily_load", "run", FailedTry("branch_b", 7, "try-0"))

    def test_no_content(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(204, "")]
        with pytest.raises(ApiUnusable, match="answered 204, and the body is not a JSON object") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "not_airflow"

    @pytest.mark.parametrize("status", [403, 500])
    def test_a_long_detail_is_shortened(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.faults = [None, before(status, {"detail": "x" * 5000})]
        with pytest.raises((ApiRefused, ApiUnanswered)) as error:
            api.clear("daily_load", "run")
        assert len(str(error.value)) < 400

    def test_an_unprocessable_body_is_named_and_not_quoted(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, echo(422)]
        with pytest.raises(ApiRefused, match=r"422: \['body', 'username'\]: Field required$"):
            api.clear("daily_load", "run")


class TestLogin:
    @pytest.mark.parametrize("over", [before(401, {"detail": "Expired"}), before(403, {"detail": "Invalid JWT token"})])
    def test_once_more_where_the_token_is_over(self, stub: StubApi, api: AirflowApi, over: Fault) -> None:
        is_current(api, "daily_load", "run", TRY)
        stub.faults = [over]
        assert is_current(api, "daily_load", "run", TRY)
        assert stub.logins == 2

    def test_between_the_look_and_the_clear(self, stub: StubApi, api: AirflowApi) -> None:
        """After the time of a login it is looked again, since a person may have cleared the run meanwhile."""
        is_current(api, "daily_load", "run", TRY)
        stub.faults = [before(401)]
        with pytest.raises(ApiUnanswered, match="the token has been renewed"):
            api.clear("daily_load", "run")
        assert is_current(api, "daily_load", "run", TRY)
        api.clear("daily_load", "run")
        assert (stub.logins, stub.clears) == (2, 1)

    def test_between_them_costs_one_login_and_one_clear(
        self, stub: StubApi, counter: AttemptCounter, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="dag_retry")
        claim = counter.claim("daily_load", "run", generation=0, max_attempts=2, failed_try=TRY)
        deploy(api_url=stub.url, api_username="retry", api_password="s3cret")
        stub.faults = [None, None, before(401)]
        winner.clear(Holder(claim, counter, "task", Hooks(), {}, Airflow(Deadline(60))))
        assert "attempt 1 of 2 begins (cleared)" in caplog.text
        assert (stub.logins, stub.clears) == (2, 1)
        before_the_note = [path.rsplit("/", 1)[1] for _, path in stub.seen][:6]
        assert before_the_note == ["token", "branch_b", "clear"] * 2

    def test_but_only_once(self, stub: StubApi, api: AirflowApi) -> None:
        is_current(api, "daily_load", "run", TRY)
        stub.faults = [before(401), None, before(401)]
        with pytest.raises(ApiUnusable, match="401"):
            is_current(api, "daily_load", "run", TRY)
        stub.faults = [before(401)]
        with pytest.raises(ApiUnusable, match="401"):
            api.clear("daily_load", "run")
        assert (stub.logins, stub.clears) == (2, 0)

    def test_not_where_something_is_forbidden(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(403, {"detail": "Forbidden"})]
        with pytest.raises(ApiRefused) as refused:
            api.clear("daily_load", "run")
        assert (refused.value.reason, stub.logins) == ("http_403", 1)

    def test_not_with_a_token_that_was_given(self, stub: StubApi) -> None:
        with (
            AirflowApi(ApiSettings(stub.url, token="over"), Deadline(60)) as api,
            pytest.raises(ApiUnusable) as refused,
        ):
            api.clear("daily_load", "run")
        assert (refused.value.reason, len(stub.seen)) == ("login", 1)

    def test_refused(self, stub: StubApi) -> None:
        settings = ApiSettings(stub.url, username="retry", password="wrong")
        with AirflowApi(settings, Deadline(60)) as api, pytest.raises(ApiUnusable) as refused:
            api.clear("daily_load", "run")
        assert (refused.value.reason, refused.value.status) == ("login", 401)
        assert re.search(r"login of 'retry' at http.*/auth/token was answered 401: Invalid", str(refused.value))
        assert "wrong" not in str(refused.value)


class TestWeather:
    def test_nobody_there(self) -> None:
        with (
            AirflowApi(ApiSettings(f"http://127.0.0.1:{free_port()}", token="t"), Deadline(60)) as api,
            pytest.raises(ApiUnanswered, match="ConnectionError"),
        ):
            api.clear("daily_load", "run")

    def test_no_time_left(self, stub: StubApi) -> None:
        with (
            AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(0)) as api,
            pytest.raises(ApiUnanswered, match="no time is left of 0 s"),
        ):
            api.clear("daily_load", "run")
        assert stub.seen == []

    def test_done_but_500(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, after(500)]
        with pytest.raises(ApiUnanswered):
            api.clear("daily_load", "run")
        assert stub.clears == 1
