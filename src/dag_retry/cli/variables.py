"""The Variables in which Airflow's how-to counts attempts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from dag_retry._airflow.client import Session
from dag_retry._errors import ClearRefused
from dag_retry.recipe import VARIABLE

_PAGE = 100


class Leftover(NamedTuple):
    """A Variable of the how-to.

    :param name: the Variable's.
    :param attempts: what it holds.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param state: of the run, ``gone`` where there is none.
    """

    name: str
    attempts: str
    dag_id: str
    run_id: str
    state: str

    @property
    def in_flight(self) -> bool:
        """Whether the run may still fail, and its attempts be taken over."""
        return self.state in ("queued", "running")


class Variables(Session):
    """Asks Airflow for the how-to's Variables. Every call raises as those of :class:`Session` do."""

    def leftovers(self) -> Iterator[Leftover]:
        """Give them all."""
        offset = 0
        query: dict[str, str | int] = {"variable_key_pattern": f"{VARIABLE}%", "limit": _PAGE, "order_by": "key"}
        while page := self._list("variables", self._call("GET", "variables", query=query | {"offset": offset})):
            for variable in page:
                name = str(variable["key"])
                dag_id, _, run_id = name.removeprefix(VARIABLE).partition("::")
                yield Leftover(name, str(variable.get("value")), dag_id, run_id, self._state(dag_id, run_id))
            offset += len(page)

    def remove(self, names: Collection[str]) -> None:
        """Delete Variables; what is gone already is passed over.

        :param names: which.
        """
        delete = {"action": "delete", "entities": sorted(names), "action_on_non_existence": "skip"}
        self._call("PATCH", "variables", body={"actions": [delete]})

    def _state(self, dag_id: str, run_id: str) -> str:
        try:
            return str(self._call("GET", "dags", dag_id, "dagRuns", run_id).get("state"))
        except ClearRefused as refusal:
            if refusal.reason not in ("http_404", "http_405"):
                raise
            return "gone" if refusal.reason == "http_404" else "unknown"
