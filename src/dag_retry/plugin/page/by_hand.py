"""The clears of a run that people made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from dag_retry._redis.views import Event

# In ms. Redis's clock and the database's may differ by so much.
_SKEW = timedelta(seconds=5) // timedelta(milliseconds=1)


class Clear(NamedTuple):
    """A clear in Airflow's audit log.

    :param at: when, in ms since the epoch by the database's clock.
    :param who: the user whose credentials the request had.
    :param ours: whether our route cleared the run.
    """

    at: int
    who: str | None
    ours: bool = False


def by_hand(clears: Iterable[Clear], events: Iterable[Event]) -> list[Clear]:
    """Return the clears that were not ours, the oldest first.

    Each claim that was confirmed has one clear of ours: the one nearest to its confirmation. A person may clear the
    run a second later, after it has failed again. Before the clear, the claim may have waited for an hour.

    :param clears: the clears of the run that the audit log holds.
    :param events: the timeline of the run.
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
    return [clear for clear in left if not clear.ours]
