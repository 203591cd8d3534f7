"""Defaults that more than one module needs."""

from __future__ import annotations

from datetime import timedelta

MAX_ATTEMPTS = 3
"""The cap of a Dag if neither the Dag nor the section sets one.

The option has no default: a sweeper must know whether somebody has set the cap, even to this very number.
"""

NAMESPACE = "dag-retry"
"""The hash tag in the names of all keys in Redis."""

TTL = timedelta(days=30)
"""How long Redis keeps the record of a run after its last change."""
