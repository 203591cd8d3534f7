"""Who cleared a run besides us."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from dag_retry._redis.views import Event

# Redis's clock and the database's may differ by so much.
_SKEW = timedelta(seconds=5) // timedelta(milliseconds=1)


class Clear(NamedTuple):
    """A clear in Airflow's audit log.

    :param at: when, in ms since the epoch by the database's clock.
    :param who: whose credentials it bore.
    """

    at: int
    who: str | None


def by_hand(clears: Iterable[Clear], events: Iterable[Event]) -> list[Clear]:
    """Return the clears that were not ours, the oldest first.

    Ours is, for each claim that was confirmed, the one nearest to its confirmation: a person may clear a run that has
    failed again a second later, and the claim before it may have waited for an hour.

    :param clears: all that the audit log has of the run.
    :param events: the run's timeline.
    """
    left = sorted(clears)
    claimed = 0
    for event in events:
        if event.event in ("won", "taken_over"):
            claimed = event.at
        elif event.event == "cleared" and event.reason == "cleared":
            at = event.at
            around = [clear for clear in left if claimed - _SKEW <= clear.at <= at + _SKEW]
            if around:
                left.remove(min(around, key=lambda clear: abs(clear.at - at)))
    return left
