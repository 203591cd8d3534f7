"""What can go wrong: one class for each thing that the reader can do about it.

::

    DagRetryError
    ├── ConfigError          a setting is missing or wrong: correct it (also a ValueError)
    ├── ContextError         the callback was not called by Airflow, and its context lacks the try: attach it
    ├── CounterError         Redis is unreachable or refuses: see the message
    └── ApiError             Airflow's API did not do what was asked
        ├── ApiRefused       Airflow refused, for this Dag or run: fix the cause, then clear the run by hand
        ├── ApiUnusable      the way to Airflow is broken, for every run: fix the cause, then all goes on by itself
        └── ApiUnanswered    there was no clear answer in time: the claim stays due
"""

from __future__ import annotations

from functools import partial
from typing import Any

from dag_retry._exported import exported


@exported
class DagRetryError(Exception):
    """The base of all errors that this package raises."""


@exported
class ConfigError(DagRetryError, ValueError):
    """A setting is missing or wrong. The message names it and shows a right value."""


@exported
class ContextError(DagRetryError):
    """The callback's context does not say which run, generation or try failed. Airflow gives no such context."""


@exported
class CounterError(DagRetryError):
    """Redis is unreachable or refuses, or too few replicas have the claim. Nothing was cleared.

    The Connection that ``redis_conn_id`` names may also be missing. The message says what to do.
    """


@exported
class ApiError(DagRetryError):
    """Airflow's API did not do what was asked.

    :param reason: why, as a code that Redis keeps with the run: ``http_403``, ``not_airflow``, …
    :param status: the HTTP status; None if no answer came, or if its status does not matter.
    """

    def __init__(self, message: str, *, reason: str, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy or a pickle is made by position, and these have none.
        return partial(type(self), reason=self.reason, status=self.status), self.args


@exported
class ApiRefused(ApiError):
    """Airflow refused what was asked about this Dag or run. Another request will not help."""


@exported
class ApiUnusable(ApiError):
    """The way to Airflow is broken: a login, TLS, a redirect, a setting, or what answers is not Airflow's API.

    No run is the cause, and nothing was cleared. When somebody has mended the way, sweepers go on.
    """


@exported
class ApiUnanswered(ApiError):
    """Airflow gave no clear answer in time (unreachable, too slow, 409 or 5xx). The run may have been cleared.

    :param retry_after: how many seconds Airflow asks to wait; 0 if it does not ask.
    :param in_progress: whether Airflow may still be at work on the request: the answer did not come in time.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "unanswered",
        status: int | None = None,
        retry_after: float = 0,
        in_progress: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, status=status)
        self.retry_after = retry_after
        self.in_progress = in_progress
