"""The API client: what is sent, and what each answer is taken for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import ClearRefused, ClearUnconfirmed, FailedTry
from dag_retry._api import AirflowApi
from dag_retry._deadline import Deadline
from dag_retry._settings import ApiSettings
from tests.servers import free_port
from tests.stub_api import Fault, StubApi, after, before

TRY = FailedTry("branch_b", -1, "try-0")


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def api(stub: StubApi) -> Iterator[AirflowApi]:
    settings = ApiSettings(stub.url, username="retry", password="s3cret")
    with AirflowApi(settings, Deadline(10)) as api:
        yield api


def test_clear_is_no_dry_run(stub: StubApi, api: AirflowApi) -> None:
    api.clear("daily_load", "run")
    assert stub.clears == 1
    assert stub.seen == [("POST", "/auth/token"), ("POST", "/api/v2/dags/daily_load/dagRuns/run/clear")]
    assert stub.bodies[-1] == {"dry_run": False}


def test_a_token_needs_no_login(stub: StubApi) -> None:
    with AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(10)) as api:
        api.clear("daily_load", "run")
    assert stub.logins == 0


def test_is_current(stub: StubApi, api: AirflowApi) -> None:
    assert api.is_current("daily_load", "run", TRY)
    api.clear("daily_load", "run")
    assert not api.is_current("daily_load", "run", TRY)


def test_a_mapped_try_is_asked_for_by_its_index(stub: StubApi, api: AirflowApi) -> None:
    api.is_current("daily_load", "run", FailedTry("branch_b", 7, "try-0"))
    assert stub.seen[-1][1].endswith("/taskInstances/branch_b/7")


def test_a_vanished_index_is_not_current_while_the_run_is_there(stub: StubApi, api: AirflowApi) -> None:
    stub.faults = [None, before(404, {"detail": "gone"})]
    assert not api.is_current("daily_load", "run", FailedTry("branch_b", 7, "try-0"))


def test_a_vanished_run_refuses(stub: StubApi, api: AirflowApi) -> None:
    with pytest.raises(ClearRefused, match="404") as refused:
        api.is_current("daily_load", "gone", TRY)
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
    [("..", "run"), (".", "run"), ("daily_load", ".."), ("daily_load", "a/b"), ("daily_load", "~")],
)
def test_ids_that_a_path_cannot_carry_are_refused_unsent(
    stub: StubApi, api: AirflowApi, dag_id: str, run_id: str
) -> None:
    with pytest.raises(ClearRefused, match="can't stand in the path") as refused:
        api.clear(dag_id, run_id)
    assert refused.value.reason == "unsafe_id"
    assert stub.seen == []


class TestAnswers:
    @pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
    def test_unclear(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.faults = [None, before(status, {"detail": "database is locked"})]
        with pytest.raises(ClearUnconfirmed, match=f"answered {status}: database is locked"):
            api.clear("daily_load", "run")

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 422])
    def test_refused(self, stub: StubApi, api: AirflowApi, status: int) -> None:
        stub.faults = [None, before(status, {"detail": "no"})]
        with pytest.raises(ClearRefused, match=f"answered {status}: no") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == f"http_{status}"
        assert stub.clears == 0

    def test_redirects_are_not_followed(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(302, "", Location=f"{stub.url}/login")]
        with pytest.raises(ClearRefused, match="login page") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "http_302"
        assert all("login" not in path for _, path in stub.seen)

    @pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", '"ok"'])
    def test_not_an_object(self, stub: StubApi, api: AirflowApi, body: str) -> None:
        stub.faults = [None, before(200, body)]
        with pytest.raises(ClearRefused, match="is it Airflow's API") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "not_airflow"

    @pytest.mark.parametrize("body", [{}, {"dag_id": "daily_load", "dag_run_id": "other"}, {"task_instances": []}])
    def test_another_run(self, stub: StubApi, api: AirflowApi, body: Any) -> None:
        stub.faults = [None, before(200, body)]
        with pytest.raises(ClearRefused, match="something else than this run") as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "not_airflow"

    def test_a_long_page_is_shortened(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, before(403, "<html>" + "x" * 5000)]
        with pytest.raises(ClearRefused) as refused:
            api.clear("daily_load", "run")
        assert len(str(refused.value)) < 400


class TestLogin:
    @pytest.mark.parametrize("over", [before(401, {"detail": "Expired"}), before(403, {"detail": "Invalid JWT token"})])
    def test_once_more_where_the_token_is_over(self, stub: StubApi, api: AirflowApi, over: Fault) -> None:
        api.is_current("daily_load", "run", TRY)
        stub.faults = [over]
        api.clear("daily_load", "run")
        assert (stub.logins, stub.clears) == (2, 1)

    def test_but_only_once(self, stub: StubApi, api: AirflowApi) -> None:
        api.is_current("daily_load", "run", TRY)
        stub.faults = [before(401), None, before(401)]
        with pytest.raises(ClearRefused, match="401"):
            api.clear("daily_load", "run")
        assert stub.logins == 2

    def test_refused(self, stub: StubApi) -> None:
        settings = ApiSettings(stub.url, username="retry", password="wrong")
        with AirflowApi(settings, Deadline(10)) as api, pytest.raises(ClearRefused) as refused:
            api.clear("daily_load", "run")
        assert refused.value.reason == "http_401"
        assert re.search(r"login of 'retry' at http.*/auth/token was answered 401: Invalid", str(refused.value))
        assert "wrong" not in str(refused.value)

    def test_without_a_token(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [before(201, {"hello": "world"})]
        with pytest.raises(ClearRefused, match="no access_token"):
            api.clear("daily_load", "run")

    def test_a_netrc_is_not_used(self, stub: StubApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine localhost login other password other\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(10)) as api:
            api.clear("daily_load", "run")
        assert stub.clears == 1


class TestWeather:
    def test_nobody_there(self) -> None:
        with (
            AirflowApi(ApiSettings(f"http://127.0.0.1:{free_port()}", token="t"), Deadline(10)) as api,
            pytest.raises(ClearUnconfirmed, match="ConnectionError"),
        ):
            api.clear("daily_load", "run")

    def test_no_time_left(self, stub: StubApi) -> None:
        with (
            AirflowApi(ApiSettings(stub.url, token="token-0"), Deadline(0)) as api,
            pytest.raises(ClearUnconfirmed, match="no time left"),
        ):
            api.clear("daily_load", "run")
        assert stub.seen == []

    def test_no_tls_there(self, stub: StubApi) -> None:
        with (
            AirflowApi(ApiSettings(stub.url.replace("http:", "https:"), token="token-0"), Deadline(10)) as api,
            pytest.raises(ClearRefused, match="TLS") as refused,
        ):
            api.clear("daily_load", "run")
        assert refused.value.reason == "tls"

    def test_done_but_500(self, stub: StubApi, api: AirflowApi) -> None:
        stub.faults = [None, after(500)]
        with pytest.raises(ClearUnconfirmed):
            api.clear("daily_load", "run")
        assert stub.clears == 1
