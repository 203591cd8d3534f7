"""A session with Airflow's REST API: the token, its renewal, and what an answer must be about."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.http import Answer, Http
from dag_retry._airflow.login import obtain_token
from dag_retry._airflow.settings import ApiSettings
from dag_retry._errors import ClearRefused, ClearUnconfirmed

Self = TypeVar("Self", bound="Session")


class Session:
    """A session with Airflow's REST API (v2). A context manager, which closes its connections.

    Every call raises :class:`ClearRefused` where asking again won't help, and :class:`ClearUnconfirmed` where it may.

    :param settings: the address and the credentials.
    :param deadline: no call outlives it.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self._settings = settings
        self._http = Http(settings, deadline)
        self._token = settings.token
        # A token that was given can't be had anew.
        self._renewable = settings.token is None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def _items(self, key: str, *path: str, body: dict[str, Any], look_again: bool = False) -> list[dict[str, Any]]:
        return self._list(key, self._call("POST", *path, body=body, look_again=look_again))

    def _list(self, key: str, answer: dict[str, Any]) -> list[dict[str, Any]]:
        items = answer.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._not_airflow()
        return items

    def _call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str | int] | None = None,
        body: dict[str, Any] | None = None,
        look_again: bool = False,
    ) -> dict[str, Any]:
        url = "/".join((self._settings.url, "api", "v2", *(quote(part, safe="~") for part in path)))
        if query:
            url += f"?{urlencode(query)}"
        if self._token is None:
            self._token = obtain_token(self._settings, self._http)
        answer = self._http.send(method, url, body, self._token)
        if self._renewable and _token_is_over(answer):
            self._renewable = False
            self._token = obtain_token(self._settings, self._http)
            if look_again:
                raise ClearUnconfirmed(f"{method} {url} was answered {answer.status}; the token has been renewed")
            answer = self._http.send(method, url, body, self._token)
        return answer.good(f"{method} {url}")

    def _check(self, found: list[dict[str, Any]], **wanted: object) -> None:
        """Raise where an answer is about something else."""
        if any(item.get(key) != value for item in found for key, value in wanted.items()):
            raise self._not_airflow()

    def _not_airflow(self) -> ClearRefused:
        return ClearRefused(
            f"{self._settings.url} answered with something else than this run: is it Airflow's API?",
            reason="not_airflow",
        )


def _token_is_over(answer: Answer) -> bool:
    # Airflow answers an expired or foreign JWT with 401, some auth managers with 403.
    return answer.status == HTTPStatus.UNAUTHORIZED or (
        answer.status == HTTPStatus.FORBIDDEN and "Invalid JWT token" in answer.detail()
    )
