"""One request in bounded time and size, and what its answer is taken for."""

from __future__ import annotations

import io
import json
import socket
import ssl
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter

from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from dag_retry._errors import ClearRefused, ClearUnconfirmed

_CONNECT_TIMEOUT = 3.05
# On SQLite a clear may take 5 s under load (measured).
_ANSWER_TIMEOUT = 10.0
# In bytes; the largest that we ask for is a list of 100 task instances, of 1 kB each (measured) and what they hold.
_LARGEST_ANSWER = 8 * 2**20
# Whether the request was carried out, these do not tell: 409 and 500 are what concurrent clears of one run get.
_UNCERTAIN = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Answer(NamedTuple):
    """What came back.

    :param status: the HTTP status.
    :param reason: what the server calls it.
    :param body: cut off where it was enormous.
    """

    status: int
    reason: str
    body: bytes

    def detail(self) -> str:
        """Return what Airflow says of a refusal, shortened.

        Nothing of any other page, and no input that is quoted: FastAPI's 422 repeats a login's body, and a page for
        developers the headers.
        """
        said = self._json()
        detail = said.get("detail") if isinstance(said, dict) else None
        if isinstance(detail, list):
            detail = "; ".join(f"{error.get('loc')}: {error.get('msg')}" for error in detail if isinstance(error, dict))
        return " ".join(detail.split())[:200] if isinstance(detail, str) else self.reason

    def good(self, what: str) -> dict[str, Any]:
        """Return the JSON object of a good answer.

        :param what: the request, as it is named in messages.
        :raises ClearRefused: asking again won't help.
        :raises ClearUnconfirmed: it may.
        """
        status = self.status
        if status in _UNCERTAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ClearUnconfirmed(f"{what} was answered {status}: {self.detail()}")
        if status >= HTTPStatus.BAD_REQUEST:
            raise ClearRefused(f"{what} was answered {status}: {self.detail()}", reason=f"http_{status}")
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ClearRefused(
                f"{what} was redirected ({status}), as to a login page: set api_url to Airflow's own address, "
                "without a proxy that asks people to log in",
                reason=f"http_{status}",
            )
        said = self._json()
        if not isinstance(said, dict):
            raise ClearRefused(
                f"{what} was answered {status} with something else than a JSON object: is it Airflow's API?",
                reason="not_airflow",
            )
        return said

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Http:
    """A session that ends with its deadline.

    :param settings: the CA file and the proxy.
    :param deadline: no request outlives it.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self._deadline = deadline
        # Given with each request: in a session, REQUESTS_CA_BUNDLE and HTTPS_PROXY of the environment win over them.
        self._verify = settings.ca_file or True
        self._proxies = dict.fromkeys(("http", "https"), settings.proxy) if settings.proxy else {}
        self._session = requests.Session()
        # A .netrc would put its own credentials over ours.
        self._session.auth = lambda request: request
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Punctual(deadline))

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, method: str, url: str, body: dict[str, Any] | None = None, token: str | None = None) -> Answer:
        """Send a request, once. A redirect is an answer like any other.

        :param method: ``GET``, ``POST`` or ``PATCH``.
        :param url: where to.
        :param body: sent as JSON.
        :param token: sent as bearer.
        :raises ClearRefused: there is no trusted TLS connection, or what was set can't be sent.
        :raises ClearUnconfirmed: no answer came in time.
        """
        if token and not (token.isascii() and token.isprintable()):
            raise ClearRefused(
                f"{method} {url}: the token holds what no header can carry: is there a line break at its end?",
                reason="config",
            )
        left = self._deadline.left()
        if not left:
            raise ClearUnconfirmed(f"no time left of {self._deadline.seconds:.0f} s for {method} {url}")
        try:
            with self._session.request(
                method,
                url,
                json=body,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=(min(_CONNECT_TIMEOUT, left), min(_ANSWER_TIMEOUT, left)),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
                proxies=dict(self._proxies),
            ) as response:
                return Answer(response.status_code, response.reason or "", _start_of(response))
        except requests.exceptions.SSLError as error:
            if _was_cut(error):
                raise ClearUnconfirmed(f"{method} {url}: {type(error).__name__}: {error}") from error
            raise ClearRefused(
                f"{method} {url}: no trusted TLS connection: {error}; set api_ca_file to your CA's file", reason="tls"
            ) from error
        except ValueError as error:
            # Of requests, urllib3 or a codec. The text may quote what was set, a proxy's password too.
            raise ClearRefused(
                f"{method} {url}: the request can't be made ({type(error).__name__}): set api_url, and api_proxy or "
                "the proxy of the environment, to a right URL",
                reason="config",
            ) from None
        except requests.exceptions.RequestException as error:
            raise ClearUnconfirmed(f"{method} {url}: {type(error).__name__}: {error}") from error
        except OSError as error:
            # Of requests itself, and no RequestException: a file that is not there.
            raise ClearRefused(
                f"{method} {url}: {error}; set api_ca_file, or REQUESTS_CA_BUNDLE, to your CA's file", reason="config"
            ) from error


def _start_of(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(2**16):
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            break
    return bytes(body)


def _was_cut(error: BaseException | None) -> bool:
    """Tell a TLS connection that broke from one that can't be."""
    while error is not None:
        if isinstance(error, ssl.SSLEOFError):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Punctual(HTTPAdapter):
    """Ends an answer with the deadline, headers and all.

    The timeout of requests is for each read: an answer of a byte a second would go on for ever. So each read is given
    what is left.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        # Not the pool itself: urllib3 closes a pool's connections when nothing refers to it any more.
        connection_class = type(pool).ConnectionCls

        def connection(**options: Any) -> Any:
            made = connection_class(**options)
            made.response_class = self._response
            return made

        pool.ConnectionCls = connection
        return pool

    def _response(self, sock: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        response = HTTPResponse(sock, *arguments, **options)
        response.fp = io.BufferedReader(_Punctually(response.fp.detach(), sock, self._deadline))
        return response


class _Punctually(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left()
        if not left:
            raise TimeoutError(f"the answer has not ended after {self._deadline.seconds:.0f} s")
        self._sock.settimeout(min(left, self._sock.gettimeout() or left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
