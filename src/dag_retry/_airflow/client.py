"""A client of Airflow's REST API: it logs in, sends requests, and checks what the answers are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode

from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.http import Http
from dag_retry._airflow.login import obtain_token
from dag_retry._airflow.settings import ApiSettings
from dag_retry._errors import ApiUnanswered, ApiUnusable

Query = Mapping[str, str | int | Sequence[str]]
JsonObject = dict[str, Any]

ALL = "~"
"""In a path, Airflow takes this for all Dags, or all runs."""


class ApiClient:
    """A client of Airflow's REST API (v2). A context manager, which closes its connections.

    The parts of a path are quoted. Every request raises an :class:`ApiError`: :class:`ApiRefused`,
    :class:`ApiUnusable` or :class:`ApiUnanswered`.

    :param settings: the address and the credentials.
    :param deadline: the end of the last request.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self._settings = settings
        self._http = Http(settings, deadline)
        self._token = settings.token
        # A token from the settings can't be renewed.
        self._renewable = settings.token is None

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of Airflow, without ``/api/v2``."""
        return self._settings.url

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, *path: str, query: Query | None = None) -> JsonObject:
        """Return what Airflow has at a path below ``/api/v2``.

        :param path: the parts of the path.
        :param query: the query's names and values.
        """
        return self._send("GET", self._url(path, query))

    def get_from(self, route: str) -> JsonObject:
        """Return what the server shows without a login at a route that is not below ``/api/v2``.

        :param route: the path below the address of Airflow.
        """
        url = f"{self._settings.url}{route}"
        return self._http.send("GET", url).good(f"GET {url}")

    def get_public(self, *path: str) -> JsonObject:
        """Return what Airflow shows without a login.

        :param path: the parts of the path.
        """
        url = self._url(path)
        return self._http.send("GET", url).good(f"GET {url}")

    def post(self, *path: str, body: JsonObject, resend: bool = True) -> JsonObject:
        """Post a JSON object, and return the answer.

        :param path: the parts of the path.
        :param body: the object.
        :param resend: whether to post again with a new token if the token has expired. If not, this raises
            ApiUnanswered.
        """
        return self._send("POST", self._url(path), body, resend=resend)

    def post_to(self, route: str, *, query: Query, body: JsonObject) -> JsonObject:
        """Post a JSON object to a route that is not below ``/api/v2``, and return the answer.

        :param route: the path below the address of Airflow.
        :param query: the query's names and values.
        :param body: the object.
        """
        return self._send("POST", f"{self._settings.url}{route}?{urlencode(query)}", body)

    def read_from(self, route: str, *, query: Query) -> JsonObject:
        """Return what the server shows this user at a route that is not below ``/api/v2``.

        :param route: the path below the address of Airflow.
        :param query: the query's names and values.
        """
        return self._send("GET", f"{self._settings.url}{route}?{urlencode(query)}")

    def patch(self, *path: str, body: JsonObject) -> JsonObject:
        """Change what Airflow has at a path, and return the answer.

        :param path: the parts of the path.
        :param body: the changes.
        """
        return self._send("PATCH", self._url(path), body)

    def items(self, answer: JsonObject, key: str) -> list[JsonObject]:
        """Return the list that an answer holds.

        :param answer: Airflow's answer.
        :param key: the list's name in the answer.
        :raises ApiUnusable: there is no list of objects.
        """
        items = answer.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.not_airflow()
        return items

    def check(self, item: JsonObject, **wanted: object) -> JsonObject:
        """Check that an answer is about what was asked for, and return the answer.

        :param item: Airflow's answer.
        :param wanted: the fields that the answer must have, with their values.
        :raises ApiUnusable: the answer is about something else.
        """
        if any(item.get(key) != value for key, value in wanted.items()):
            raise self.not_airflow()
        return item

    def not_airflow(self) -> ApiUnusable:
        """Return the error for an answer that is about something else."""
        return ApiUnusable(
            f"{self._settings.url} answered about something else: is it Airflow's API?",
            reason="not_airflow",
        )

    def _url(self, path: tuple[str, ...], query: Query | None = None) -> str:
        url = "/".join((self._settings.url, "api", "v2", *(quote(part, safe=ALL) for part in path)))
        return f"{url}?{urlencode(query, doseq=True)}" if query else url

    def _send(self, method: str, url: str, body: JsonObject | None = None, *, resend: bool = True) -> JsonObject:
        if self._token is None:
            self._token = obtain_token(self._settings, self._http)
        answer = self._http.send(method, url, body, self._token)
        if self._renewable and answer.token_expired():
            self._renewable = False
            self._token = obtain_token(self._settings, self._http)
            if not resend:
                raise ApiUnanswered(f"{method} {url} was answered {answer.status}; the token has been renewed")
            answer = self._http.send(method, url, body, self._token)
        good = answer.good(f"{method} {url}")
        # This token is good, and will end one day.
        self._renewable = self._settings.token is None
        return good


def fit_a_path(*ids: str) -> bool:
    """Return whether each id can be one part of a path.

    HTTP libraries fold ``.`` and ``..`` even when quoted. Airflow takes ``~`` for all Dags or runs, and answers 405 to
    a slash in any form.
    """
    return all(part not in ("", ".", "..", ALL) and "/" not in part for part in ids)


def moment(text: str) -> datetime:
    """Return the moment that Airflow writes so.

    :param text: a date with a time zone.
    """
    # Python 3.10 does not know the suffix Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
