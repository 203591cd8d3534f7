"""Teams and sweepers at work, each in processes of its own, while the weather changes."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.soak.runs import NAMESPACE
from tests.soak.sweepers import Sweepers
from tests.soak.team import Plan, Result, Team
from tests.soak.weather import Weather

# In seconds, between two sweeps.
_PAUSE = 0.2

fork = multiprocessing.get_context("fork")


class Stream:
    """Reads all events, of which Redis keeps the newest only."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last = "-"
        self.read: Counter[str] = Counter()
        self.of: Counter[tuple[str, str, str]] = Counter()
        """By run, generation and event."""

    def read_on(self) -> None:
        while entries := self._client.xrange(f"{{{NAMESPACE}}}:v1:events", min=self._last, count=5000):
            for _, fields in entries:
                self.of[fields["run_id"], fields["generation"], fields["event"]] += 1
                self.read[fields["event"]] += 1
            self._last = f"({entries[-1][0]}"


@contextmanager
def sweeping(sweepers: Sweepers) -> Iterator[Connection]:
    """Run sweepers; whoever sends something over the connection gets their figures, and ends them."""
    ours, theirs = fork.Pipe()
    leader = fork.Process(target=sweepers.lead, args=(theirs, _PAUSE))
    leader.start()
    theirs.close()
    try:
        yield ours
    finally:
        leader.kill()
        leader.join()


def carried_out(teams: list[Team], todo: list[Plan], stream: Stream, outages: Weather) -> list[Result]:
    """Have teams carry runs out, and return the results. Outages begin and end meanwhile."""
    leaders, working = [], []
    for number, team in enumerate(teams):
        ours, theirs = fork.Pipe(duplex=False)
        leader = fork.Process(target=team.lead, args=(todo[number :: len(teams)], theirs))
        leader.start()
        theirs.close()
        leaders.append(leader)
        working.append(ours)
    results: list[Result] = []
    last, read = time.monotonic(), 0
    try:
        # Where nothing comes for so long, it hangs: what is missing then is counted.
        while working and time.monotonic() < last + 120:
            for connection in wait(working, timeout=0.05):
                assert isinstance(connection, Connection)
                try:
                    results.append(connection.recv())
                except EOFError:
                    working.remove(connection)
                    connection.close()
                    continue
                last = time.monotonic()
            outages.change(len(results))
            if len(results) >= read + 200 and not outages.is_out("Redis"):
                read = len(results)
                stream.read_on()
        outages.clear_up()
    finally:
        for leader in leaders:
            leader.kill()
            leader.join()
    return results
