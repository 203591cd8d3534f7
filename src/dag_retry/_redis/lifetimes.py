"""How long Redis keeps the record of a run, and how long a winner its claim."""

from __future__ import annotations

from datetime import timedelta

from dag_retry._errors import ConfigError

LEASE = timedelta(seconds=60)
"""Far more than a callback may take, and a wait that nobody minds where its worker dies."""

_MS = timedelta(milliseconds=1)


class Lifetimes:
    """Both, in ms as Redis takes them.

    :param ttl: how long a record is kept after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :raises ConfigError: one is no positive timedelta, or a claim would outlive its record.
    """

    def __init__(self, ttl: timedelta, lease: timedelta = LEASE) -> None:
        for name, value, example in (("ttl", ttl, "timedelta(days=30)"), ("lease", lease, "timedelta(seconds=60)")):
            if not isinstance(value, timedelta) or value < _MS:
                raise ConfigError(f"{name} is {value!r}: use a positive timedelta, e.g. {example}")
        if lease >= ttl:
            raise ConfigError(f"lease ({lease}) must be shorter than ttl ({ttl}): a claim must outlive its lease")
        self.ttl = ttl // _MS
        self.lease = lease // _MS
        self.longest_delay = ttl - lease
        """So that a record outlives its delay."""
