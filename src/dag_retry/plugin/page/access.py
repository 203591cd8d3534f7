"""What a user may see and do on the page. Airflow's auth manager decides."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConfigurationDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

from dag_retry._airflow.section import SECTION


class Access:
    """What the user of one request may do with the runs of each Dag.

    :param user: the user, whom Airflow knows by a cookie or a token.
    """

    def __init__(self, user: GetUserDep) -> None:
        self._user = user
        self._teams: dict[str, str | None] = {}
        self._answers: dict[tuple[str, str], bool] = {}

    @cached_property
    def readable(self) -> set[str]:
        """The Dags that the user may read. Nobody may read a Dag that Airflow has deleted."""
        return get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET")

    @cached_property
    def sees_configuration(self) -> bool:
        """Whether the user may see Airflow's configuration, and so addresses that an error's text may hold."""
        details = ConfigurationDetails(section=SECTION)
        return get_auth_manager().is_authorized_configuration(method="GET", details=details, user=self._user)

    def look_up(self, dag_ids: Iterable[str]) -> None:
        """Ask for the teams of all these Dags in one query.

        :param dag_ids: the Dags.
        """
        wanted = sorted(set(dag_ids) - self._teams.keys())
        if wanted:
            self._teams |= dict.fromkeys(wanted) | DagModel.get_dag_id_to_team_name_mapping(wanted)

    def may(self, method: Literal["GET", "PUT"], dag_id: str) -> bool:
        """Return whether the user may read (GET) or edit (PUT) the runs of a Dag.

        A user who may read a Dag may still lack the right to read its runs: FAB's roles have a permission for each.

        :param method: ``GET`` or ``PUT``.
        :param dag_id: the Dag.
        """
        if (method, dag_id) not in self._answers:
            self._answers[method, dag_id] = self._ask(method, DagAccessEntity.RUN, dag_id)
        return self._answers[method, dag_id]

    def may_audit(self, dag_id: str) -> bool:
        """Return whether the user may read the audit log of a Dag.

        :param dag_id: the Dag.
        """
        return self._ask("GET", DagAccessEntity.AUDIT_LOG, dag_id)

    def _ask(self, method: Literal["GET", "PUT"], entity: DagAccessEntity, dag_id: str) -> bool:
        self.look_up([dag_id])
        details = DagDetails(id=dag_id, team_name=self._teams[dag_id])
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=entity, details=details, user=self._user
        )


AccessDep = Annotated[Access, Depends()]


def know_user(request: Request, user: GetUserDep) -> None:
    """Keep the user of a request, for the handler of an error.

    :param request: the request.
    :param user: the user.
    """
    request.state.dag_retry_user = user


def may_see_configuration(request: Request) -> bool:
    """Return whether the user of a request may see Airflow's configuration, as Airflow's own ``GET /config`` asks.

    :param request: the request. Without a known user the answer is no.
    """
    user = getattr(request.state, "dag_retry_user", None)
    details = ConfigurationDetails(section=SECTION)
    return user is not None and get_auth_manager().is_authorized_configuration(method="GET", details=details, user=user)


async def no_body(request: Request) -> None:
    """Refuse a body, so that neither Airflow's permission check nor its audit log can read other ids from it.

    :param request: the request.
    :raises HTTPException: the request has a body.
    """
    if await request.body():
        raise HTTPException(HTTPStatus.BAD_REQUEST, "send no body: put dag_id and run_id into the query")


async def fits_the_audit_log(request: Request) -> None:
    """Refuse ids that are too long for Airflow's audit log, whose columns hold 250 characters: PostgreSQL raises.

    :param request: the request.
    :raises HTTPException: an id is longer.
    """
    if any(len(request.query_params.get(name, "")) > 250 for name in ("dag_id", "run_id")):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "an id is too long: Airflow's have 250 characters")
