"""Schema v1: the names of the keys. All share one hash tag, so that a script may touch several on a Cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace; ``lua/record.lua`` says what each holds.

    :param namespace: what stands in the hash tag.
    """

    namespace: str

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the key of a run's record. A dag_id holds no ``:``, so the first one ends it."""
        return self._key("run", dag_id, run_id)

    def of(self, dag_id: str, run_id: str) -> list[str]:
        """Return the keys that every script takes for a run, in their order."""
        return [
            self.run(dag_id, run_id),
            self._key("due"),
            self._key("active"),
            self._key("attention"),
            self._key("recent"),
            self._key("events"),
            self._key("stats"),
            self._key("stats", dag_id),
        ]

    def _key(self, *parts: str) -> str:
        return ":".join(("{" + self.namespace + "}", "v1", *parts))
