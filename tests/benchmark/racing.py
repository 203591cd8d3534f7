"""Claimers that come together, each a process, as callbacks do."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from tests.benchmark.measuring import Bench
from tests.benchmark.peers import PEERS, Ours, Peer
from tests.benchmark.table import Row

# A process gets time to wake up, and the round before it to end: seconds, of each claimer and in all.
_EACH, _PAUSE = 0.0005, 0.03

# Runs in a row.
_BURST = 10

Claim = Callable[[int], bool]


@dataclass(frozen=True)
class Race:
    """A round of one thing.

    :param name: what all did.
    :param seconds: from the first one's beginning to the last one's end.
    :param winners: who won.
    """

    name: str
    seconds: float
    winners: int


def race(make: Callable[[int], Mapping[str, Claim | None]], claimers: int, rounds: int, burst: int = 1) -> list[Race]:
    """Let processes do the same thing at the same moment, round after round, things in turns.

    :param make: called in each process with its number, it returns by name what is done with the number of a round,
        which says who won; None where this process does nothing.
    :param claimers: how many processes.
    :param rounds: of each thing.
    :param burst: how often in a row each does it in a round, with another number each time: a process that has just
        woken is slow, and who is to see how claims queue must let it do some.
    """
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(claimers + 1)
    begin = context.Value("d", 0.0)
    done: multiprocessing.Queue[list[tuple[str, int, float, float, bool]]] = context.Queue()
    seed = random.randrange(2**32)

    def claimer(number: int) -> None:
        things = make(number)
        order = [(name, number) for number in range(rounds) for name in things]
        random.Random(seed).shuffle(order)
        for connecting in filter(None, things.values()):
            connecting(-1)
        took = []
        ready.wait()
        ready.wait()
        for turn, (name, number) in enumerate(order):
            time.sleep(max(0.0, begin.value + turn * (_EACH * claimers * burst + _PAUSE) - time.perf_counter()))
            thing = things[name]
            if thing is None:
                continue
            began = time.perf_counter()
            won = [thing(number * burst + each) for each in range(burst)]
            took.append((name, number, began, time.perf_counter(), any(won)))
        done.put(took)

    processes = [context.Process(target=claimer, args=(number,)) for number in range(claimers)]
    for process in processes:
        process.start()
    ready.wait()
    begin.value = time.perf_counter() + _PAUSE
    ready.wait()
    all_took = [took for _ in processes for took in done.get(timeout=600)]
    for process in processes:
        process.join()
    by_round: dict[tuple[str, int], list[tuple[float, float, bool]]] = {}
    for name, number, began, ended, won in all_took:
        by_round.setdefault((name, number), []).append((began, ended, won))
    return [
        Race(
            name,
            max(ended for _, ended, _ in each) - min(began for began, _, _ in each),
            sum(won for _, _, won in each),
        )
        for (name, _), each in by_round.items()
    ]


def rows(bench: Bench) -> Iterator[Row]:
    """Yield how long N take that claim the same runs, beside N times PING, and how long the last one of N waits."""
    together: dict[str, dict[str, float]] = {"claim": {}, "ping": {}}
    last = {}
    with bench.server() as server:

        def make(number: int) -> dict[str, Claim | None]:
            ours = Ours(server.url)

            def ping(_: int) -> bool:
                return bool(ours.client.ping())

            return {
                "claim": lambda number: ours.claim(f"{prefix}-{number}"),
                "ping": ping,
                "alone": None if number else ping,
            }

        for claimers in bench.counts.claimers:
            for burst in (_BURST, 1):
                prefix = bench.run_id()
                races = race(make, claimers, bench.counts.rounds // 3 + 1, burst)
                seconds = {
                    name: median(race.seconds for race in races if race.name == name)
                    for name in ("claim", "ping", "alone")
                }
                if burst == 1:
                    last[str(claimers)] = 1e3 * seconds["claim"]
                    continue
                for name, ratios in together.items():
                    ratios[str(claimers)] = seconds[name] / (claimers * seconds["alone"])
    yield Row("N claimers of the same run, in a row of runs / N × PING", together["claim"], 1.3, why="as for one claim")
    yield Row("… the same with PING / N × PING", together["ping"], note="what so many processes cost on these cores")
    yield Row("N claimers that wake up together: the last one has its answer", last, unit="ms")


def winners(bench: Bench, claimers: int = 3) -> dict[str, int]:
    """Return by peer how many win, at most, when the three branches of a run fail together."""
    with bench.server() as server:
        prefix = bench.run_id()

        def claim(peer: Peer, number: int) -> bool:
            return peer.claim(f"{prefix}-{peer.name}-{number}")

        def make(_: int) -> dict[str, Claim | None]:
            return {peer.name: partial(claim, peer(server.url)) for peer in PEERS}

        races = race(make, claimers, bench.counts.rounds)
    return {peer.name: max(race.winners for race in races if race.name == peer.name) for peer in PEERS}
