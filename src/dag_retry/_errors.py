"""What can go wrong: one class for each thing that the reader can do about it.

::

    DagRetryError
    ├── ConfigError        a setting is missing or wrong: correct it (also a ValueError)
    ├── ContextError       the callback was not called by Airflow, and its context lacks the try: attach it
    ├── CounterError       Redis is unreachable or refuses: see the message
    ├── ClearRefused       Airflow refused the clear for good: fix the cause, then clear the run by hand
    └── ClearUnconfirmed   Airflow gave no clear answer in time: the claim stays due
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
class ClearRefused(DagRetryError):
    """Airflow, or whatever answers at its address, refused for good. Another request will not help.

    :param reason: why, as a code that Redis keeps with the run: ``http_403``, ``not_airflow``, …
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy or a pickle is made by position, and reason has none.
        return partial(type(self), reason=self.reason), self.args


@exported
class ClearUnconfirmed(DagRetryError):
    """Airflow gave no clear answer in time (unreachable, too slow, 409 or 5xx). The run may have been cleared.

    If the Connection that ``api_conn_id`` names was not found, nothing was sent.
    """
