"""Which requests a page of another site could have made a logged-in browser send."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from dag_retry._airflow import sdk

HEADER = "X-Dag-Retry"
"""The header that our own page and callbacks send. A script of another site needs this server's leave (CORS)."""


async def same_site(request: Request) -> None:
    """Refuse a request that a page of another site could have made a logged-in browser send.

    :param request: the request.
    :raises HTTPException: the request may come from another site.
    """
    if HEADER not in request.headers:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"send the header {HEADER}: a page of another site can't send it")
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    own = {request.headers.get("Host"), urlsplit(sdk.base_url() or "").netloc} - {""}  # as is that of Origin `null`
    if fetched_from != "same-origin" or (origin is not None and urlsplit(origin).netloc not in own):
        raise HTTPException(
            HTTPStatus.FORBIDDEN, f"the request came from {origin or 'another site'}: use Airflow's own page"
        )
