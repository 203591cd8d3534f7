"""The names of Airflow's how-to "Dag-level Retry via on_failure_callback", with the attempts counted in Redis.

A user of that recipe deletes their own functions, and imports these instead::

    from dag_retry.recipe import cleanup_attempts, clear_dag_run_on_failure

Settings come from the section ``[dag_retry]``. Its ``max_attempts`` is the cap.

When an unfinished run fails, the attempts that the how-to's Variable holds are taken over, and the Variable is deleted.
``dag-retry migrate`` lists the Variables that are left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dag_retry._airflow import sdk
from dag_retry._policy import dag_level
from dag_retry._policy.hooks import Context
from dag_retry._retry import DagRetry

if TYPE_CHECKING:
    from dag_retry._callback.failure import Failure
    from dag_retry._redis.counter import MissingRecord

__all__ = ["cleanup_attempts", "clear_dag_run_on_failure", "read_attempts"]

log = logging.getLogger(__name__)

VARIABLE_PREFIX = "dag_run_attempts::"
"""The name of a Variable of the how-to is this prefix and ``<dag_id>::<run_id>``."""


class _AfterTheRecipe(DagRetry):
    @contextmanager
    def _missing_record(self, failure: Failure) -> Iterator[MissingRecord | int]:
        name = f"{VARIABLE_PREFIX}{failure.dag_id}::{failure.run_id}"
        held = sdk.variable(name)
        if held is None or not held.isdecimal():
            yield "count_from_zero"
            return
        yield int(held)
        # The attempts are taken over once. If Redis forgets the run later, Airflow's clears count.
        sdk.delete_variable(name)
        log.info("Dag retry: %s attempts of the Variable %r were taken over.", held, name)


_retry = _AfterTheRecipe()


@dag_level.ours(retries=True)
def clear_dag_run_on_failure(context: Context) -> None:
    """Clear the failed run, if an attempt is left and no other callback has claimed the failure.

    This is the ``on_failure_callback`` of tasks and of Dags.

    :param context: what Airflow gives to a failure callback.
    :raises DagRetryError: what :meth:`DagRetry.on_failure` raises.
    """
    _retry.on_failure(context)


@dag_level.ours(retries=False)
def cleanup_attempts(context: Context) -> None:
    """End the budget of a run that succeeded. This is the ``on_success_callback`` of a Dag.

    After a failure this function does nothing. The how-to's function deletes the counter then: with parallel branches
    the next callback counts from none, and the retries never end.

    :param context: what Airflow gives to a success callback.
    :raises ConfigError: what :meth:`DagRetry.on_success` raises.
    """
    _retry.on_success(context)


def read_attempts(dag_id: str, run_id: str) -> int:
    """Return how many attempts of the run's budget are used, 0 if the run never failed.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :raises CounterError: Redis is unreachable.
    :raises ConfigError: a setting is missing or wrong.
    """
    record = _retry.read(dag_id, run_id)
    return record.attempt if record else 0
