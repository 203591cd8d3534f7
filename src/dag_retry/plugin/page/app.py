"""The app of the page, which Airflow mounts at ``/dag-retry``: the files of the page, and the JSON that they load."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_access_view
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response

from dag_retry._airflow import settings
from dag_retry._callback import deployment
from dag_retry._errors import ConfigError, DagRetryError
from dag_retry._redis.connection import Client
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.overview import Overview
from dag_retry._types import Status
from dag_retry.plugin.page.access import AccessDep, fits_the_audit_log, know_user, may_see_configuration, no_body
from dag_retry.plugin.page.board import Board
from dag_retry.plugin.same_site import same_site

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
FILES = {file.name: file for file in STATIC.iterdir()}
FILES |= {"": FILES["index.html"], "run": FILES["run.html"]}

# Seconds that Redis has for each connect and each answer.
_REDIS_TIMEOUT = 1.0

HEADERS = {
    # The page loads only its own files. So no dag_id and no error text can become a script, a style or a form.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

app = FastAPI(
    title="Dag retries",
    dependencies=[Depends(requires_access_view(AccessView.WEBSITE)), Depends(know_user)],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.middleware("http")
async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


# Not `async`: an auth manager may ask a database.
@app.exception_handler(DagRetryError)
def _say_why(request: Request, error: Exception) -> JSONResponse:
    """Answer 503 if Redis does not answer or a setting is wrong.

    The message says what to do. It may name hosts and settings, and only who may see Airflow's configuration gets it.
    """
    log.error("Dag retry: the page was not shown: %s", error)
    if may_see_configuration(request):
        detail = str(error)
    else:
        why = "a setting is wrong" if isinstance(error, ConfigError) else "Redis does not answer, or refuses"
        detail = (
            f"{why}. The log of the API server says more, and so does this page to users who may see the configuration"
        )
    return JSONResponse({"detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE)


@app.exception_handler(HTTPStatus.UNAUTHORIZED)
async def _log_in(request: Request, error: HTTPException) -> Response:
    """Send a browser that asks for a page to Airflow's login, which sends it back. Refuse any other request."""
    if request.method != "GET" or "text/html" not in request.headers.get("Accept", ""):
        return await http_exception_handler(request, error)
    # The root path is Airflow's own path and our prefix. All pages lie right below the root path.
    here = f"{request.scope['root_path']}/{request.path_params.get('name', '')}"
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"../api/v2/auth/login?next={quote(here + query, safe='')}", HTTPStatus.SEE_OTHER)


@lru_cache(maxsize=1)
def _client(url: str) -> Client:
    """Return the client that all requests share, with its pool of connections, until the URL changes."""
    return deployment.connect(timeout=_REDIS_TIMEOUT)


# Each request reads the settings, since somebody may edit a Connection while the server runs.
def _overview() -> Overview:
    return deployment.overview(_client(settings.redis_url()))


def _interventions() -> Interventions:
    return deployment.interventions(_client(settings.redis_url()))


def _board(overview: Annotated[Overview, Depends(_overview)], access: AccessDep, session: SessionDep) -> Board:
    return Board(overview, access, session)


DagId = Annotated[str, Query(pattern=r"^[\w.-]+$", max_length=250)]
RunId = Annotated[str, Query(min_length=1)]
BoardDep = Annotated[Board, Depends(_board)]
InterventionsDep = Annotated[Interventions, Depends(_interventions)]
Limit = Annotated[int, Query(ge=1, le=200)]


# The board checks each row: to a user who may read only some Dags, FAB refuses a request for all Dags.
@app.get("/api/runs")
def runs(board: BoardDep, dag: str = "", status: Status | None = None, limit: Limit = 25) -> JSONResponse:
    """Return the runs that need a human, those that are retrying now, and those that changed last."""
    return JSONResponse(board.sections(dag=dag, status=status and status.value, limit=limit))


@app.get("/api/recovery")
def recovery(board: BoardDep, dag: str = "") -> JSONResponse:
    """Return for each Dag how the runs that failed in the last 30 days ended."""
    return JSONResponse(board.recovery(dag=dag))


@app.get("/api/run", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def run(board: BoardDep, dag_id: DagId, run_id: RunId) -> JSONResponse:
    """Return everything about one run."""
    return JSONResponse(board.run(dag_id, run_id))


# To retry a run, the page calls Airflow's own endpoint in the user's name. The actions below change a record in Redis.
# Airflow's audit log shows both.
def _action(event: str) -> list[Any]:
    return [
        Depends(same_site),
        Depends(no_body),
        Depends(fits_the_audit_log),
        Depends(requires_access_dag("PUT", DagAccessEntity.RUN)),
        Depends(action_logging(event=f"dag_retry.{event}")),
    ]


@app.post("/api/hasten", dependencies=_action("hasten"))
def hasten(interventions: InterventionsDep, user: GetUserDep, dag_id: DagId, run_id: RunId) -> JSONResponse:
    """Make a run that waits due now."""
    return _done(interventions.hasten(dag_id, run_id, holder=user.get_name()), "this run does not wait (any more)")


@app.post("/api/cancel", dependencies=_action("cancel"))
def cancel(interventions: InterventionsDep, user: GetUserDep, dag_id: DagId, run_id: RunId) -> JSONResponse:
    """Cancel the retry of a run."""
    return _done(interventions.cancel(dag_id, run_id, holder=user.get_name()), "there is no retry to come (any more)")


@app.post("/api/reset", dependencies=_action("reset"))
def reset(interventions: InterventionsDep, user: GetUserDep, dag_id: DagId, run_id: RunId) -> JSONResponse:
    """Count the attempts of a run anew."""
    return _done(interventions.reset(dag_id, run_id, holder=user.get_name()), "nothing is known of this run (any more)")


def _done(done: bool, why_not: str) -> JSONResponse:
    if not done:
        raise HTTPException(HTTPStatus.CONFLICT, why_not)
    return JSONResponse({})


@app.get("/")
@app.get("/{name}")
def page(name: str = "") -> FileResponse:
    """Return a file of the page."""
    file = FILES.get(name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(file)
