"""Schema v1: the names of the keys. All share one hash tag, so that a script may touch several on a Cluster."""

from __future__ import annotations

import re
from typing import Literal

from dag_retry._errors import ConfigError

SCHEMA = "v1"
"""The schema is part of every key's name, so that another schema has other keys."""

Index = Literal["active", "attention"]


class Keys:
    """The names of the keys of one namespace. ``lua/record.lua`` says what each key holds.

    :param namespace: the hash tag of the keys.
    :raises ConfigError: the namespace holds more than letters, digits, ``.``, ``_`` and ``-``.
    """

    def __init__(self, namespace: str) -> None:
        if not isinstance(namespace, str) or not re.fullmatch(r"[\w.-]+", namespace):
            raise ConfigError(f"namespace is {namespace!r}: use letters, digits, '.', '_' and '-', e.g. 'dag-retry'")
        self._namespace = namespace

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the key of a run's record. A dag_id holds no ``:``, so the first ``:`` ends it."""
        return self._key("run", dag_id, run_id)

    def index(self, name: Index) -> str:
        """Return the key of an index: the runs that somebody must look at, or that need a human."""
        return self._key(name)

    def events(self) -> str:
        """Return the key of the events' stream."""
        return self._key("events")

    def stats(self, dag_id: str | None = None) -> str:
        """Return the key of the event counters of a Dag, or of all Dags."""
        return self._key("stats") if dag_id is None else self._key("stats", dag_id)

    def born(self) -> str:
        """Return the key that holds since when this namespace remembers."""
        return self._key("born")

    def sweeper(self) -> str:
        """Return the key of what sweepers say of themselves."""
        return self._key("sweeper")

    def of(self, dag_id: str, run_id: str) -> list[str]:
        """Return the keys that every verb takes for a run, in the order of ``lua/record.lua``."""
        return [
            self.run(dag_id, run_id),
            self.index("active"),
            self.index("attention"),
            self.events(),
            self.stats(),
            self.stats(dag_id),
            self.born(),
        ]

    def _key(self, *parts: str) -> str:
        return ":".join(("{" + self._namespace + "}", SCHEMA, *parts))


def run_of(member: str) -> tuple[str, str]:
    """Return the dag_id and the run_id of a member of an index."""
    dag_id, _, run_id = member.partition(":")
    return dag_id, run_id
