"""Schema v1: the names of the keys. All share one hash tag, so that a script may touch several on a Cluster."""

from __future__ import annotations

import re
from typing import Literal

from dag_retry._errors import ConfigError

Index = Literal["due", "active", "attention", "recent"]


class Keys:
    """The keys of one namespace; ``lua/record.lua`` says what each holds.

    :param namespace: what stands in the hash tag.
    :raises ConfigError: it is not of letters, digits, ``.``, ``_`` and ``-``.
    """

    def __init__(self, namespace: str) -> None:
        if not isinstance(namespace, str) or not re.fullmatch(r"[\w.-]+", namespace):
            raise ConfigError(f"namespace is {namespace!r}: use letters, digits, '.', '_' and '-', e.g. 'dag-retry'")
        self._namespace = namespace

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the key of a run's record. A dag_id holds no ``:``, so the first one ends it."""
        return self._key("run", dag_id, run_id)

    def index(self, name: Index) -> str:
        """Return the key of an index: what must be looked at, retries, needs a human, or changed last."""
        return self._key(name)

    def events(self) -> str:
        """Return the key of the events' stream."""
        return self._key("events")

    def stats(self, dag_id: str | None = None) -> str:
        """Return the key of the counters, of a Dag or of all."""
        return self._key("stats") if dag_id is None else self._key("stats", dag_id)

    def of(self, dag_id: str, run_id: str) -> list[str]:
        """Return the keys that every script takes for a run, in their order."""
        return [
            self.run(dag_id, run_id),
            self.index("due"),
            self.index("active"),
            self.index("attention"),
            self.index("recent"),
            self.events(),
            self.stats(),
            self.stats(dag_id),
        ]

    def _key(self, *parts: str) -> str:
        return ":".join(("{" + self._namespace + "}", "v1", *parts))
