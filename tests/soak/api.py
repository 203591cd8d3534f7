"""A stand-in for Airflow's API that holds many runs, and that is out of order for a while."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from select import select
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from dag_retry._airflow.ways.atomic import ROUTE

if TYPE_CHECKING:
    from tests.soak.runs import Run, Runs

DAG = "soak"

PATIENCE = 1
"""How many seconds callbacks and sweepers wait for an answer."""

LATE = 1.5 * PATIENCE


def ti_id(task_id: str, generation: int) -> str:
    """Name the try of a task in a generation."""
    return f"{task_id}-of-{generation}"


class Connections:
    """The open connections of a server, and which of them are at work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[socket.socket, object] = {}
        self._busy: dict[socket.socket, str] = {}
        """Each with the path that is asked for, '' while it is not known."""

    def opened(self, connection: socket.socket, address: object) -> None:
        with self._changed:
            self._open[connection] = address
            self._changed.notify_all()

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.pop(connection)
            self._changed.notify_all()

    @contextmanager
    def at_work(self, connection: socket.socket) -> Iterator[None]:
        """Wait until something is asked, without taking it, then be at work."""
        select([connection], [], [])
        with self._changed:
            self._busy[connection] = ""
        try:
            yield
        finally:
            with self._changed:
                self._busy.pop(connection)
                self._changed.notify_all()

    def asks_for(self, connection: socket.socket, path: str) -> None:
        with self._changed:
            self._busy[connection] = path
            self._changed.notify_all()

    def accept(self, port: int) -> None:
        """Wait until the server has accepted all who have connected. It accepts them one after the other."""
        with socket.create_connection(("127.0.0.1", port)) as last, self._changed:
            self._changed.wait_for(lambda: last.getsockname() in self._open.values())

    def settle(self, run_id: str = "") -> None:
        """Wait until whatever was asked before is done, though who asked may be dead.

        :param run_id: only what was asked about this run.
        """

        def done() -> bool:
            asking = {at for at, path in self._busy.items() if not (path and run_id) or run_id in path.split("/")}
            asking |= set(select(list(self._open), [], [], 0)[0]) - self._busy.keys()
            earlier.intersection_update(asking)
            return not earlier

        with self._changed:
            earlier = set(self._open)
            self._changed.wait_for(done)


class ApiServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int, runs: Runs, connections: Connections) -> None:
        super().__init__(("127.0.0.1", port), Endpoint)
        self.runs = runs
        self.connections = connections

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.opened(request, client_address)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.closed(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who asked was killed, or has not waited."""


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer in one piece

    @property
    def runs(self) -> Runs:
        return cast(ApiServer, self.server).runs

    @property
    def _connections(self) -> Connections:
        return cast(ApiServer, self.server).connections

    def handle_one_request(self) -> None:
        with self._connections.at_work(cast(socket.socket, self.request)):
            super().handle_one_request()

    def do_GET(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null")
        path, runs = urlsplit(self.path).path, self.runs
        self._connections.asks_for(cast(socket.socket, self.request), path)
        if runs.meets("away"):
            self.close_connection = True  # the server is being stopped
        elif runs.meets("ingress"):
            self._send(404, b"<html>404 Not Found: nginx</html>", "text/html")
        elif runs.meets("busy"):
            self._answer({"detail": "Service Unavailable"}, 503, {"Retry-After": "1"})
        elif path == "/auth/token":
            if runs.meets("password"):
                self._answer({"detail": "Invalid credentials"}, 401)
            else:
                self._answer({"access_token": "token"}, 201)
        elif path.startswith(ROUTE):
            self._answer({"detail": "Method Not Allowed"}, 405)  # an API server without this package
        else:
            self._act(path, body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def _act(self, path: str, body: Any) -> None:
        if path == "/api/v2/dags":
            self._answer({"dags": [{"dag_id": DAG}], "total_entries": 1})
        elif path == f"/api/v2/dags/{DAG}":
            self._answer({"dag_id": DAG, "is_paused": False})
        elif path == "/api/v2/eventLogs":
            self._answer({"event_logs": []})
        elif path == "/api/v2/dags/~/dagRuns/list":
            self._answer(self._listed(body))
        elif path == "/api/v2/dags/~/dagRuns/~/taskInstances/list":
            run = self.runs.run(body["dag_run_ids"][0])
            failed = run.state == "failed" and body["state"] == ["failed"]
            self._answer({"task_instances": [_task_instance(run, "branch_0")] if failed else []})
        elif found := re.fullmatch(rf"/api/v2/dags/{DAG}/dagRuns/([\w-]+)(?:/(clear|taskInstances/(\w+)))?", path):
            run_id, what, task_id = found.groups()
            if what == "clear":
                assert body == {"dry_run": False}
                self._clear(run_id)
                return
            if task_id:
                self.runs.kill_holder(run_id, "look")
            run = self.runs.run(run_id)
            self._answer(_task_instance(run, task_id) if task_id else _run(run))
        else:
            self._answer({"detail": f"The stand-in has no {path}"}, 404)

    def _listed(self, query: Any) -> dict[str, Any]:
        """Return a page of the runs that ended in an interval. None is ever queued for long."""
        ended = []
        if "end_date_gte" in query:
            since, until = (datetime.fromisoformat(query[f"end_date_{end}"]).timestamp() for end in ("gte", "lte"))
            ended = self.runs.ended(query["states"], since, until)
        page = ended[query["page_offset"] :][: query["page_limit"]]
        return {"dag_runs": [_run(run) for run in page], "total_entries": len(ended)}

    def _clear(self, run_id: str) -> None:
        """Clear a run, and answer as is planned."""
        misanswer = self.runs.misanswer(run_id)
        if misanswer == "slow":
            time.sleep(LATE)
        self.runs.clear(run_id)
        self.runs.kill_holder(run_id, "clear")
        if misanswer == "late":
            time.sleep(LATE)
        if misanswer == "cut":
            self.close_connection = True
        elif misanswer == "500":
            self._answer({"detail": "Internal Server Error"}, 500)
        else:
            self._answer(_run(self.runs.run(run_id)))

    def _answer(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the parent's name)
        """Say nothing."""


def _run(run: Run) -> dict[str, Any]:
    queued_at, ended_at = (_date(moment) if moment else None for moment in (run.queued_at, run.ended_at))
    named = {"dag_id": DAG, "dag_run_id": run.run_id, "state": run.state, "note": None}
    return named | {"queued_at": queued_at, "start_date": None, "end_date": ended_at}


def _task_instance(run: Run, task_id: str) -> dict[str, Any]:
    return _run(run) | {"task_id": task_id, "map_index": -1, "id": ti_id(task_id, run.generation), "try_number": 1}


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()
