"""How a bearer token is had, and what is said where there is none."""

from __future__ import annotations

import re
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import ApiError, ApiUnanswered, ApiUnusable
from dag_retry._airflow import sdk
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from tests.stub_api import Fault, StubApi, before, echo


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's."""
    module = ModuleType("ours")
    monkeypatch.setitem(sys.modules, "ours", module)
    return module


def clear(settings: ApiSettings, seconds: float = 60) -> None:
    with AirflowApi(settings, Deadline(seconds)) as api:
        api.clear("daily_load", "run")


class TestLogin:
    @pytest.mark.parametrize(
        ("status", "body", "said", "reason"),
        [
            (401, {"detail": "Invalid credentials"}, "Invalid credentials", "login"),
            (403, {"detail": "Client credentials authentication failed"}, "Client credentials", "login"),
            (404, "<html>", "NOT FOUND", "not_airflow"),
            (405, {"detail": "Method Not Allowed"}, "Method Not Allowed", "not_airflow"),
        ],
    )
    def test_refused(self, stub: StubApi, status: int, body: object, said: str, reason: str) -> None:
        stub.faults = [before(status, body)]
        with pytest.raises(ApiUnusable) as refused:
            clear(ApiSettings(stub.url, username="retry", password="s3cret"))
        assert (refused.value.reason, refused.value.status) == (reason, status)
        assert re.search(rf"login of 'retry' at http.*/auth/token was answered {status}: {said}", str(refused.value))
        # Once: a second one might lock the user out.
        assert len(stub.seen) == 1

    @pytest.mark.parametrize("status", [500, 503])
    def test_unclear(self, stub: StubApi, status: int) -> None:
        stub.faults = [before(status, "<html>")]
        with pytest.raises(ApiUnanswered, match=f"login of 'retry' .* answered {status}"):
            clear(ApiSettings(stub.url, username="retry", password="s3cret"))

    @pytest.mark.parametrize("status", [302, 307])
    def test_redirected(self, stub: StubApi, status: int) -> None:
        stub.faults = [before(status, "", Location=f"{stub.url}/elsewhere")]
        with pytest.raises(ApiUnusable, match="redirected") as refused:
            clear(ApiSettings(stub.url, username="retry", password="s3cret"))
        assert (refused.value.reason, refused.value.status) == ("redirect", status)
        assert stub.seen == [("POST", "/auth/token")]

    @pytest.mark.parametrize(
        "body", ["<html>Sign in</html>", {"hello": "world"}, {"access_token": ""}, {"access_token": 3}]
    )
    def test_no_token(self, stub: StubApi, body: object) -> None:
        stub.faults = [before(201, body)]
        with pytest.raises(ApiUnusable, match="is it Airflow's API") as refused:
            clear(ApiSettings(stub.url, username="retry", password="s3cret"))
        assert refused.value.reason == "not_airflow"

    def test_of_a_client(self, stub: StubApi) -> None:
        clear(ApiSettings(stub.url, client_id="dag-retry", client_secret="s3cret"))
        assert (stub.logins, stub.clears) == (1, 1)
        with pytest.raises(ApiUnusable, match="login of 'dag-retry' at .* was answered 401"):
            clear(ApiSettings(stub.url, client_id="dag-retry", client_secret="wrong"))

    def test_at_another_path(self, stub: StubApi) -> None:
        stub.token_path = "/auth/token/cli"
        clear(ApiSettings(stub.url, username="retry", password="s3cret", token_path="/auth/token/cli"))
        assert stub.clears == 1

    def test_a_slow_one_leaves_no_time_for_the_clear(self, stub: StubApi) -> None:
        def slow(stub: StubApi, request: Any) -> None:
            threading.Event().wait(deadline.left())

        stub.faults = [slow]
        deadline = Deadline(0.3)
        with (
            AirflowApi(ApiSettings(stub.url, username="retry", password="s3cret"), deadline) as api,
            pytest.raises(ApiUnanswered),
        ):
            api.clear("daily_load", "run")
        assert stub.clears == 0


