"""The app of the atomic clear, which Airflow mounts at ``/dag-retry-clear``."""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus

from airflow import __version__
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from dag_retry._airflow.tested import NEWEST, is_newer_minor

log = logging.getLogger(__name__)

app = FastAPI(title="Dag retry: clear", docs_url=None, redoc_url=None, openapi_url=None)


def _mount() -> str:
    """Mount the route.

    :return: why there is no route; empty if there is one. Airflow is too new, or something inside it has moved.
    """
    if is_newer_minor(__version__):
        return f"Airflow {__version__} is newer than {NEWEST}, the newest tested. Upgrade airflow-dag-retry"
    try:
        from dag_retry.plugin.clear.route import router
    except (ImportError, AttributeError, TypeError) as moved:
        log.warning("Dag retry: there is no atomic clear, since something inside Airflow has moved.", exc_info=True)
        what = re.sub(r" \(.*\)$", "", str(moved))  # without the path of a file
        return f"something inside Airflow has moved: {what}. Upgrade airflow-dag-retry in the API server"
    app.include_router(router)
    return ""


WHY_NOT = _mount()


@app.get("/v1")
async def ready() -> dict[str, bool | str]:
    """Say whether the route can clear a run, and if not, why. This asks for no login."""
    return {"ready": not WHY_NOT, "why_not": WHY_NOT}


if WHY_NOT:

    @app.post("/v1", status_code=HTTPStatus.NOT_IMPLEMENTED)
    async def moved() -> dict[str, str]:
        """Send callers the other way, which is Airflow's REST API."""
        return {"detail": WHY_NOT}


@app.exception_handler(RequestValidationError)
async def _say_what_is_wrong(request: Request, error: RequestValidationError) -> Response:
    """Name the fields that are wrong, and repeat no value: FastAPI's own handler fails for what UTF-8 can't hold."""
    wrong = [{"loc": each["loc"], "msg": each["msg"], "type": each["type"]} for each in error.errors()]
    return Response(json.dumps({"detail": wrong}), HTTPStatus.UNPROCESSABLE_ENTITY, media_type="application/json")


@app.exception_handler(SQLAlchemyError)
async def _say_that_the_database_refused(request: Request, error: SQLAlchemyError) -> JSONResponse:
    """Answer 503 if the database refused: a deadlock, a lock that was not released in time, no connection."""
    log.error("Dag retry: Airflow's database refused a clear.", exc_info=error)
    detail = f"Airflow's database refused ({type(error).__name__}): ask again with the same claim_id"
    return JSONResponse({"detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE)
