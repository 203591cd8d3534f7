"""The defaults that the section ``[dag_retry]`` and :class:`AttemptCounter` share."""

from __future__ import annotations

from datetime import timedelta

NAMESPACE = "dag-retry"
"""The hash tag in the names of all keys in Redis."""

TTL = timedelta(days=30)
"""How long Redis keeps the record of a run after its last change."""
