"""Outages that come and go at random moments."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Switch(NamedTuple):
    """How an outage begins and ends.

    :param off: begins the outage.
    :param on: ends the outage.
    :param longest: how many seconds it lasts at most.
    """

    off: Callable[[], object]
    on: Callable[[], object]
    longest: float


class Weather:
    """The outages of a soak.

    :param switches: by the name of the outage.
    :param times: how often each of them comes.
    :param runs: they come while so many runs are carried out.
    :param chance: draws when they come, and how long they last.
    """

    def __init__(self, switches: Mapping[str, Switch], times: int, runs: int, chance: random.Random) -> None:
        self._switches = switches
        self._chance = chance
        self._coming = sorted(
            (after, name) for name in switches for after in chance.sample(range(runs // 20, runs - runs // 20), times)
        )
        self._until: dict[str, float] = {}
        self.came: Counter[str] = Counter()

    def is_out(self, name: str) -> bool:
        """Return whether there is such an outage now."""
        return name in self._until

    def change(self, results: int) -> None:
        """Begin and end outages.

        :param results: how many runs have been carried out.
        """
        for name in [name for name, until in self._until.items() if until <= time.monotonic()]:
            del self._until[name]
            self._switches[name].on()
        for after, name in list(self._coming):
            # An outage waits until the last of its kind is over.
            if after <= results and name not in self._until:
                self._coming.remove((after, name))
                self._switches[name].off()
                self.came[name] += 1
                self._until[name] = time.monotonic() + self._chance.uniform(0, self._switches[name].longest)

    def clear_up(self) -> None:
        """End all outages."""
        for name in self._until:
            self._switches[name].on()
        self._until.clear()
