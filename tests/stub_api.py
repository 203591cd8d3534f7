"""A stand-in for the few endpoints of Airflow's API that we call, for what a live Airflow won't do on demand.

It keeps the rule that matters: a clear gives the task instance a new id. The live tests check that Airflow does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Fault = Callable[["StubApi", Request], Response | None]


@dataclass
class StubApi:
    """One run with one task instance; ``faults`` answer in place of it, one a request, None letting it through."""

    server: HTTPServer
    dag_id: str = "daily_load"
    run_id: str = "run"
    ti_id: str = "try-0"
    ti_state: str = "running"
    try_number: int = 1
    clears: int = 0
    logins: int = 0
    token: str = "token-0"
    seen: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[object] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = self.server.url_for("").rstrip("/")
        self.server.expect_request(re.compile(".*")).respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        path = request.environ["REQUEST_URI"].split("?")[0]
        self.seen.append((request.method, path))
        self.bodies.append(request.get_json(silent=True))
        if self.faults and (fault := self.faults.pop(0)) is not None:
            response = fault(self, request)
            if response is not None:
                return response
        return self.act(request)

    def act(self, request: Request) -> Response:
        path = request.environ["REQUEST_URI"]
        if path == "/auth/token":
            return self.log_in(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return answer(401, {"detail": "Token Expired"})
        run = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"
        if unquote(path) == f"{run}/clear":
            if request.json == {"dry_run": False}:
                self.clears += 1
                self.ti_id = f"try-{self.clears}"
            return answer(200, {"dag_id": self.dag_id, "dag_run_id": self.run_id, "state": "queued"})
        if unquote(path).startswith(f"{run}/taskInstances/"):
            return answer(200, {"id": self.ti_id, "state": self.ti_state, "try_number": self.try_number})
        if unquote(path) == run:
            return answer(200, {"dag_id": self.dag_id, "dag_run_id": self.run_id})
        return answer(404, {"detail": "Not Found"})

    def log_in(self, request: Request) -> Response:
        if request.json != {"username": "retry", "password": "s3cret"}:
            return answer(401, {"detail": "Invalid credentials"})
        self.logins += 1
        self.token = f"token-{self.logins}"
        return answer(201, {"access_token": self.token})


def answer(status: int, body: object) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")


def before(status: int, body: object = None, **headers: str) -> Fault:
    """Answer so, and do nothing."""
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda api, request: Response(text, status=status, headers=headers)


def after(status: int) -> Fault:
    """Do it, and answer so all the same."""

    def fault(api: StubApi, request: Request) -> Response:
        api.act(request)
        return Response("", status=status)

    return fault
