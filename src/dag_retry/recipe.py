"""The names of Airflow's how-to "Dag-level Retry via on_failure_callback", with the attempts counted in Redis.

Who uses that recipe deletes their own functions, and imports these in their place::

    from dag_retry.recipe import cleanup_attempts, clear_dag_run_on_failure

Settings come from Airflow's Connections or the section ``[dag_retry]``, the cap from its ``max_attempts``.
"""

from __future__ import annotations

from dag_retry._retry import Context, DagRetry

__all__ = ["cleanup_attempts", "clear_dag_run_on_failure", "read_attempts"]


_retry = DagRetry()


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
