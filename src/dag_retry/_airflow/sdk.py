"""What this package takes from Airflow's SDK, but for its options (:mod:`dag_retry._airflow.section`).

So one module is to be mended when Airflow moves something. Imports stand inside functions: ``import dag_retry`` in a
Dag file loads nothing by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)


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


def base_url() -> str | None:
    """Return where Airflow says that its own API server is reached (``[api] base_url``), None where unset."""
    from airflow.sdk.configuration import conf

    return conf.get("api", "base_url", fallback=None) or None


def connection(conn_id: str) -> Connection:
    """Return an Airflow Connection.

    :param conn_id: which.
    :raises Exception: whatever Airflow's SDK raises where it can't get the Connection.
    """
    from airflow.sdk import Connection

    found: Connection = Connection.get(conn_id)
    return found


def variable(name: str) -> str | None:
    """Return an Airflow Variable; None where there is none, or it can't be had."""
    from airflow.sdk import Variable

    try:
        found: str | None = Variable.get(name, default=None)
    except Exception:
        log.warning("Dag retry: the Variable %r was not read.", name, exc_info=True)
        return None
    return found


def delete_variable(name: str) -> None:
    """Delete an Airflow Variable; where that fails, it is left."""
    from airflow.sdk import Variable

    try:
        Variable.delete(name)
    except Exception:
        log.warning("Dag retry: the Variable %r was not deleted.", name, exc_info=True)


def task_limit() -> float:
    """Return for how many seconds a worker lets a task's process live after the task has failed.

    ``[core] task_success_overtime``; then it is killed, callbacks and all (``supervisor.py`` of the task SDK).
    """
    return _seconds("core", "task_success_overtime", 20.0)


def dag_processor_limit() -> float:
    """Return after how many seconds the dag processor kills the process that parses a Dag file and calls it back.

    ``[dag_processor] dag_file_processor_timeout`` (``DagFileProcessorManager._kill_timed_out_processors``).
    """
    return _seconds("dag_processor", "dag_file_processor_timeout", 50.0)


def _seconds(section: str, key: str, default: float) -> float:
    from airflow.sdk.configuration import conf

    return float(conf.getfloat(section, key, fallback=default))


def mask(secret: str | None) -> None:
    """Have Airflow put ``***`` for this text in every log of this process."""
    from airflow.sdk.log import mask_secret

    if secret:
        mask_secret(secret)


def count(event: str, dag_id: str) -> None:
    """Add one to a metric, in the metrics of Airflow."""
    _send(event, dag_id)


@contextmanager
def timed(what: str, dag_id: str) -> Iterator[None]:
    """Send how long something took, whatever came of it, as :func:`count` does."""
    begin = time.monotonic()
    try:
        yield
    finally:
        _send(f"{what}_duration", dag_id, timedelta(seconds=time.monotonic() - begin))


def _send(name: str, dag_id: str, took: timedelta | None = None) -> None:
    """Send a metric, with tags and (plain StatsD drops tags) by name. No metric stands in a retry's way."""
    # The class is the one door that 3.2 and 3.3 share; the functions beside it came with 3.3.
    from airflow.sdk.observability.stats import Stats

    try:
        ways: dict[str, dict[str, Any]] = {name: {"tags": {"dag_id": dag_id}}, f"{name}.{dag_id}": {}}
        for way, tags in ways.items():
            if took is None:
                Stats.incr(f"dag_retry.{way}", **tags)
            else:
                Stats.timing(f"dag_retry.{way}", took, **tags)
    except Exception:
        log.warning("Dag retry: the metric dag_retry.%s of Dag %r was not sent.", name, dag_id, exc_info=True)
