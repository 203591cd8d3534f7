"""What can go wrong, one leaf for each thing a reader can do about it.

::

    DagRetryError
    ├── ConfigError        a setting is missing or wrong: correct it (also a ValueError)
    ├── ContextError       Airflow's context lacks what the fence needs: see the message
    ├── CounterError       Redis did not do its part: nothing was cleared
    ├── ClearRefused       Airflow refused the clear for good: the run is blocked
    └── ClearUnconfirmed   Airflow gave no clear answer in time: the claim stays due
"""

from __future__ import annotations


class DagRetryError(Exception):
    """The base of everything this package raises on its own account."""


class ConfigError(DagRetryError, ValueError):
    """A setting is missing or wrong. The message names it and shows a right value."""


class ContextError(DagRetryError):
    """The context that Airflow gave the callback does not say which run, or which generation, failed."""


class CounterError(DagRetryError):
    """Redis is unreachable, refuses, or too few replicas have the claim. Nothing was cleared.

    So it is where the Connection that ``redis_conn_id`` names was not found. The message says what to do.
    """


class ClearRefused(DagRetryError):
    """Airflow, or whatever answers at its address, refused for good. Asking again will not help.

    :param reason: why, as a code that is stored with the run: ``http_403``, ``not_airflow``, …
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClearUnconfirmed(DagRetryError):
    """No clear answer in time: unreachable, too slow, 409 or 5xx. The clear may or may not have happened.

    So it is, too, where the Connection that ``api_conn_id`` names was not found: nothing was sent then.
    """
