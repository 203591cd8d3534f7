"""The few calls of Airflow's REST API that a retry needs. It knows HTTP, and nothing of Redis or callbacks."""

from __future__ import annotations

from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from dag_retry import _airflow
from dag_retry._deadline import Deadline
from dag_retry._errors import ClearRefused, ClearUnconfirmed
from dag_retry._settings import ApiSettings
from dag_retry._words import FailedTry

_CONNECT_TIMEOUT = 3.05
# On SQLite a clear may take 5 s under load (measured).
_ANSWER_TIMEOUT = 10.0
# Whether the request was carried out, these do not tell: 409 and 500 are what concurrent clears of one run get.
_UNCERTAIN = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class AirflowApi:
    """A session with Airflow's REST API (v2). A context manager, which closes its connections.

    Every call raises :class:`ClearRefused` where asking again won't help, and :class:`ClearUnconfirmed` where it may.

    :param settings: the address and the credentials.
    :param deadline: no call outlives it.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self._settings = settings
        self._deadline = deadline
        self._token = settings.token
        self._session = requests.Session()
        # A .netrc would put its own credentials over ours.
        self._session.auth = lambda request: request

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def is_current(self, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
        """Ask whether the failed try is still the current one: every clear gives its task instance a new id.

        (``prepare_db_for_next_try`` in ``airflow.models.taskinstance``.)

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the try whose failure was claimed.
        """
        return self._task_instance(dag_id, run_id, failed_try).get("id") == failed_try.ti_id

    def is_lost(self, dag_id: str, run_id: str, failed_try: FailedTry, try_number: int) -> bool:
        """Ask whether a try whose worker fell silent is where it was, and not on its way to a new try.

        A clear gives a running task its new id at once, and leaves it RESTARTING until its silence is noticed; then it
        is UP_FOR_RETRY, and in its next try has the same id and a higher number (measured on 3.2.2 and 3.3.2).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the silent try.
        :param try_number: its number.
        """
        found = self._task_instance(dag_id, run_id, failed_try)
        return (found.get("id"), found.get("try_number")) == (failed_try.ti_id, try_number) and found.get("state") in (
            "running",
            "failed",
        )

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear the whole run, so that all its tasks run again.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        # Without `dry_run` Airflow only says what it would clear: it defaults to true.
        cleared = self._call("POST", "dags", dag_id, "dagRuns", run_id, "clear", body={"dry_run": False})
        if (cleared.get("dag_id"), cleared.get("dag_run_id")) != (dag_id, run_id):
            raise ClearRefused(
                f"{self._settings.url} answered the clear with something else than this run: is it Airflow's API?",
                reason="not_airflow",
            )

    def _task_instance(self, dag_id: str, run_id: str, failed_try: FailedTry) -> dict[str, Any]:
        run = ("dags", dag_id, "dagRuns", run_id)
        index = (str(failed_try.map_index),) if failed_try.map_index >= 0 else ()
        try:
            return self._call("GET", *run, "taskInstances", failed_try.task_id, *index)
        except ClearRefused as refusal:
            if refusal.reason != "http_404":
                raise
            # A mapped index can vanish with a clear; a run that is gone refuses this too.
            self._call("GET", *run)
            return {}

    def _call(self, method: str, *path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = "/".join((self._settings.url, "api", "v2", *(_segment(part) for part in path)))
        fresh = self._token is None
        if fresh:
            self._log_in()
        response = self._send(method, url, body, {"Authorization": f"Bearer {self._token}"})
        if not fresh and self._settings.username and _token_is_over(response):
            self._log_in()
            response = self._send(method, url, body, {"Authorization": f"Bearer {self._token}"})
        return self._checked(response, f"{method} {url}")

    def _log_in(self) -> None:
        """Get a token, as the simple and the FAB auth manager give it (``POST /auth/token``)."""
        url = f"{self._settings.url}/auth/token"
        body = {"username": self._settings.username, "password": self._settings.password}
        token = self._checked(self._send("POST", url, body, {}), f"login of {self._settings.username!r} at {url}").get(
            "access_token"
        )
        if not isinstance(token, str) or not token:
            raise ClearRefused(f"{url} gave no access_token: is it Airflow's API?", reason="not_airflow")
        _airflow.mask(token)
        self._token = token

    def _send(self, method: str, url: str, body: Any, headers: dict[str, str]) -> requests.Response:
        left = self._deadline.left()
        if not left:
            raise ClearUnconfirmed(f"no time left of {self._deadline.seconds:.0f} s for {method} {url}")
        timeout = (min(_CONNECT_TIMEOUT, left), min(_ANSWER_TIMEOUT, left))
        try:
            return self._session.request(
                method, url, json=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        except requests.exceptions.SSLError as error:
            raise ClearRefused(
                f"{method} {url}: no trusted TLS connection: {error}; set REQUESTS_CA_BUNDLE to your CA's file",
                reason="tls",
            ) from error
        except requests.exceptions.RequestException as error:
            raise ClearUnconfirmed(f"{method} {url}: {type(error).__name__}: {error}") from error

    def _checked(self, response: requests.Response, what: str) -> dict[str, Any]:
        """Return the JSON object of a good answer; raise for any other."""
        status = response.status_code
        if status in _UNCERTAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ClearUnconfirmed(f"{what} was answered {status}: {_detail(response)}")
        if status >= HTTPStatus.BAD_REQUEST:
            raise ClearRefused(f"{what} was answered {status}: {_detail(response)}", reason=f"http_{status}")
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ClearRefused(
                f"{what} was redirected ({status}), as to a login page: set api_url to Airflow's own address, "
                "without a proxy that asks people to log in",
                reason=f"http_{status}",
            )
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise ClearRefused(
                f"{what} was answered {status} with something else than a JSON object: is it Airflow's API?",
                reason="not_airflow",
            )
        return answer


def _segment(part: str) -> str:
    """Return an id as one segment of a path.

    HTTP libraries fold ``.`` and ``..`` even when quoted, Airflow takes ``~`` for "all", and answers 405 to a slash
    in any form: such an id would name something else.
    """
    if part in ("", ".", "..", "~") or "/" in part:
        raise ClearRefused(
            f"the id {part!r} can't stand in the path of Airflow's REST API, which would take it for another: "
            "name later runs otherwise",
            reason="unsafe_id",
        )
    return quote(part, safe="")


def _token_is_over(response: requests.Response) -> bool:
    # Airflow answers an expired or foreign JWT with 401, some auth managers with 403.
    return response.status_code == HTTPStatus.UNAUTHORIZED or (
        response.status_code == HTTPStatus.FORBIDDEN and "Invalid JWT token" in response.text
    )


def _detail(response: requests.Response) -> str:
    """Return what Airflow says of a refusal, shortened: it may be a whole page."""
    try:
        text = str(response.json()["detail"])
    except (requests.exceptions.JSONDecodeError, KeyError, TypeError):
        text = " ".join(response.text.split())
    return text[:200] or response.reason
