"""A proxy before Airflow's API that misbehaves: for each Dag as its name says."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from typing import Any

import requests
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

AWAY = 20.0
"""Seconds for which the API is away: longer than the 15 s that a callback takes at most."""


class MisbehavingProxy:
    """Forwards to Airflow, but for what a Dag's name asks for.

    :param airflow: the URL of the API server.
    :param client: the Redis in which the holder of a claim is found, where it is to be killed.
    """

    def __init__(self) -> None:
        self.airflow = ""
        self.client: Any = None
        self.seen: Counter[tuple[str, str]] = Counter()
        """How often a Dag's callbacks looked, and how often they sent a clear."""
        self.done: Counter[str] = Counter()
        """How often Airflow carried the clear of a Dag's run out."""
        self._first: dict[str, float] = {}
        self._lock = threading.Lock()
        self._server = HTTPServer(threaded=True)
        self._server.expect_request(re.compile(".*")).respond_with_handler(self._answer)

    def __enter__(self) -> MisbehavingProxy:
        self._server.start()
        self.url = self._server.url_for("").rstrip("/")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Response:
        found = re.match(r"/api/v2/dags/(\w+)/dagRuns/", request.path)
        if not found:
            return self._forward(request)
        dag_id = found[1]
        what = "clear" if request.method == "POST" else "look"
        with self._lock:
            self.seen[dag_id, what] += 1
            first = self.seen[dag_id, what] == 1
            begin = self._first.setdefault(dag_id, time.monotonic())
        if dag_id == "away_for_a_while" and time.monotonic() < begin + AWAY:
            return self._cut(request)
        if dag_id == "winner_killed_before_the_clear" and what == "look" and first:
            self._kill_holder(dag_id)
            return self._cut(request)
        if dag_id == "redirected":
            return Response(status=302, headers={"Location": f"{self.url}/auth/login"})
        if what == "clear" and first and dag_id == "not_done_503":
            return Response("busy", status=503)
        if what == "clear" and first and dag_id == "token_over":
            return Response('{"detail": "Signature has expired"}', status=401, content_type="application/json")
        answer = self._forward(request)
        if what == "clear" and answer.status_code == 200:
            self.done[dag_id] += 1
            return self._done(dag_id, request, answer)
        return answer

    def _done(self, dag_id: str, request: Request, answer: Response) -> Response:
        """Answer a clear that Airflow has carried out."""
        if dag_id == "done_but_500":
            return Response("oops", status=500)
        if dag_id == "done_but_cut":
            return self._cut(request)
        if dag_id == "winner_killed_after_the_clear":
            self._kill_holder(dag_id)
            return self._cut(request)
        if dag_id == "done_but_silent":
            time.sleep(AWAY)
        return answer

    def _forward(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers if name in ("Authorization", "Content-Type")}
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
        key = next(self.client.scan_iter(f"{{dag-retry}}:v1:run:{dag_id}:*"))
        os.kill(int(self.client.hget(key, "holder").split(":")[1]), signal.SIGKILL)
