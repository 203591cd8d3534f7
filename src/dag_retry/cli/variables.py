"""The Variables in which Airflow's how-to counts attempts. ``dag_retry.recipe`` names that how-to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import NamedTuple

from dag_retry._airflow.client import ApiClient
from dag_retry._errors import ApiError
from dag_retry.recipe import VARIABLE_PREFIX

_PAGE = 100


class Leftover(NamedTuple):
    """A Variable of the how-to.

    :param name: the name of the Variable.
    :param attempts: the value of the Variable.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param state: the state of the run; ``gone`` if there is no such run, ``unknown`` if a path can't hold its ids.
    """

    name: str
    attempts: str
    dag_id: str
    run_id: str
    state: str

    @property
    def in_flight(self) -> bool:
        """Whether the run may still fail. If it does, its attempts are taken over."""
        return self.state in ("queued", "running")


class Variables:
    """Reads and deletes the how-to's Variables. Every call raises what the calls of :class:`ApiClient` raise.

    :param client: sends the requests.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def leftovers(self) -> Iterator[Leftover]:
        """Yield all Variables of the how-to."""
        offset = 0
        query: dict[str, str | int] = {"variable_key_pattern": f"{VARIABLE_PREFIX}%", "limit": _PAGE, "order_by": "key"}
        while page := self._client.items(self._client.get("variables", query=query | {"offset": offset}), "variables"):
            for variable in page:
                name = str(variable["key"])
                dag_id, _, run_id = name.removeprefix(VARIABLE_PREFIX).partition("::")
                yield Leftover(name, str(variable.get("value")), dag_id, run_id, self._state(dag_id, run_id))
            offset += len(page)

    def remove(self, names: Collection[str]) -> None:
        """Delete Variables. A Variable that is gone already is no error.

        :param names: the names of the Variables.
        """
        delete = {"action": "delete", "entities": sorted(names), "action_on_non_existence": "skip"}
        self._client.patch("variables", body={"actions": [delete]})

    def _state(self, dag_id: str, run_id: str) -> str:
        try:
            return str(self._client.get("dags", dag_id, "dagRuns", run_id).get("state"))
        except ApiError as refusal:
            if refusal.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                raise
            return "gone" if refusal.status == HTTPStatus.NOT_FOUND else "unknown"
