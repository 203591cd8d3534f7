"""The app of the atomic clear without a database: what is refused, and what happens where Airflow has moved something.

The live tests (``tests/live/clear``) ask it on real databases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.anew import imported_anew
from tests.test_clear_decision import CLAIM

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

# Airflow's API server, which these tests load, warns of its own libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

RUN = {"dag_id": "daily_load", "run_id": "run"}
HEADERS = {"X-Dag-Retry": "1"}


def load() -> TestClient:
    """Import the app anew, as an API server does when it starts."""
    from fastapi.testclient import TestClient

    with imported_anew("dag_retry.plugin.clear", "app") as module:
        return TestClient(module.app, raise_server_exceptions=False)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app, for a user who may do everything."""
    from airflow.api_fastapi.core_api import security
    from airflow.api_fastapi.core_api.routes.public import dag_run  # noqa: F401 - it asks for access when it is loaded

    with monkeypatch.context() as patch:
        patch.setattr(security, "requires_access_dag", lambda *_: lambda: None)
        client = load()
    client.app.dependency_overrides[security.get_user] = lambda: None  # type: ignore[attr-defined]
    yield client
    client.close()


def test_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    client = load()
    assert client.get("/v1").json() == {"ready": True, "why_not": ""}
    assert client.post("/v1", params=RUN, json=CLAIM).status_code == 403
    assert client.post("/v2", params=RUN, json=CLAIM).status_code == 404


class Lacks:
    """A model of Airflow's that lacks an attribute."""

    def __init__(self, model: Any, name: str) -> None:
        self._model, self._name = model, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._model, name)


@pytest.mark.parametrize(
    ("module", "name", "attribute", "what"),
    [
        ("api_fastapi.core_api.routes.public.dag_run", "clear_dag_run", "", "cannot import name 'clear_dag_run'"),
        ("api_fastapi.core_api.datamodels.dag_run", "DAGRunClearBody", "model_fields", "model_fields"),
        ("models.dagrun", "DagRun", "clear_number", "DagRun has no clear_number"),
        ("models.taskinstance", "TaskInstance", "end_date", "TaskInstance has no end_date"),
        ("models.log", "Log", "extra", "Log has no extra"),
        ("models.backfill", "Backfill", "is_paused", "Backfill has no is_paused"),
    ],
)
def test_something_has_moved(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, attribute: str, what: str
) -> None:
    import_module("airflow.api_fastapi.core_api.routes.public.dag_run")
    owner = import_module(f"airflow.{module}")
    with monkeypatch.context() as patch:
        if attribute:
            patch.setattr(owner, name, Lacks(getattr(owner, name), attribute))
        else:
            patch.delattr(owner, name)
        client = load()

    ready = client.get("/v1")
    refused = client.post("/v1", params=RUN, json=CLAIM, headers=HEADERS)
    assert ready.status_code == 200
    assert ready.json()["ready"] is False
    assert what in ready.json()["why_not"]
    assert (refused.status_code, refused.json()) == (501, {"detail": ready.json()["why_not"]})
    assert "/site-packages/" not in ready.text


def test_an_airflow_newer_than_those_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.__version__", "3.5.0")
    client = load()
    ready = client.get("/v1").json()
    refused = client.post("/v1", params=RUN, json=CLAIM, headers=HEADERS)
    assert (ready["ready"], ready["why_not"].split(",")[0]) == (False, "Airflow 3.5.0 is newer than 3.4.0b2")
    assert (refused.status_code, refused.json()) == (501, {"detail": ready["why_not"]})


@pytest.mark.parametrize(
    "signature",
    [
        lambda dag_id, dag_run_id, body, session: None,
        lambda dag_id, dag_run_id, body, dag_bag, session, user, why: None,
    ],
)
def test_the_clear_takes_other_arguments(monkeypatch: pytest.MonkeyPatch, signature: Any) -> None:
    from airflow.api_fastapi.core_api.routes.public import dag_run

    with monkeypatch.context() as patch:
        patch.setattr(dag_run, "clear_dag_run", signature)
        client = load()

    assert "clear_dag_run(dag_id, dag_run_id, body, " in client.get("/v1").json()["why_not"]


def test_the_clear_has_become_a_coroutine(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.core_api.routes.public import dag_run

    async def clear_dag_run(dag_id: Any, dag_run_id: Any, body: Any, dag_bag: Any, session: Any, user: Any) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(dag_run, "clear_dag_run", clear_dag_run)
        client = load()

    assert client.post("/v1", params=RUN, json=CLAIM).status_code == 501


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**HEADERS, "Origin": "https://evil.example.com"},
        {**HEADERS, "Origin": "null"},
        {**HEADERS, "Sec-Fetch-Site": "cross-site"},
        {**HEADERS, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_could_make_a_browser_send(allowed: TestClient, headers: dict[str, str]) -> None:
    assert allowed.post("/v1", params=RUN, json=CLAIM, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("query", "body", "wrong"),
    [
        (RUN, CLAIM | {"new": "\ud800"}, ["body", "new"]),
        (RUN, CLAIM | {"\ud800": 1}, ["body"]),
        (RUN, CLAIM | {"note": "\ud800"}, ["body", "note"]),
        (RUN, {"claim_id": "secret"}, ["body", "generation"]),
        (RUN, [], ["body"]),
        (RUN, None, ["body"]),
        (RUN, CLAIM | {"dag_id": "other"}, ["body", "dag_id"]),
        ({"run_id": "run"}, CLAIM, ["query", "dag_id"]),
        (RUN | {"dag_id": "~"}, CLAIM, ["query", "dag_id"]),
        (RUN | {"dag_id": "a/b"}, CLAIM, ["query", "dag_id"]),
        (RUN | {"dag_id": "x" * 251}, CLAIM, ["query", "dag_id"]),
        (RUN | {"run_id": "x" * 251}, CLAIM, ["query", "run_id"]),
        (RUN | {"run_id": "a\0b"}, CLAIM, ["query", "run_id"]),
        (RUN | {"run_id": ""}, CLAIM, ["query", "run_id"]),
    ],
)
def test_bad_requests_are_named_and_not_repeated(
    allowed: TestClient, query: dict[str, str], body: Any, wrong: list[str]
) -> None:
    sent = {"content": json.dumps(body), "headers": HEADERS | {"Content-Type": "application/json"}}
    refused = allowed.post("/v1", params=query, **sent)

    assert refused.status_code == 422, refused.text
    assert wrong in [each["loc"] for each in refused.json()["detail"]]
    assert "secret" not in refused.text


def test_the_database_refuses(allowed: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's session reports it when it commits, after the route."""
    from airflow.api_fastapi.common.db import common
    from sqlalchemy.exc import OperationalError

    class Refuses:
        def __getattr__(self, name: str) -> Any:
            raise OperationalError("UPDATE dag_run SET secret", {}, Exception("deadlock detected: secret"))

    allowed.app.dependency_overrides[common._get_session] = Refuses  # type: ignore[attr-defined]
    answer = allowed.post("/v1", params=RUN, json=CLAIM, headers=HEADERS)

    assert answer.status_code == 503
    assert "ask again with the same claim_id" in answer.json()["detail"]
    assert "secret" not in answer.text
