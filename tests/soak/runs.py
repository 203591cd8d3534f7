"""The runs of a stand-in for Airflow, in a process of its own: how they stand, and what befalls their clears.

It keeps what matters: every clear moves the run to its next generation, and so gives its task instances new ids. And it
kills, where asked to, whoever holds a run's claim: at its look, between claim and clear, or once its clear is done,
between clear and confirm.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.managers import BaseManager
from typing import Literal

from redis import Redis

from dag_retry import CounterError
from dag_retry._redis.overview import Overview
from tests import servers
from tests.soak.api import DAG, ApiServer, Connections

NAMESPACE = "soak"
MINUTE = 60

Misanswer = Literal["", "500", "cut", "late", "slow"]
"""How a clear is answered that is done: with 500, not at all, or too late; ``slow``: the clear itself is late too."""


@dataclass
class Run:
    """A run.

    :param ended_at: in seconds since the epoch, by a clock that leaps; 0 while the callbacks of its end are not over.
    :param kill_at: when the holder of its claim is killed.
    """

    run_id: str
    generation: int = 0
    state: Literal["running", "failed", "success"] = "running"
    queued_at: float = field(default_factory=time.time)
    ended_at: float = 0
    kill_at: str = ""
    misanswer: Misanswer = ""


class Runs:
    """What drivers ask of the stand-in, and what its API asks.

    :param redis_url: where it is found who holds a claim.
    """

    def __init__(self, redis_url: str) -> None:
        self._overview = Overview(Redis.from_url(redis_url), namespace=NAMESPACE)
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._serving = threading.Lock()
        self._met: Counter[str] = Counter()
        self._outages: set[str] = set()
        self._connections = Connections()
        self._port = servers.free_port()
        self._server = self._serve()

    def _serve(self) -> ApiServer:
        server = ApiServer(self._port, self, self._connections)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def run(self, run_id: str) -> Run:
        """Return a run as it is now."""
        with self._lock:
            return self._runs.setdefault(run_id, Run(run_id))

    def url(self) -> str:
        """Return where the API is."""
        return f"http://127.0.0.1:{self._port}"

    # What drivers ask.

    def plan(self, run_id: str, kill_at: str, misanswer: Misanswer) -> None:
        """Have the holder of the run's claim killed at its ``look``, or after its ``clear``; misanswer its clear."""
        run = self.run(run_id)
        run.kill_at, run.misanswer = kill_at, misanswer

    def generation(self, run_id: str) -> int:
        """Return how often the run has been cleared, once its callbacks are not at it any more, dead ones included."""
        self._settle(run_id)
        self.run(run_id).kill_at = ""
        return self.run(run_id).generation

    def generations(self, run_ids: list[str]) -> list[int]:
        """Return how often each run has been cleared."""
        return [self.run(run_id).generation for run_id in run_ids]

    def end(self, run_id: str, state: Literal["failed", "success"]) -> None:
        """End a run. Its Dag-level callback comes."""
        self.run(run_id).state = state

    def rest(self, run_id: str) -> None:
        """Say that the callbacks of a run that has ended are over."""
        self.run(run_id).ended_at = time.time()

    def leap(self, run_ids: list[str]) -> list[str]:
        """Move the ends of runs a minute back, once nobody is at them any more; return those that ended."""
        self._settle()
        for run in self._ended():
            run.ended_at -= MINUTE
        return [run_id for run_id in run_ids if self.run(run_id).ended_at]

    def begin(self, outage: str) -> None:
        """Begin an outage: ``password``, ``ingress``, ``busy`` or ``away``."""
        self._outages.add(outage)
        if outage == "away":
            with self._serving:
                self._server.shutdown()
                self._server.server_close()

    def over(self, outage: str) -> None:
        """End an outage."""
        self._outages.remove(outage)
        if outage == "away":
            with self._serving:
                self._server = self._serve()

    def met(self) -> Counter[str]:
        """Return how many requests each outage met, and how many clears each misanswer."""
        return self._met

    # What the API asks.

    def meets(self, outage: str) -> bool:
        """Return whether a request meets an outage."""
        if outage not in self._outages:
            return False
        with self._lock:
            self._met[outage] += 1
        return True

    def misanswer(self, run_id: str) -> Misanswer:
        """Return how to answer a clear of this run: well but for once."""
        with self._lock:
            run = self._runs[run_id]
            misanswer, run.misanswer = run.misanswer, ""
            if misanswer:
                self._met[misanswer] += 1
            return misanswer

    def clear(self, run_id: str) -> None:
        """Clear a run."""
        with self._lock:
            run = self._runs[run_id]
            run.generation += 1
            run.state, run.queued_at, run.ended_at = "running", time.time(), 0

    def kill_holder(self, run_id: str, moment: str) -> None:
        """Kill whoever holds the claim, once, where this is the moment that was asked for."""
        with self._lock:
            if self._runs[run_id].kill_at != moment:
                return
            self._runs[run_id].kill_at = ""
        # Where Redis is being restarted, nobody knows whom.
        with suppress(CounterError, ProcessLookupError):
            holders = [
                event.holder for event in self._overview.timeline(DAG, run_id) if event.event in ("won", "taken_over")
            ]
            os.kill(int(holders[-1].split(":")[1]), signal.SIGKILL)

    def ended(self, states: list[str], since: float, until: float) -> list[Run]:
        """Return the runs in these states that ended in an interval, in the order of their ends."""
        found = [run for run in self._ended() if run.state in states and since <= run.ended_at <= until]
        return sorted(found, key=lambda run: run.ended_at)

    def _settle(self, run_id: str = "") -> None:
        """Wait until whatever was asked before about a run, or about any, is done."""
        with self._serving, suppress(ConnectionRefusedError):
            self._connections.accept(self._port)
        self._connections.settle(run_id)

    def _ended(self) -> list[Run]:
        with self._lock:
            return [run for run in self._runs.values() if run.ended_at]


class _Manager(BaseManager):
    """Runs a stand-in in a process of its own."""


_Manager.register("Runs", Runs)


@contextmanager
def runs_api(redis_url: str) -> Iterator[Runs]:
    """Run the stand-in."""
    with _Manager(ctx=multiprocessing.get_context("fork")) as manager:
        runs: Runs = manager.Runs(redis_url)  # type: ignore[attr-defined]
        yield runs
