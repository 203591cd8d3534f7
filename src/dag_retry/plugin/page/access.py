"""Who may see and do what on the page: Airflow's auth manager says."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

from dag_retry._airflow import sdk


class Access:
    """What the user of one request may do with the runs of which Dags.

    :param user: as Airflow knows them by cookie or token.
    """

    def __init__(self, user: GetUserDep) -> None:
        self._user = user
        self._teams: dict[str, str | None] = {}
        self._answers: dict[tuple[str, str], bool] = {}

    @cached_property
    def readable(self) -> set[str]:
        """The Dags that the user may read. One that Airflow knows no more is nobody's."""
        return get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET")

    def look_up(self, dag_ids: Iterable[str]) -> None:
        """Ask once for the teams of all these Dags."""
        wanted = sorted(set(dag_ids) - self._teams.keys())
        if wanted:
            self._teams |= dict.fromkeys(wanted) | DagModel.get_dag_id_to_team_name_mapping(wanted)

    def may(self, method: Literal["GET", "PUT"], dag_id: str) -> bool:
        """Tell whether the user may read (GET) or edit (PUT) runs of this Dag.

        To read a Dag is not to read its runs: FAB's roles tell them apart.
        """
        if (method, dag_id) not in self._answers:
            self._answers[method, dag_id] = self._ask(method, DagAccessEntity.RUN, dag_id)
        return self._answers[method, dag_id]

    def may_audit(self, dag_id: str) -> bool:
        """Tell whether the user may read the audit log of this Dag."""
        return self._ask("GET", DagAccessEntity.AUDIT_LOG, dag_id)

    def _ask(self, method: Literal["GET", "PUT"], entity: DagAccessEntity, dag_id: str) -> bool:
        self.look_up([dag_id])
        details = DagDetails(id=dag_id, team_name=self._teams[dag_id])
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=entity, details=details, user=self._user
        )


AccessDep = Annotated[Access, Depends()]

HEADER = "X-Dag-Retry"
"""What only our own page sends: another site's script may not, unless this server says so (CORS), and it does not."""


async def same_site(request: Request) -> None:
    """Refuse what a page of another site could have made a logged-in browser send.

    Nor is there a body: nothing in it must be taken for what was allowed, or be logged in its place.

    :raises HTTPException: it may come from elsewhere.
    """
    if HEADER not in request.headers:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"send the header {HEADER}: it tells our page from another site's")
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    own = {request.headers.get("Host"), urlsplit(sdk.base_url() or "").netloc}
    if fetched_from != "same-origin" or (origin is not None and urlsplit(origin).netloc not in own):
        raise HTTPException(HTTPStatus.FORBIDDEN, f"this came from {origin or 'another site'}: use Airflow's own page")
    if await request.body():
        raise HTTPException(HTTPStatus.BAD_REQUEST, "send no body: dag_id and run_id stand in the query")
