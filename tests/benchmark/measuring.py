"""Ways to measure: in shuffled turns, by the server's clock, and by its own count of what was sent."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from tests.servers import RedisServer

LUA = Path(__file__).parents[2] / "lua"

# What scripts call; the server counts it beside what clients send.
_SCRIPTED = {
    name.lower() for file in LUA.glob("*.lua") for name in re.findall(r"call\('([A-Z]+)'", file.read_text("utf-8"))
}


@dataclass(frozen=True)
class Counts:
    """How often, and how much.

    :param turns: blocks of ten calls, of each thing that is timed.
    :param rounds: of a race, for each number of claimers.
    :param claimers: who race.
    :param runs: whose bytes are counted.
    :param records: that lie there when a claim is to be slow.
    :param forks: processes that import, and that call back.
    :param clients: processes that claim as fast as they can.
    :param seconds: for which they do.
    :param due: runs that are due when sweepers come (in the environment: DUE).
    :param sweepers: processes that sweep.
    :param failed: runs that a look finds failed (FAILED).
    :param dags: whose runs these are (DAGS).
    """

    turns: int = 200
    rounds: int = 30
    claimers: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)
    runs: int = 100_000
    records: int = 1_000_000
    forks: int = 40
    clients: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    seconds: float = 1.5
    due: int = int(os.environ.get("DUE", "100000"))
    sweepers: tuple[int, ...] = (1, 2, 4)
    failed: int = int(os.environ.get("FAILED", "10000"))
    dags: int = int(os.environ.get("DAGS", "5000"))


TINY = Counts(
    turns=2, rounds=3, claimers=(2, 3), runs=500, records=1000, forks=2, clients=(1, 2), seconds=0.1,
    due=50, sweepers=(1, 2), failed=300, dags=150
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark.

    :param counts: how much of everything.
    :param folder: for the servers' files.
    """

    counts: Counts
    folder: Path
    _names: Iterator[int]

    @classmethod
    def of(cls, counts: Counts, folder: Path) -> Bench:
        return cls(counts, folder, count())

    def run_id(self) -> str:
        """Return the id of a run that nobody has claimed yet, as long as Airflow's."""
        return f"scheduled__2026-01-01T00:00:00.{next(self._names):06d}+00:00"

    @contextmanager
    def server(self, *lines: str) -> Iterator[RedisServer]:
        """Run a server of its own, without persistence unless these lines say so."""
        with RedisServer(self.folder / f"redis-{next(self._names)}", *lines) as server:
            yield server


class Times:
    """Seconds, by what was timed, turn by turn."""

    def __init__(self, turns: Mapping[str, list[float]]) -> None:
        self._turns = turns

    def median(self, name: str) -> float:
        return median(self._turns[name])

    def ratio(self, name: str, other: str) -> float:
        """Return how many times as long this takes as the other, of the same turn: what slows a turn slows both."""
        return median(mine / its for mine, its in zip(self._turns[name], self._turns[other], strict=True))


def in_turns(actions: Mapping[str, Callable[[], Any]], turns: int, calls: int = 10) -> Times:
    """Time actions in turns, each so many calls in one go, in another order each time; of the calls, the median."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for action in actions.values():
        action()  # connects, loads scripts
    for _ in range(turns):
        random.shuffle(names)
        for name in names:
            taken[name].append(median(_seconds(actions[name]) for _ in range(calls)))
    return Times(taken)


def _seconds(action: Callable[[], Any]) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began


def processor_time(client: Any) -> float:
    """Return the seconds for which the server's main thread has run."""
    used = client.info("cpu")
    threads = "_main_thread" if "used_cpu_user_main_thread" in used else ""  # Redis 6.2 has one at work
    return float(used[f"used_cpu_user{threads}"] + used[f"used_cpu_sys{threads}"])


def served_in_turns(actions: Mapping[str, tuple[Any, Callable[[], int]]], turns: int) -> Times:
    """Take the server's own time, of actions that send many commands in one go.

    :param actions: by name, a client of the server, and what sends; it returns how many commands that was.
    :param turns: how often, in another order each time.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for _, action in actions.values():
        action()
    for _ in range(turns):
        random.shuffle(names)
        for name in names:
            client, action = actions[name]
            before = processor_time(client)
            commands = action()
            taken[name].append((processor_time(client) - before) / commands)
    return Times(taken)


@dataclass(frozen=True)
class Sent:
    """What clients sent, as the server counted it.

    :param commands: by name, each with how often; without those that scripts call, and those that the server does not
        know (redis-py tries some).
    :param round_trips: how often the server found something to read. redis-py waits for each answer, or sends all in
        one go.
    """

    commands: Counter[str]
    round_trips: int

    def __str__(self) -> str:
        times = [name.upper() if n == 1 else f"{n} × {name.upper()}" for name, n in sorted(self.commands.items())]
        return ", ".join(times) or "nothing"


def sent(server: RedisServer, action: Callable[[], Any]) -> Sent:
    """Return what an action sends to the server. Its connections must still be open when it returns."""
    with server.client() as admin:
        admin.config_resetstat()
        kept = action()
        statistics = admin.info("commandstats")
        # This INFO, too, was read, and the one before.
        round_trips = int(admin.info("stats")["total_reads_processed"]) - 2
        del kept
    names = {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in statistics.items()}
    ours = {name: calls for name, calls in names.items() if name not in _SCRIPTED and name != "config|resetstat"}
    return Sent(Counter(ours), round_trips)
