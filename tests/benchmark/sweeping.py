"""How many due runs sweepers clear per second, how much memory they take, and how long a look at Airflow's runs takes.

Airflow is a stand-in that answers each request after 20 ms, as fast as an API server ever does. Its route clears.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from dag_retry import AttemptCounter
from dag_retry._redis.connection import connect
from dag_retry.sweeper.sweeper import sweeper
from tests.benchmark.measuring import Bench
from tests.benchmark.serving import Pipelined, fill
from tests.benchmark.table import Row
from tests.servers import free_port, until

_ANSWER = 0.020
# Of so many failed runs one was not claimed: its worker was killed, and its callbacks were lost.
_UNCLAIMED = 100
_BATCH = 500


class _Airflow(BaseHTTPRequestHandler):
    """The stand-in: Dags, all of them ours, and failed runs, in the order of their ends."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    dags: ClassVar[list[str]] = []
    runs: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "/eventLogs" in self.path:
            self._answer({"event_logs": [], "total_entries": 0})
        else:
            first = int(query.get("offset", 0))
            page = self.dags[first : first + int(query["limit"])]
            self._answer({"dags": [{"dag_id": dag_id} for dag_id in page], "total_entries": len(self.dags)})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/auth/token"):
            self._answer({"access_token": "token"}, 201)
        elif self.path.startswith("/dag-retry-clear/"):
            self._answer({"outcome": "cleared", "reason": "cleared", "attempt": asked["attempt"]})
        else:
            ended = [run for run in self.runs if asked["states"] == [run["state"]]]
            ended = [run for run in ended if asked["end_date_gte"] <= run["end_date"] <= asked["end_date_lte"]]
            first = asked["page_offset"]
            page = ended[first : first + asked["page_limit"]]
            self._answer({"dag_runs": page, "total_entries": len(ended)})

    def log_message(self, *_: Any) -> None: ...

    def _answer(self, said: Any, status: int = 200) -> None:
        body = json.dumps(said).encode()
        time.sleep(_ANSWER)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _airflow(dags: int = 0, runs: int = 0) -> Iterator[str]:
    """Run the stand-in in a process of its own, and give its address."""
    began = datetime.now(timezone.utc) - timedelta(hours=23)
    _Airflow.dags = [f"dag_{number:05}" for number in range(dags)]
    ends = [(began + number * timedelta(hours=22) / (runs + 1)).isoformat() for number in range(runs)]
    _Airflow.runs = [
        {
            "dag_id": _dag(number, dags),
            "dag_run_id": f"run-{number}",
            "state": "failed",
            "queued_at": end,
            "end_date": end,
        }
        for number, end in enumerate(ends)
    ]
    port = free_port()
    server = ThreadingHTTPServer(("127.0.0.1", port), _Airflow)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    server.server_close()
    try:
        yield f"http://retry:secret@127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()


def _dag(number: int, dags: int) -> str:
    return f"dag_{number % dags:05}"


def _settings(redis_url: str, api_url: str) -> dict[str, str]:
    return {"AIRFLOW__DAG_RETRY__REDIS_URL": redis_url, "AIRFLOW__DAG_RETRY__API_URL": api_url}


def rows(bench: Bench) -> Iterator[Row]:
    """Yield clears per second and memory of 1, 2 and 4 sweepers, then the time of a look."""
    counts = bench.counts
    measured = {str(sweepers): _clears(bench, sweepers) for sweepers in counts.sweepers}
    yield Row(
        f"clears of 1 … N sweepers, of {counts.due:,} runs that are due, Airflow answering in {1000 * _ANSWER:.0f} ms",
        {sweepers: clears for sweepers, (clears, _) in measured.items()},
        unit="/s",
        note="one after the other in each; on the cores of Redis and of the stand-in",
    )
    yield Row(
        "memory of a sweeper meanwhile, at its peak",
        {sweepers: memory for sweepers, (_, memory) in measured.items()},
        unit="MB",
    )
    yield Row(
        f"a look at {counts.failed:,} failed runs of {counts.dags:,} Dags, 1 of {_UNCLAIMED} unclaimed",
        {"": _look(bench)},
        30,
        "s",
        why="the next look goes on from where this one stopped",
    )


def _clears(bench: Bench, sweepers: int) -> tuple[float, float]:
    """Return how many runs so many sweepers clear per second, and the peak memory of the largest, in MB."""
    with bench.server() as server, _airflow() as api_url, closing(connect(server.url, timeout=60)) as connected:
        client: Any = connected
        AttemptCounter(client).claim(
            "daily_load", "filled", generation=0, max_attempts=3, delays=[timedelta(milliseconds=1)]
        )
        key = "{dag-retry}:v1:run:daily_load:filled"
        client.hset(key, "due_at", int(client.hget(key, "due_at")) - bench.counts.due)
        fill(client, key, bench.counts.due)

        def cleared() -> int:
            return int(client.hget("{dag-retry}:v1:stats", "cleared") or 0)

        environment = os.environ | _settings(server.url, api_url)
        command = [sys.executable, "-m", "dag_retry.cli", "sweep"]
        started = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(sweepers)]
        try:
            until(cleared, 60)
            if sweepers > 1:
                time.sleep(bench.counts.seconds)  # until all have begun
            before, began = cleared(), time.perf_counter()
            time.sleep(10 * bench.counts.seconds)
            rate = (cleared() - before) / (time.perf_counter() - began)
            return rate, max(_peak(process.pid) for process in started)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait()


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def _look(bench: Bench) -> float:
    """Return how many seconds the first look takes, which goes back a day."""
    runs, dags = bench.counts.failed, bench.counts.dags
    with bench.server() as server, _airflow(dags, runs) as api_url, closing(connect(server.url, timeout=60)) as client:
        pipelined = Pipelined(client)
        known = [number for number in range(runs) if number % _UNCLAIMED]
        for first in range(0, len(known), _BATCH):
            pipelined.together(
                partial(pipelined.counter.claim, _dag(number, dags), f"run-{number}", generation=0, max_attempts=3)
                for number in known[first : first + _BATCH]
            )
        with patch.dict(os.environ, _settings(server.url, api_url)), sweeper() as looking:
            began = time.perf_counter()
            found = looking.look()
            taken = time.perf_counter() - began
        assert found == runs - len(known), f"{found} were found"
        return taken
