"""Retry whole Airflow Dag runs: one winner per failure, capped, counted in Redis.

``DagRetry`` is what a Dag uses; ``AttemptCounter`` is the counter by itself. Importing this package loads
neither redis nor requests nor Airflow: Dag files are parsed all day.
"""

from dag_retry._counter import AttemptCounter
from dag_retry._errors import ClearRefused, ClearUnconfirmed, ConfigError, ContextError, CounterError, DagRetryError
from dag_retry._retry import DagRetry
from dag_retry._words import Claim, FailedTry, Outcome, RunRecord, Status, Verdict

__version__ = "0.1.0"

__all__ = [
    "AttemptCounter",
    "Claim",
    "ClearRefused",
    "ClearUnconfirmed",
    "ConfigError",
    "ContextError",
    "CounterError",
    "DagRetry",
    "DagRetryError",
    "FailedTry",
    "Outcome",
    "RunRecord",
    "Status",
    "Verdict",
]
