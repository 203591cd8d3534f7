"""One HTTP request in bounded time and size, and the meaning of its answer."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from typing import Any, NamedTuple

import requests

from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from dag_retry._errors import ApiRefused, ApiUnanswered, ApiUnusable

HEADER = "X-Dag-Retry"
"""Our requests send this header. A script of another site may send it only if the server allows that by CORS."""

_CONNECT_TIMEOUT = 3.05
# In bytes. The largest answer that we ask for lists 100 task instances of about 1 kB each (measured).
_LARGEST_ANSWER = 8 * 2**20
# In bytes. The deadline is checked after each chunk. Chunks this small cost 16 ms for such a list (measured).
_CHUNK = 64
UNCERTAIN = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
"""After these, or a 5xx, the request may have been carried out. Concurrent clears of one run get 409 and 500."""


class Answer(NamedTuple):
    """An HTTP answer.

    :param status: the HTTP status.
    :param reason: the server's name for the status.
    :param body: the body, cut off after 8 MiB.
    :param retry_after: how many seconds the server asks to wait (``Retry-After``); 0 if it does not ask.
    """

    status: int
    reason: str
    body: bytes
    retry_after: float = 0

    def detail(self) -> str:
        """Return Airflow's reason for a refusal, at most 200 characters; else the server's name for the status.

        No input is quoted: FastAPI's 422 repeats the body of a login, and some error pages repeat the headers.
        """
        return self._detail() or self.reason

    def _detail(self) -> str:
        said = self._json()
        detail = said.get("detail") if isinstance(said, dict) else None
        if isinstance(detail, list):
            detail = "; ".join(f"{error.get('loc')}: {error.get('msg')}" for error in detail if isinstance(error, dict))
        return " ".join(detail.split())[:200] if isinstance(detail, str) else ""

    def good(self, what: str) -> dict[str, Any]:
        """Return the JSON object of a good answer.

        :param what: the request's name in messages.
        :raises ApiRefused: Airflow refused the request.
        :raises ApiUnusable: the login was refused, or the answer is not Airflow's.
        :raises ApiUnanswered: repeating the request may help.
        """
        status, reason = self.status, f"http_{self.status}"
        broken = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
        if status in UNCERTAIN or broken:
            raise ApiUnanswered(
                f"{what} was answered {status}: {self.detail()}",
                reason=reason,
                status=status,
                retry_after=self.retry_after,
                in_progress=status == HTTPStatus.GATEWAY_TIMEOUT,
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or self.token_expired():
            raise ApiUnusable(f"{what} was answered {status}: {self.detail()}", reason="login", status=status)
        if status >= HTTPStatus.BAD_REQUEST and self._is_of_airflow():
            raise ApiRefused(f"{what} was answered {status}: {self.detail()}", reason=reason, status=status)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiUnusable(
                f"{what} was answered {status}: {self.detail()}. This is no answer of Airflow's API: see that "
                "api_url is the address of Airflow, and that its ingress is up",
                reason="not_airflow",
                status=status,
            )
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ApiUnusable(
                f"{what} was redirected ({status}), perhaps to a login page: set api_url to Airflow's own address, "
                "not to a proxy that asks people to log in",
                reason="redirect",
                status=status,
            )
        said = self._json()
        if not isinstance(said, dict):
            raise ApiUnusable(
                f"{what} was answered {status}, and the body is not a JSON object: is it Airflow's API?",
                reason="not_airflow",
                status=status,
            )
        return said

    def token_expired(self) -> bool:
        """Return whether Airflow says that the token is no good: with 401, some auth managers with 403."""
        return self.status == HTTPStatus.UNAUTHORIZED or (
            self.status == HTTPStatus.FORBIDDEN and "Invalid JWT token" in self.detail()
        )

    def _is_of_airflow(self) -> bool:
        """Return whether Airflow itself has refused. Starlette has a bare phrase for an address that Airflow lacks."""
        detail = self._detail()
        unknown = self.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
        return bool(detail) and not (unknown and detail == HTTPStatus(self.status).phrase)

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Http:
    """Sends requests until a deadline.

    The deadline bounds each wait, and is checked after each chunk of a body. Headers that arrive byte by byte can
    outlast it: the read timeout of requests is for each read. Airflow's own API sends no such headers.

    :param settings: the CA file and the proxy.
    :param deadline: the end of the last request.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self._deadline = deadline
        self._timeout = settings.timeout
        # Both are given with each request: REQUESTS_CA_BUNDLE and HTTPS_PROXY override those of a session.
        self._verify = settings.ca_file or True
        self._proxies = dict.fromkeys(("http", "https"), settings.proxy) if settings.proxy else {}
        self._session = requests.Session()
        # Without this, the credentials of a .netrc replace our token.
        self._session.auth = lambda request: request
        self._session.headers[HEADER] = "1"

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, method: str, url: str, body: dict[str, Any] | None = None, token: str | None = None) -> Answer:
        """Send a request once, and return the answer. No redirect is followed.

        :param method: ``GET``, ``POST`` or ``PATCH``.
        :param url: the address.
        :param body: the JSON object to send.
        :param token: the bearer token.
        :raises ApiUnusable: there is no trusted TLS connection, or a setting can't be sent.
        :raises ApiUnanswered: no answer came in time.
        """
        if token and not (token.isascii() and token.isprintable()):
            raise ApiUnusable(
                f"{method} {url}: no header can carry the token: does it end with a line break?", reason="config"
            )
        left = self._time_left(f"{method} {url}")
        patience = min(self._timeout, left)
        try:
            with self._session.request(
                method,
                url,
                json=body,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=(min(_CONNECT_TIMEOUT, left), patience),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
                proxies=dict(self._proxies),
            ) as response:
                return Answer(
                    response.status_code,
                    response.reason or "",
                    self._body(response, f"{method} {url}"),
                    _seconds(response.headers.get("Retry-After")),
                )
        except requests.exceptions.SSLError as error:
            if _was_cut(error):
                raise ApiUnanswered(f"{method} {url}: {type(error).__name__}: {error}") from error
            raise ApiUnusable(
                f"{method} {url}: no trusted TLS connection: {error}; set api_ca_file to your CA's file", reason="tls"
            ) from error
        except ValueError as error:
            # From requests, urllib3 or a codec. The text may quote a setting, even a proxy's password.
            raise ApiUnusable(
                f"{method} {url}: the request can't be made ({type(error).__name__}): correct api_url, and api_proxy "
                "or the proxy of the environment",
                reason="config",
            ) from None
        except requests.exceptions.ReadTimeout as error:
            raise ApiUnanswered(f"{method} {url}: no answer in {patience:g} s", in_progress=True) from error
        except requests.exceptions.RequestException as error:
            raise ApiUnanswered(f"{method} {url}: {type(error).__name__}: {error}") from error
        except OSError as error:
            # requests raises a plain OSError for a CA file that is missing.
            raise ApiUnusable(
                f"{method} {url}: {error}; set api_ca_file, or REQUESTS_CA_BUNDLE, to your CA's file", reason="config"
            ) from error

    def _body(self, response: requests.Response, what: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > _LARGEST_ANSWER:
                break
            self._time_left(what)
        return bytes(body)

    def _time_left(self, what: str) -> float:
        left = self._deadline.left()
        if not left:
            raise ApiUnanswered(f"{what}: no time is left of {self._deadline.seconds:.0f} s")
        return left


def _seconds(retry_after: str | None) -> float:
    """Return the seconds of a header ``Retry-After``; 0 if the header holds a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0


def _was_cut(error: BaseException | None) -> bool:
    """Return whether a TLS connection broke; else it can't be made at all."""
    while error is not None:
        if isinstance(error, ssl.SSLEOFError):
            return True
        error = error.__cause__ or error.__context__
    return False
