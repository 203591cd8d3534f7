"""The clears of a run that people made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from dag_retry._redis.views import Event

# In ms. Redis's clock and the database's may differ by so much.
_SKEW = timedelta(seconds=5) // timedelta(milliseconds=1)
# In ms. The command line clears, and then writes its event. Airflow has so long for the clear.
_CLEAR = timedelta(seconds=30) // timedelta(milliseconds=1)


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
    """Return the clears that were not ours and that no event tells of, the oldest first.

    The event ``retried`` names the person who cleared by the command line, and the audit log names its login. Each
    claim that was confirmed has one clear of ours: the one nearest to its confirmation. A person may clear the run a
    second later, after it has failed again. Before the clear, the claim may have waited for an hour.

    :param clears: the clears of the run that the audit log holds.
    :param events: the timeline of the run.
    """
    left = sorted(clears)
    claimed = 0
    for event in events:
        if event.event in ("won", "taken_over"):
            claimed = event.at
        elif event.event == "cleared" and event.reason == "cleared":
            _take_nearest(left, claimed, event.at)
        elif event.event == "retried":
            _take_nearest(left, event.at - _CLEAR, event.at)
    return [clear for clear in left if not clear.ours]


def _take_nearest(clears: list[Clear], since: int, at: int) -> None:
    """Take out of the list the clear that is nearest to a time, and not before another time."""
    around = [clear for clear in clears if since - _SKEW <= clear.at <= at + _SKEW]
    if around:
        clears.remove(min(around, key=lambda clear: abs(clear.at - at)))
