"""A proxy before Airflow's API that misbehaves: for each Dag as its name says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests
from pytest_httpserver import HTTPServer
from sqlalchemy import create_engine, text
from werkzeug import Request, Response

from dag_retry._airflow.http import HEADER
from dag_retry._airflow.ways.atomic import ROUTE

SILENT = 20.0
"""Seconds before an answer comes: longer than a callback waits."""


REST = "_rest"
"""A Dag whose name ends with this finds no route for an atomic clear, so it is cleared by Airflow's REST API."""


def _dag_id(request: Request) -> str:
    """Return the Dag whose run a request is about; empty if there is none."""
    if request.path == ROUTE:
        return request.args.get("dag_id", "")
    found = re.match(r"/api/v2/dags/(\w+)/dagRuns/", request.path)
    return found[1] if found else ""


class MisbehavingProxy:
    """Forwards to Airflow, but for what a Dag's name asks for.

    :param airflow: the URL of the API server.
    :param client: the Redis in which the holder of a claim is found, where it is to be killed.
    """

    def __init__(self) -> None:
        self.airflow = ""
        self.client: Any = None
        self.database = ""
        self.restart_scheduler: Callable[[], None] | None = None
        self.ingress_down = False
        """Whether an ingress answers 404 in place of Airflow, as during a rollout."""
        self.stranded = False
        """Whether a run was failed, and cleared, when the Dag level looked."""
        self._late: Future[None] | None = None
        self.seen: Counter[tuple[str, str]] = Counter()
        """How often a Dag's callbacks looked, and how often they sent a clear. The atomic way only clears."""
        self.done: Counter[str] = Counter()
        """How often Airflow carried the clear of a Dag's run out."""
        self.back: set[str] = set()
        """Dags for which the API is there again, where the test decides that."""
        self._cleared: set[tuple[str, str, int]] = set()
        self._first: dict[str, float] = {}
        self._cuts = 0
        self._lock = threading.Lock()
        self._server = HTTPServer(threaded=True)
        self._server.expect_request(re.compile(".*")).respond_with_handler(self._answer)

    def __enter__(self) -> MisbehavingProxy:
        self._server.start()
        self.url = self._server.url_for("").rstrip("/")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def away_for(self, dag_id: str) -> float:
        """For how many seconds the API has been away for a Dag; it is from its first request on."""
        return time.monotonic() - self._first[dag_id]

    def _is_away(self, dag_id: str) -> bool:
        if dag_id == "away_for_a_while":
            # It comes back while the Dag level tries, which has taken over when the task level had given up.
            if self._claim(dag_id, "level") == "task":
                return True
            self._cuts += 1
            return self._cuts <= 3
        return dag_id == "away_for_a_minute" and dag_id not in self.back

    def _answer(self, request: Request) -> Response:
        if self.ingress_down:
            return Response("<html>404 Not Found: nginx</html>", status=404, content_type="text/html")
        dag_id = _dag_id(request)
        if not dag_id:
            return self._forward(request)
        if request.path == ROUTE and REST in dag_id:
            return Response('{"detail": "Method Not Allowed"}', status=405, content_type="application/json")
        what = "clear" if request.method == "POST" else "look"
        with self._lock:
            self.seen[dag_id, what] += 1
            first = self.seen[dag_id, what] == 1
            first_of_all = self.seen[dag_id, "look"] + self.seen[dag_id, "clear"] == 1
            self._first.setdefault(dag_id, time.monotonic())
        if self._is_away(dag_id):
            return self._cut(request)
        if dag_id.startswith("winner_killed_before_the_clear") and first_of_all:
            self._kill_holder(dag_id)
            return self._cut(request)
        if dag_id == "redirected":
            return Response(status=302, headers={"Location": f"{self.url}/auth/login"})
        if what == "clear" and first and dag_id.startswith("not_done_503"):
            return Response("busy", status=503)
        if what == "clear" and first and dag_id.startswith("token_over"):
            return Response('{"detail": "Signature has expired"}', status=401, content_type="application/json")
        if dag_id == "clear_after_the_failure_rest":
            if what == "clear" and first:
                return self._clear_late(dag_id, request)
            if self._late:
                self._late.result()
        answer = self._forward(request)
        if what == "clear" and answer.status_code == 200 and self._was_carried_out(request, answer):
            self.done[dag_id] += 1
            return self._done(dag_id, request, answer)
        return answer

    def _was_carried_out(self, request: Request, answer: Response) -> bool:
        """Return whether Airflow has cleared a run now. The route answers a repeated request as the first one."""
        if request.path != ROUTE:
            return True
        clear = (request.args["dag_id"], request.args["run_id"], json.loads(request.data)["generation"])
        new = clear not in self._cleared and answer.get_json()["outcome"] == "cleared"
        self._cleared.add(clear)
        return new

    def _done(self, dag_id: str, request: Request, answer: Response) -> Response:
        """Answer a clear that Airflow has carried out."""
        if dag_id.startswith("done_but_500"):
            return Response("oops", status=500)
        if dag_id.startswith("done_but_cut"):
            return self._cut(request)
        if dag_id.startswith("winner_killed_after_the_clear"):
            self._kill_holder(dag_id)
            return self._cut(request)
        if dag_id == "scheduler_killed_at_the_clear" and self.restart_scheduler:
            self.restart_scheduler()
            return self._cut(request)
        if dag_id.startswith("done_but_silent"):
            time.sleep(SILENT)
        return answer

    def _clear_late(self, dag_id: str, request: Request) -> Response:
        """Kill the winner while its clear has read the run and waits, until the run has failed."""
        engine = create_engine(self.database)
        locking = engine.connect()
        locking.execute(text("LOCK TABLE task_reschedule IN SHARE MODE"))  # which nothing else writes to here
        look = text(f"SELECT state, clear_number FROM dag_run WHERE dag_id = '{dag_id}'")

        def found() -> tuple[Any, ...]:
            with engine.connect() as looking:
                return tuple(looking.execute(look).one())

        def free(clear: Future[Response]) -> None:
            while found() != ("failed", 0):
                time.sleep(0.02)
            locking.close()
            self.done[dag_id] += clear.result().status_code == 200
            self.stranded = found() == ("failed", 1)
            engine.dispose()

        request.get_data()  # before its connection is cut
        threads = ThreadPoolExecutor()
        self._late = threads.submit(free, threads.submit(self._forward, request))
        self._kill_holder(dag_id)
        return self._cut(request)

    def _forward(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers if name in ("Authorization", "Content-Type", HEADER)}
        answer = requests.request(
            request.method,
            self.airflow + request.environ["REQUEST_URI"],
            data=request.data,
            headers=headers,
            timeout=60,
        )
        return Response(answer.content, status=answer.status_code, content_type=answer.headers["Content-Type"])

    def _cut(self, request: Request) -> Response:
        connection: socket.socket = request.environ["werkzeug.socket"]
        connection.shutdown(socket.SHUT_RDWR)
        return Response()

    def _kill_holder(self, dag_id: str) -> None:
        entries = self.client.xrevrange("{dag-retry}:v1:events")
        wins = (event for _, event in entries if (event["dag_id"], event["event"]) == (dag_id, "won"))
        os.kill(int(next(wins)["holder"].split(":")[1]), signal.SIGKILL)

    def _claim(self, dag_id: str, field: str) -> str:
        key = next(self.client.scan_iter(f"{{dag-retry}}:v1:run:{dag_id}:*"))
        return str(self.client.hget(key, field))
