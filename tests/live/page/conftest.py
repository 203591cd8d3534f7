"""A live Airflow with FAB's users and roles, and a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Page, StorageState, sync_playwright

from tests import servers
from tests.airflow_server import USERNAME
from tests.live.conftest import Live, live_airflow

DAGS = Path(__file__).parent / "dags"
ODD = "a<b onmouseover='x()'>\"&amp;</b>/:+%2F?#\u0001\u00fc"
"""A run id with all that is special to HTML, to a URL or to a key."""
ODD += "z" * (250 - len(ODD))
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]


@dataclass
class Site:
    """The page in a live Airflow, and its users; the passwords are their names, but for the administrator's."""

    live: Live
    tokens: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, StorageState] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.live.airflow.url

    def password(self, user: str) -> str:
        return self.live.airflow.password if user == USERNAME else user

    def token(self, user: str) -> str:
        if user not in self.tokens:
            login = {"username": user, "password": self.password(user)}
            self.tokens[user] = self.http("POST", "/auth/token", json=login).json()["access_token"]
        return self.tokens[user]

    def http(self, method: str, path: str, user: str | None = None, **options: Any) -> requests.Response:
        """Send a request, as somebody or (None) as nobody."""
        headers = dict(options.pop("headers", {}))
        if user:
            headers["Authorization"] = f"Bearer {self.token(user)}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, f"{self.url}{path}", headers=headers, timeout=60, allow_redirects=False, **options
            )

    def act(self, verb: str, dag_id: str, run_id: str, user: str | None, **options: Any) -> requests.Response:
        """Do what the page does for a button."""
        query = {"dag_id": dag_id, "run_id": run_id}
        headers = {"X-Dag-Retry": "test"} | options.pop("headers", {})
        return self.http("POST", f"/dag-retry/api/{verb}", user, params=query, headers=headers, **options)

    def clear(self, dag_id: str, run_id: str, user: str | None) -> requests.Response:
        """Do what the page does to retry a run that has ended."""
        path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/clear"
        return self.http("POST", path, user, json={"dry_run": False})

    def exhausted(self, dag_id: str, run_id: str) -> None:
        """Have a run that gave up."""
        self.live.airflow.trigger(dag_id, run_id)
        self.at_rest(dag_id, run_id, "exhausted", "failed")

    def record(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return a run's record, but for the count of losers: a late callback may still add to that."""
        return {name: value for name, value in self.live.record(dag_id, run_id).items() if name != "lost"}

    def at_rest(self, dag_id: str, run_id: str, status: str, state: str) -> None:
        def there(run: Any) -> bool:
            record = self.live.record(dag_id, run_id)
            return run.state == state and (record.get("status"), record.get("due_at")) == (status, "0")

        self.live.airflow.wait(dag_id, run_id, until=there, steady=0, timeout=240)


def _permissions(*of: str) -> list[dict[str, Any]]:
    pairs = [permission.split(" on ") for permission in of]
    return [{"action": {"name": action}, "resource": {"name": resource}} for action, resource in pairs]


@pytest.fixture(scope="package")
def site(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Who is there: the administrator; an editor and a viewer of all Dags; a reader of one; a guest, who may log in."""
    fab = {"AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"}
    with live_airflow(tmp_path_factory.mktemp("page"), DAGS, fab, database=postgres("page")) as live:
        login = ["--username", USERNAME, "--password", live.airflow.password]
        person = ["--role", "Admin", "--email", "a@example.com", "--firstname", "A", "--lastname", "B"]
        live.airflow.command("users", "create", *login, *person)
        site = Site(live)
        reads = ("can_read on DAG:page_public", "can_read on DAG Run:page_public")
        roles = {"guest": ("can_read on Website",), "reader": ("can_read on Website", *reads)}
        for name, permissions in roles.items():
            role = {"name": name, "actions": _permissions(*permissions)}
            site.http("POST", "/auth/fab/v1/roles", USERNAME, json=role).raise_for_status()
        for user, role_name in {"guest": "guest", "reader": "reader", "viewer": "Viewer", "editor": "User"}.items():
            names = dict.fromkeys(("username", "first_name", "last_name", "password"), user)
            body = {**names, "email": f"{user}@example.com", "roles": [{"name": role_name}]}
            site.http("POST", "/auth/fab/v1/users", USERNAME, json=body).raise_for_status()
        yield site


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        servers.unavailable("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def log_in(site: Site, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a window of a user's own, at an address below Airflow's: log in, once, where that is asked for.

    (FAB takes five logins in 40 s.)
    """
    contexts = []

    def window(user: str, path: str = "/dag-retry/", **options: Any) -> Page:
        context = chromium.new_context(storage_state=site.sessions.get(user), **options)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{site.url}{path}")
        if user not in site.sessions:
            page.locator("#username").fill(user)
            page.locator("#password").fill(site.password(user))
            page.keyboard.press("Enter")
            page.wait_for_url(f"{site.url}{path}")
            site.sessions[user] = context.storage_state()
        return page

    yield window
    for context in contexts:
        context.close()
