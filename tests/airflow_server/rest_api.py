"""Airflow's REST API, called as the administrator."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests

from tests.airflow_server.components import AirflowError

# SQLite has one writer. A request that waits 5 s for it is answered 500 "Database error", and its transaction is rolled
# back (measured where many tasks fail at once). The request has then changed nothing.
_SQLITE_TRIES = 5
_TIMEOUT = 60.0


class RestApi:
    """A client of the REST API. It logs in at its first call.

    :param url: address of the api-server, ``http://host:port``.
    :param username: who logs in.
    :param password: the password.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._credentials = {"username": username, "password": password}
        self._token: str | None = None
        self._http = requests.Session()
        self._http.trust_env = False  # the api-server is on this machine: use no proxy

    def token(self) -> str:
        """Return the administrator's token.

        :raises AirflowError: the API does not answer, or refuses the login.
        """
        if self._token is None:
            self._token = str(self._send("POST", "/auth/token", self._credentials)["access_token"])
        return self._token

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the REST API.

        :param method: ``GET``, ``POST``, ``PATCH``, …
        :param path: the part after ``/api/v2``, quoted.
        :param body: sent as JSON.
        :return: the JSON of the answer.
        :raises AirflowError: the API does not answer, or not with 2xx.
        """
        return self._send(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self.token()}"})

    def healthy(self) -> bool:
        """Return whether the api-server answers and reports database, scheduler and dag-processor as healthy."""
        try:
            # Airflow builds the API for tasks at its first request, which takes 3 s. The first task must not pay them.
            self._http.get(f"{self._url}/execution/health", timeout=_TIMEOUT)
            health = self._http.get(f"{self._url}/api/v2/monitor/health", timeout=_TIMEOUT).json()
        except requests.RequestException:
            return False
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
    ) -> Any:
        for _ in range(_SQLITE_TRIES):
            try:
                response = self._http.request(
                    method, f"{self._url}{path}", json=body, headers=headers, timeout=_TIMEOUT
                )
            except requests.RequestException as error:
                raise AirflowError(f"{method} {path} got no answer: {error}") from error
            # Airflow 3.2 does not give the cause of a 500: only a request that may run twice is sent again.
            again = '"Database error"' in response.text or method in ("GET", "PATCH")
            if not (response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and again):
                break
        if not response.ok:
            raise AirflowError(f"{method} {path} was answered {response.status_code}: {response.text}")
        return response.json()
