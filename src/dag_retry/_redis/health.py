"""What concerns all runs at once: the sweepers, and their way to Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from dag_retry._redis.heartbeat import Heartbeat

_MS = timedelta(milliseconds=1)
MISSING = timedelta(minutes=5) // _MS
"""Without a sign of life for so long, in ms, a sweeper counts as missing. As a Dag it looks once a minute."""


class Health(NamedTuple):
    """Whether sweepers run, whether they reach Airflow, and how many runs need them.

    :param now: Redis's time, in ms.
    :param heartbeat: what the sweeper said that looked last; None if no sweeper has ever looked.
    :param waiting: how many runs wait for a sweeper: for the end of a delay too.
    :param untold: how many endings no hook was told of.
    """

    now: int
    heartbeat: Heartbeat | None
    waiting: int
    untold: int

    @property
    def current(self) -> Heartbeat | None:
        """The heartbeat, if a sweeper lives. What a sweeper said that has stopped since may be wrong by now."""
        last = self.heartbeat
        return last if last and self.now - last.at < MISSING else None

    @property
    def missing(self) -> bool:
        """Whether runs wait for a sweeper, and none runs."""
        return self.waiting > 0 and self.current is None

    @property
    def broken(self) -> Heartbeat | None:
        """The heartbeat that says why the way to Airflow is broken; None if the way is not known to be broken."""
        return self.current if self.current and self.current.fault else None

    @property
    def queued(self) -> frozenset[tuple[str, str]]:
        """The runs that are retrying, and that Airflow has kept queued for minutes, each with its Dag."""
        return self.current.queued if self.current else frozenset()
