"""How long Redis keeps the record of a run, and how long a winner keeps its claim."""

from __future__ import annotations

from datetime import datetime, timedelta

from dag_retry._errors import ConfigError

SHARED_TTL = timedelta(days=30)
"""The keys that runs share are kept so long, or for a longer TTL of records: ``shared_ttl`` in ``lua/record.lua``."""

LEASE = timedelta(seconds=60)
"""A winner may take a minute, four times as long as a callback takes. A dead winner costs a run that minute."""

_LEFT = timedelta(days=1)
"""A run whose task has failed may take so long to end."""


class Lifetimes:
    """The TTL of a record and the lease of a claim, in ms for Redis.

    :param ttl: how long Redis keeps a record after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :raises ConfigError: one of them is no positive timedelta, or the lease is not shorter than the TTL.
    """

    def __init__(self, ttl: timedelta, lease: timedelta = LEASE) -> None:
        for name, value, example in (("ttl", ttl, "timedelta(days=30)"), ("lease", lease, "timedelta(seconds=60)")):
            if not isinstance(value, timedelta) or ms(value) < 1:
                raise ConfigError(f"{name} is {value!r}: use a positive timedelta, e.g. {example}")
        if lease >= ttl:
            raise ConfigError(f"lease ({lease}) must be shorter than ttl ({ttl}): a record must outlive the lease")
        self.ttl = ms(ttl)
        self.shared_ttl = max(self.ttl, ms(SHARED_TTL))
        self.lease = ms(lease)
        self.longest_delay = ttl - lease
        """The longest delay that a record outlives."""
        self.left = ms(min(_LEFT, self.longest_delay))
        """How long an ending is left to the Dag level."""

    def check_delays(self, *delays: timedelta) -> None:
        """Check that a record outlives each of these delays.

        :raises ConfigError: a record does not, or a delay is negative.
        """
        for delay in delays:
            if not timedelta(0) <= delay <= self.longest_delay:
                raise ConfigError(f"a delay is {delay}: use delays from 0 to {self.longest_delay}")


def ms(duration: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def ms_since_epoch(moment: datetime | None) -> int | None:
    """Return a moment in whole milliseconds since the epoch; None if the moment is unknown."""
    return int(moment.timestamp() * 1000) if moment else None
