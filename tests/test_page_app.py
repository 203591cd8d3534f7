"""What the page's app answers while Redis is away: addresses only for who may see Airflow's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.anew import imported_anew
from tests.servers import free_port

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

# Airflow's API server, which these tests load, warns of its own libraries.
pytestmark = pytest.mark.filterwarnings("ignore")


class AuthManager:
    """Lets everybody read Dags, and one user read the configuration."""

    def get_authorized_dag_ids(self, **_: Any) -> set[str]:
        return {"daily_load"}

    def is_authorized_configuration(self, *, method: str, details: Any, user: Any) -> bool:
        assert (method, details.section) == ("GET", "dag_retry")
        return bool(user.name == "admin")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from airflow.api_fastapi.core_api import security
    from fastapi.testclient import TestClient

    with monkeypatch.context() as patch:
        patch.setattr(security, "requires_access_view", lambda *_: lambda: None)
        with imported_anew("dag_retry.plugin.page", "app") as module:
            patch.setattr(import_module("dag_retry.plugin.page.access"), "get_auth_manager", AuthManager)
            yield TestClient(module.app, raise_server_exceptions=False)


def ask(page: TestClient, user: str) -> tuple[int, str]:
    from airflow.api_fastapi.core_api import security

    app: Any = page.app
    app.dependency_overrides[security.get_user] = lambda: SimpleNamespace(name=user)
    answer = page.get("/api/runs")
    return answer.status_code, answer.json()["detail"]


def test_redis_is_away(page: TestClient, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    deploy(redis=f"redis://:s3cret@127.0.0.1:{port}")
    status, said = ask(page, "admin")
    assert (status, str(port) in said, "s3cret" in said) == (503, True, False)
    status, said = ask(page, "viewer")
    assert (status, str(port) in said, "127.0.0.1" in said) == (503, False, False)
    assert said.startswith("Redis does not answer, or refuses. The log of the API server says more")
    assert caplog.text.count(str(port)) >= 2


def test_a_setting_is_wrong(page: TestClient, deploy: Any) -> None:
    deploy(redis="redis:/nowhere.example.com")
    status, said = ask(page, "admin")
    assert (status, "redis_url" in said) == (503, True)
    status, said = ask(page, "viewer")
    assert (status, said.partition(".")[0], "nowhere" in said) == (503, "a setting is wrong", False)
