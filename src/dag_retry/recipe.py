"""The names of Airflow's how-to "Dag-level Retry via on_failure_callback", with the attempts counted in Redis.

A user of that recipe deletes their own functions, and imports these instead::

    from dag_retry.recipe import cleanup_attempts, clear_dag_run_on_failure

Settings come from the section ``[dag_retry]``, the cap from its ``max_attempts``.

The attempts that the how-to's Variables hold for unfinished runs are taken over, once each. ``dag-retry migrate`` lists
the Variables that are left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dag_retry._airflow import sdk
from dag_retry._policy.hooks import Context
from dag_retry._retry import DagRetry

if TYPE_CHECKING:
    from dag_retry._callback.failure import Failure
    from dag_retry._redis.counter import MissingRecord

__all__ = ["cleanup_attempts", "clear_dag_run_on_failure", "read_attempts"]

log = logging.getLogger(__name__)

VARIABLE = "dag_run_attempts::"
"""The how-to's Variables are named so, with ``<dag_id>::<run_id>`` behind it."""


class _AfterTheRecipe(DagRetry):
    @contextmanager
    def _missing_record(self, failure: Failure) -> Iterator[MissingRecord | int]:
        name = f"{VARIABLE}{failure.dag_id}::{failure.run_id}"
        held = sdk.variable(name)
        if held is None or not held.isdecimal():
            yield "count_from_zero"
            return
        yield int(held)
        # Taken over once. If Redis forgets the run later, Airflow's clears are counted.
        sdk.delete_variable(name)
        log.info("Dag retry: %s attempts of the Variable %r were taken over.", held, name)


_retry = _AfterTheRecipe()


def clear_dag_run_on_failure(context: Context) -> None:
    """Clear the failed run if an attempt is left and no other callback does: an ``on_failure_callback``.

    :param context: what Airflow gives to it, of a task or of a Dag.
    :raises DagRetryError: as :meth:`DagRetry.on_failure` does.
    """
    _retry.on_failure(context)


def cleanup_attempts(context: Context) -> None:
    """End the count of a run that succeeded: an ``on_success_callback`` of a Dag.

    After a failure it does nothing, where the how-to's deletes the counter: with parallel branches that starts a new
    series of retries, and so never ends.

    :param context: what Airflow gives to it.
    :raises ConfigError: as :meth:`DagRetry.on_success` does.
    """
    _retry.on_success(context)


def read_attempts(dag_id: str, run_id: str) -> int:
    """Return how many Dag-level retries of the run's budget are used, 0 where it never failed.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :raises CounterError: Redis is unreachable.
    :raises ConfigError: a setting is missing or wrong.
    """
    record = _retry.read(dag_id, run_id)
    return record.attempt if record else 0
