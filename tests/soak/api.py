"""A stand-in for Airflow's API that holds many runs, in a process of its own.

It keeps what matters: every clear moves the run to its next generation and gives its task instances new ids. And it
kills, where asked to, whoever holds a run's claim: at its look, between claim and clear, or once its clear is done,
between clear and confirm.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import requests
from redis import Redis

from dag_retry import CounterError
from dag_retry._airflow.ways.atomic import ROUTE
from dag_retry._redis.overview import Overview
from tests import servers

DAG = "soak"
NAMESPACE = "soak"


def ti_id(task_id: str, generation: int) -> str:
    """Name the try of a task in a generation."""
    return f"{task_id}-of-{generation}"


class RunsServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int, redis_url: str) -> None:
        super().__init__(("127.0.0.1", port), Endpoint)
        self.overview = Overview(Redis.from_url(redis_url), namespace=NAMESPACE)
        self.generation: Counter[str] = Counter()
        self.kill_at: dict[str, str] = {}
        self.lock = threading.Lock()
        self._accepted = 0
        self._open: dict[Any, int] = {}
        self._closed = threading.Condition()

    def clear(self, run_id: str) -> None:
        with self.lock:
            self.generation[run_id] += 1

    def kill_holder(self, run_id: str, moment: str) -> None:
        """Kill whoever holds the claim, once, where this is the moment that was asked for."""
        with self.lock:
            if self.kill_at.get(run_id) != moment:
                return
            del self.kill_at[run_id]
        # Where Redis is being restarted, nobody knows whom.
        with suppress(CounterError, ProcessLookupError):
            holders = [
                event.holder for event in self.overview.timeline(DAG, run_id) if event.event in ("won", "taken_over")
            ]
            os.kill(int(holders[-1].split(":")[1]), signal.SIGKILL)

    def settle(self, request: socket.socket) -> None:
        """Wait until whatever was asked over earlier connections is done, though who asked may be dead."""
        with self._closed:
            number = self._open[request]
            self._closed.wait_for(lambda: min(self._open.values()) == number)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._closed:
            self._accepted += 1
            self._open[request] = self._accepted
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._closed:
            self._open.pop(request)
            self._closed.notify_all()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who asked was killed."""


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer in one piece

    def do_GET(self) -> None:
        runs = cast(RunsServer, self.server)
        if found := re.fullmatch(rf"/api/v2/dags/{DAG}/dagRuns/([\w-]+)(?:/taskInstances/(\w+))?", self.path):
            run_id, task_id = found.groups()
            run = {"dag_id": DAG, "dag_run_id": run_id, "state": "running"}
            if task_id is None:
                self._answer(run)
                return
            runs.kill_holder(run_id, "look")
            found_try = {"task_id": task_id, "map_index": -1, "id": ti_id(task_id, runs.generation[run_id])}
            self._answer(run | found_try | {"try_number": 1})
            return
        if self.path.startswith("/api/v2/eventLogs?"):
            self._answer({"event_logs": []})
            return
        run_id = self.path.rpartition("/")[2]
        runs.settle(cast(socket.socket, self.request))
        with runs.lock:
            runs.kill_at.pop(run_id, None)
        self._answer({"generation": runs.generation[run_id]})

    def do_POST(self) -> None:
        runs = cast(RunsServer, self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith(ROUTE):
            self._answer({"detail": "Method Not Allowed"}, 405)  # an API server without this package
            return
        if found := re.fullmatch(rf"/api/v2/dags/{DAG}/dagRuns/([\w-]+)/clear", self.path):
            assert body == {"dry_run": False}
            runs.clear(found[1])
            runs.kill_holder(found[1], "clear")
            self._answer({"dag_id": DAG, "dag_run_id": found[1], "state": "running"})
            return
        runs.kill_at[self.path.rpartition("/")[2]] = body["kill_at"]
        self._answer({})

    def _answer(self, body: object, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the parent's name)
        """Say nothing."""


class Runs:
    """What a driver asks of the stand-in.

    :param url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def generation(self, run_id: str) -> int:
        """Return how often the run has been cleared, once nobody is at it any more."""
        # Over a new connection each time: those before it are the ones that must be done.
        return int(requests.get(f"{self.url}/generation/{run_id}", timeout=60).json()["generation"])

    def kill_at(self, run_id: str, moment: str) -> None:
        """Have the holder of the run's claim killed at its ``look``, or after its ``clear``."""
        requests.post(f"{self.url}/kill_at/{run_id}", json={"kill_at": moment}, timeout=60).raise_for_status()

    def clear(self, run_id: str) -> None:
        """Clear the run, as a person does."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/clear"
        requests.post(f"{self.url}{path}", json={"dry_run": False}, timeout=60).raise_for_status()


@contextmanager
def runs_api(redis_url: str) -> Iterator[Runs]:
    """Run the stand-in."""
    port = servers.free_port()
    ready = multiprocessing.get_context("fork").Event()

    def serve() -> None:
        with RunsServer(port, redis_url) as server:
            ready.set()
            server.serve_forever()

    process = multiprocessing.get_context("fork").Process(target=serve, daemon=True)
    process.start()
    try:
        assert ready.wait(30)
        yield Runs(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.join()
        process.close()