class TestCallable:
    def test_called_again_once_where_its_token_is_over(self, stub: StubApi, ours: Any) -> None:
        tokens = iter(["over", "token-0"])
        ours.token = lambda: next(tokens)
        with AirflowApi(ApiSettings(stub.url, token_callable="ours:token"), Deadline(60)) as api:
            with pytest.raises(ApiUnanswered, match="renewed"):
                api.clear("daily_load", "run")
            api.clear("daily_load", "run")
        assert (stub.clears, stub.logins) == (1, 0)

    def test_and_only_once(self, stub: StubApi, ours: Any) -> None:
        called = iter(range(9))
        ours.token = lambda: f"over-{next(called)}"
        with AirflowApi(ApiSettings(stub.url, token_callable="ours:token"), Deadline(60)) as api:
            with pytest.raises(ApiUnanswered):
                api.clear("daily_load", "run")
            with pytest.raises(ApiUnusable, match="401"):
                api.clear("daily_load", "run")
        assert next(called) == 2

    def test_its_token_is_masked(self, stub: StubApi, ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        masked: list[str | None] = []
        monkeypatch.setattr(sdk, "mask", masked.append)
        ours.Tokens = type("Tokens", (), {"get": staticmethod(lambda: "token-0")})
        clear(ApiSettings(stub.url, token_callable="ours:Tokens.get"))
        assert masked == ["token-0"]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("ours", r"can't be imported \(ValueError\): use module:function, e.g."),
            ("ours.token", "use module:function"),
            (":token", "use module:function"),
            ("our tokens:get", "use module:function"),
            ("nowhere.to_be:found", r"ModuleNotFoundError: No module named 'nowhere'"),
            ("ours:nothing", r"AttributeError: module 'ours' has no attribute 'nothing'"),
            ("ours:", "is not callable"),
            ("ours:number", "is not callable"),
            ("ours:none", "returned no token but a NoneType: return a str"),
            ("ours:empty", "returned no token but a str"),
            ("ours:bytes", "returned no token but a bytes"),
        ],
    )
    def test_wrong(self, stub: StubApi, ours: Any, path: str, message: str) -> None:
        ours.number, ours.none, ours.empty, ours.bytes = 3, lambda: None, lambda: "", lambda: b"s3cret"
        with pytest.raises(ApiUnusable, match=message) as refused:
            clear(ApiSettings(stub.url, token_callable=path))
        assert refused.value.reason == "config"
        assert str(refused.value).startswith(f"api_token_callable ({path!r}) ")
        assert stub.seen == []

    @pytest.mark.parametrize("token", ["s3cret\n", "s3cret\r\nX-Admin: 1", "s3crêt"])
    def test_what_no_header_can_carry(self, stub: StubApi, ours: Any, token: str) -> None:
        ours.token = lambda: token
        with pytest.raises(ApiUnusable, match="no header can carry the token") as refused:
            clear(ApiSettings(stub.url, token_callable="ours:token"))
        assert refused.value.reason == "config"
        assert "s3cr" not in str(refused.value)
        assert stub.seen == []

    def test_raising_is_weather(self, stub: StubApi, ours: Any) -> None:
        """Vault or a metadata server may be away: the claim stays due. What it said may hold a secret."""

        def token() -> str:
            raise ConnectionError("https://vault/?token=s3cret")

        ours.token = token
        with pytest.raises(ApiUnanswered, match="raised ConnectionError") as error:
            clear(ApiSettings(stub.url, token_callable="ours:token"))
        assert error.value.__cause__ is None
        assert "s3cret" not in str(error.value)

    def test_a_module_that_raises_when_imported(
        self, stub: StubApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "ours_broken.py").write_text("raise RuntimeError('s3cret')")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ApiUnusable, match=r"can't be imported \(RuntimeError\)") as refused:
            clear(ApiSettings(stub.url, token_callable="ours_broken:token"))
        assert refused.value.reason == "config"


SECRET = "S3cr=t/+'\"&%<é>$"
TOKEN = "eyJ0.S3cr=t/+'\"&%<>.$"


@pytest.mark.parametrize(
    "fault",
    [
        *(echo(status) for status in (200, 201, 400, 401, 403, 404, 409, 422, 500, 503)),
        before(302, "", Location="/login"),
        before(200, "<html>"),
        before(403, {"detail": "Invalid JWT token"}),
    ],
)
@pytest.mark.parametrize(
    "credentials",
    [
        {"token": TOKEN},
        {"username": "retry", "password": SECRET},
        {"client_id": "dag-retry", "client_secret": SECRET},
        {"token_callable": "ours:token"},
    ],
    ids=lambda credentials: next(iter(credentials)),
)
def test_no_refusal_holds_a_secret(
    stub: StubApi, ours: Any, caplog: pytest.LogCaptureFixture, fault: Fault, credentials: dict[str, Any]
) -> None:
    ours.token = lambda: TOKEN
    logged_in = before(201, {"access_token": TOKEN})
    for faults in ([fault] * 5, [logged_in, fault, logged_in, fault]):
        stub.faults = list(faults)
        with pytest.raises(ApiError) as error:
            clear(ApiSettings(stub.url, proxy=stub.url.replace("://", "://user:S3cr%3Dt%C3%A9@"), **credentials))
        texts = []
        cause: BaseException | None = error.value
        while cause:
            texts.append(f"{cause} {cause!r}")
            cause = cause.__cause__ or cause.__context__
        assert "S3cr" not in "".join(texts) + caplog.text
