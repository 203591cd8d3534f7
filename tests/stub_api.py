"""A stand-in for the few endpoints of Airflow's API that we call, for what a live Airflow won't do on demand.

It keeps the rule that matters: a clear gives the task instance a new id. The live tests check that Airflow does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Fault = Callable[["StubApi", Request], Response | None]


@dataclass
class StubApi:
    """One run with one task instance; ``faults`` answer in place of it, one a request, None letting it through.

    Requests for the Dag and for the run's note go beside: no fault meets them, and they are not among those seen.

    :param indexes: how many mapped indexes a task has where task instances are listed, each page of 100 at most.
    :param lists_runs: whether it is an Airflow 3.3, which clears runs that are listed in a body.
    :param prefix: of all paths.
    :param broken_runs: every request that names one of these runs is answered 500.
    :param before_page: called before runs are listed.
    :param route: answers what is ``asked`` of the atomic way's route. An API server without our package has none.
    :param clear_number: the generation that the route tells; None if it does not.
    """

    server: HTTPServer
    dag_id: str = "daily_load"
    run_id: str = "run"
    ti_id: str = "try-0"
    ti_state: str | None = "running"
    ti_ended: str | None = None
    run_state: str = "running"
    try_number: int = 1
    indexes: int = 0
    lists_runs: bool = True
    prefix: str = ""
    paused: bool = False
    most_failures: int = 0
    route: Callable[[Any], Response] = lambda asked: answer(405, {"detail": "Method Not Allowed"})
    asked: list[Any] = field(default_factory=list)
    clear_number: int | None = None
    audit_log: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    run_after: str = "2026-01-01T00:00:00Z"
    tagged: list[str] = field(default_factory=list)
    dags: set[str] = field(default_factory=set)
    triggered: list[Any] = field(default_factory=list)
    clear_bodies: list[Any] = field(default_factory=list)
    note: str | None = None
    notes: list[str] = field(default_factory=list)
    notes_status: int = 200
    run_as: Any = None
    clears: int = 0
    logins: int = 0
    token: str = "token-0"
    token_path: str = "/auth/token"
    seen: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    queries: list[Any] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    broken_runs: list[str] = field(default_factory=list)
    before_page: Callable[[Any], Any] = lambda query: None
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = self.server.url_for("").rstrip("/")
        self.server.expect_request(re.compile(".*")).respond_with_handler(self.answer)

    def asked_for(self, path: str) -> int:
        """Return how often a path was asked for."""
        return self.paths.count(path)

    def answer(self, request: Request) -> Response:
        self.paths.append(unquote(_path(request)).split("?")[0])
        about = f"{_path(request)} {request.get_data(as_text=True)}"
        if any(re.search(rf"\b{run_id}\b(?!-)", unquote(about)) for run_id in self.broken_runs):
            return answer(500, {"detail": "Internal Server Error"})
        beside = self.beside(request)
        if beside is not None:
            return beside
        self.seen.append((request.method, _path(request).split("?")[0]))
        self.bodies.append(request.get_json(silent=True))
        self.headers = dict(request.headers)
        if self.faults and (fault := self.faults.pop(0)) is not None:
            response = fault(self, request)
            if response is not None:
                return response
        return self.act(request)

    def beside(self, request: Request) -> Response | None:
        path = unquote(_path(request).removeprefix(self.prefix)).split("?")[0]
        if path == f"/api/v2/dags/{self.dag_id}":
            dag = {"dag_id": self.dag_id, "is_paused": self.paused}
            return answer(200, dag | {"max_consecutive_failed_dag_runs": self.most_failures})
        if path == "/api/v2/dags/~/dagRuns/list":
            self.queries.append(request.json)
            self.before_page(request.json)
            return self.list_runs(request.json)
        if path == "/api/v2/dags" and request.headers.get("Authorization") == f"Bearer {self.token}":
            offset = int(request.args.get("offset", 0))
            page = self.tagged[offset : offset + int(request.args["limit"])]
            dags = [{"dag_id": dag_id} for dag_id in page]
            return answer(200, {"dags": dags, "total_entries": len(self.tagged)})
        if path == "/dag-retry-clear/v1":
            self.asked.append(request.json)
            return self.route(request.json)
        if path == "/dag-retry-clear/v1/run" and self.clear_number is not None:
            return answer(200, {"clear_number": self.clear_number})
        if path == "/api/v2/eventLogs":
            wanted = request.args.getlist("included_events") or request.args.getlist("event")
            return answer(200, {"event_logs": [line for line in self.audit_log if line["event"] in wanted]})
        if path == f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}":
            body = request.get_json(silent=True) or {}
            if request.method == "PATCH" and "note" in body and self.notes_status != 200:
                return answer(self.notes_status, {"detail": "no"})
            if request.method == "PATCH" and "note" in body:
                self.note = body["note"]
                self.notes.append(self.note)
                return answer(200, self.run())
            if request.method == "GET":
                return answer(200, self.run_as or self.run())
        return None

    def act(self, request: Request) -> Response:
        path = _path(request).removeprefix(self.prefix)
        if path == self.token_path:
            return self.log_in(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return answer(401, {"detail": "Token Expired"})
        if path == "/api/v2/dags/~/dagRuns/~/taskInstances/list":
            return self.list_task_instances(request.json)
        if path == "/api/v2/dags/~/clearDagRuns":
            return self.clear_runs(request.json)
        run = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"
        if unquote(path) == f"{run}/clear":
            self.clear(request.json)
            return answer(200, self.run() | {"state": "queued"})
        if found := re.fullmatch(re.escape(f"{run}/taskInstances/") + r"([^/]+)(?:/(\d+))?", unquote(path)):
            return answer(200, self.task_instance(found[1], int(found[2] or -1)))
        if unquote(path) == run:
            if request.method == "PATCH":
                self.run_state = request.json["state"]
            return answer(200, self.run())
        if (found := re.fullmatch(r"/api/v2/dags/(\w+)/dagRuns", path)) and found[1] in self.dags:
            self.triggered.append(request.json)
            return answer(200, {"dag_id": found[1]})
        if (found := re.fullmatch(r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)", path)) and request.method == "GET":
            what = f"The DagRun with dag_id: `{found[1]}` and run_id: `{found[2]}` was not found"
            return answer(404, {"detail": what})
        if "/dags/" in path:
            return answer(404, {"detail": "The DagRun, or its task instance, was not found"})
        return answer(404, {"detail": "Not Found"})

    def list_runs(self, body: Any) -> Response:
        """As Airflow 3.3.2 does: the filters that are given, the order, and a page."""
        found = [run for run in self.runs if run.get("state") in body.get("states", [run.get("state")])]
        if body.get("dag_ids"):
            found = [run for run in found if run.get("dag_id", self.dag_id) in body["dag_ids"]]
        if since := body.get("end_date_gte"):
            found = [run for run in found if _date(since) <= _date(run["end_date"]) <= _date(body["end_date_lte"])]
        order = body.get("order_by", "end_date").removeprefix("-")
        found.sort(key=lambda run: _date(run.get(order) or "2026-01-01T00:00:00Z"))
        offset = body.get("page_offset", 0)
        page = found[offset : offset + min(100, body["page_limit"])]
        return answer(200, {"dag_runs": page, "total_entries": len(found)})

    def run(self) -> dict[str, object]:
        now = {"state": self.run_state, "note": self.note, "run_after": self.run_after, "queued_at": self.run_after}
        return {"dag_id": self.dag_id, "dag_run_id": self.run_id, **now}

    def task_instance(self, task_id: str, map_index: int) -> dict[str, object]:
        return self.run() | {
            "task_id": task_id,
            "map_index": map_index,
            "id": self.ti_id if map_index < 1 else f"{self.ti_id}-{map_index}",
            "state": self.ti_state,
            "end_date": self.ti_ended,
            "try_number": self.try_number,
        }

    def clear(self, body: Any) -> None:
        if body["dry_run"] is False:
            self.clear_bodies.append(body)
            self.clears += 1
            self.ti_id = f"try-{self.clears}"

    def list_task_instances(self, body: Any) -> Response:
        found = []
        if (body["dag_ids"], body["dag_run_ids"]) == ([self.dag_id], [self.run_id]):
            task_id = body.get("task_ids", ["branch_b"])[0]
            found = [self.task_instance(task_id, index) for index in range(self.indexes) or [-1]]
        found = [each for each in found if each["state"] in body.get("state", [each["state"]])]
        start = body.get("page_offset", 0)
        page = found[start : start + min(100, body["page_limit"])]
        return answer(200, {"task_instances": page, "total_entries": len(found)})

    def clear_runs(self, body: Any) -> Response:
        if not self.lists_runs:
            return answer(405, {"detail": "Method Not Allowed"})
        if body["dag_runs"] != [{"dag_id": self.dag_id, "dag_run_id": self.run_id}]:
            return answer(404, {"detail": "The DagRun was not found"})
        self.clear(body)
        return answer(200, {"dag_runs": [self.run()], "total_entries": 1})

    def log_in(self, request: Request) -> Response:
        user = {"username": "retry", "password": "s3cret"}
        client = {"grant_type": "client_credentials", "client_id": "dag-retry", "client_secret": "s3cret"}
        if request.json not in (user, client):
            return answer(401, {"detail": "Invalid credentials"})
        self.logins += 1
        self.token = f"token-{self.logins}"
        return answer(201, {"access_token": self.token})


def _date(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _path(request: Request) -> str:
    # A proxy is sent the whole URL.
    return re.sub("^https?://[^/]*", "", str(request.environ["REQUEST_URI"]))


def answer(status: int, body: object) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")


def before(status: int, body: object = None, **headers: str) -> Fault:
    """Answer so, and do nothing. Airflow gives a reason with each refusal."""
    if body is None and 400 <= status < 500:
        body = {"detail": "Because"}
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda api, request: Response(text, status=status, headers=headers)


def after(status: int) -> Fault:
    """Do it, and answer so all the same."""

    def fault(api: StubApi, request: Request) -> Response:
        api.act(request)
        return Response("", status=status)

    return fault


def echo(status: int) -> Fault:
    """Answer with all that was sent, as FastAPI does with a body that it can't take, and some pages for developers."""

    def fault(api: StubApi, request: Request) -> Response:
        errors = [{"loc": ["body", "username"], "msg": "Field required", "input": request.get_json(silent=True)}]
        return answer(status, {"detail": errors, "headers": dict(request.headers)})

    return fault
