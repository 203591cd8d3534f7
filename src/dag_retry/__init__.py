"""Retry whole Airflow Dag runs: one winner per failure, capped, counted in Redis.

``DagRetry`` is for Dags. ``AttemptCounter`` is the counter by itself. Every process of Airflow imports this package, to
ask for its options, so the package loads a name only when somebody asks for it. Dag files are parsed all day, so no
name loads redis, requests or Airflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dag_retry._errors import (
        ApiError,
        ApiRefused,
        ApiUnanswered,
        ApiUnusable,
        ConfigError,
        ContextError,
        CounterError,
        DagRetryError,
    )
    from dag_retry._redis.counter import AttemptCounter
    from dag_retry._retry import DagRetry
    from dag_retry._types import Claim, FailedTry, Outcome, RunRecord, Status, Verdict

__version__ = "0.2.0"

__all__ = [
    "ApiError",
    "ApiRefused",
    "ApiUnanswered",
    "ApiUnusable",
    "AttemptCounter",
    "Claim",
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

_MODULES = {"DagRetry": "_retry", "AttemptCounter": "_redis.counter"} | dict.fromkeys(
    ("Claim", "FailedTry", "Outcome", "RunRecord", "Status", "Verdict"), "_types"
)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULES.get(name, '_errors')}"), name)
    globals()[name] = found
    return found
