"""How long Redis keeps the record of a run, and how long a winner keeps its claim."""

from __future__ import annotations

from datetime import timedelta

from dag_retry._errors import ConfigError

LEASE = timedelta(seconds=60)
"""Four times what a callback may take, and a wait that nobody minds where a worker dies."""


class Lifetimes:
    """Both, in ms as Redis takes them.

    :param ttl: how long a record is kept after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :raises ConfigError: one is no positive timedelta, or a claim would outlive its record.
    """

    def __init__(self, ttl: timedelta, lease: timedelta = LEASE) -> None:
        for name, value, example in (("ttl", ttl, "timedelta(days=30)"), ("lease", lease, "timedelta(seconds=60)")):
            if not isinstance(value, timedelta) or ms(value) < 1:
                raise ConfigError(f"{name} is {value!r}: use a positive timedelta, e.g. {example}")
        if lease >= ttl:
            raise ConfigError(f"lease ({lease}) must be shorter than ttl ({ttl}): a claim must outlive its lease")
        self.ttl = ms(ttl)
        self.lease = ms(lease)
        self.longest_delay = ttl - lease
        """So that a record outlives its delay."""


def ms(duration: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)
