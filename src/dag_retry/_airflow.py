"""All that is taken from Airflow, so that a move between its versions is mended in one place.

Imports stand inside functions: ``import dag_retry`` in a Dag file loads nothing by itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

SECTION = "dag_retry"


def require_fence() -> None:
    """Raise ConfigError where Airflow is too old for ``clear_number`` to tell one failure from the next.

    It moves on every clear since Airflow 3.2.0, whose task SDK is 1.2 (``clear_task_instances`` in
    ``airflow.models.taskinstance``); before, only when the run had already finished.
    """
    from airflow.sdk import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) < (1, 2):
        raise ConfigError(
            f"airflow-dag-retry needs Airflow 3.2 or newer (apache-airflow-task-sdk 1.2), and this is task SDK "
            f"{__version__}: before that a clear does not always move dag_run.clear_number, by which a failure is "
            "told from a later one. Upgrade Airflow; nothing is retried until then."
        )


def option(key: str) -> str | None:
    """Return an option of the ``[dag_retry]`` section (or ``AIRFLOW__DAG_RETRY__…``); None where unset or empty."""
    from airflow.sdk.configuration import conf

    return conf.get(SECTION, key, fallback=None) or None


def base_url() -> str | None:
    """Return where Airflow says that its own API server is reached (``[api] base_url``), None where unset."""
    from airflow.sdk.configuration import conf

    return conf.get("api", "base_url", fallback=None) or None


def connection(conn_id: str) -> Connection | None:
    """Return an Airflow Connection, None where there is none of that id."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    return found


def grace() -> float:
    """Return for how many seconds a worker lets a task's process live after the task has failed.

    ``[core] task_success_overtime``; then it is killed, callbacks and all (``supervisor.py`` of the task SDK).
    """
    from airflow.sdk.configuration import conf

    return float(conf.getfloat("core", "task_success_overtime", fallback=20.0))


def mask(secret: str | None) -> None:
    """Have Airflow put ``***`` for this text in every log of this process."""
    from airflow.sdk.log import mask_secret

    if secret:
        mask_secret(secret)


def count(event: str, dag_id: str) -> None:
    """Add one to a metric, with tags and (plain StatsD drops tags) by name. No metric stands in a retry's way."""
    # The class is the one door that 3.2 and 3.3 share; the functions beside it came with 3.3.
    from airflow.sdk.observability.stats import Stats

    try:
        Stats.incr(f"dag_retry.{event}", tags={"dag_id": dag_id})
        Stats.incr(f"dag_retry.{event}.{dag_id}")
    except Exception:
        log.warning("Dag retry: the metric dag_retry.%s of Dag %r was not sent.", event, dag_id, exc_info=True)
