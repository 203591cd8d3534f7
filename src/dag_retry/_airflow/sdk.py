"""What this package takes from Airflow's task SDK, except options (:mod:`dag_retry._airflow.section`).

If Airflow moves something, only this module changes. Imports are inside functions, so a Dag file that imports
``dag_retry`` loads nothing of Airflow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)


def check_version() -> None:
    """Check that every clear changes ``dag_run.clear_number``, by which one failure is told from the next.

    Airflow has done so since 3.2.0, whose task SDK is 1.2 (``clear_task_instances`` in
    ``airflow.models.taskinstance``). Before, only the clear of a finished run changed ``clear_number``.

    :raises ConfigError: Airflow is older than 3.2.
    """
    from airflow.sdk import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) < (1, 2):
        raise ConfigError(
            f"airflow-dag-retry needs Airflow 3.2 or newer (apache-airflow-task-sdk 1.2), and this is task SDK "
            f"{__version__}. There, not every clear changes dag_run.clear_number, and an old failure can look like a "
            "new one. Upgrade Airflow; nothing is retried until then"
        )


def base_url() -> str | None:
    """Return the address that Airflow's API server says it has (``[api] base_url``), None if it is not set."""
    from airflow.sdk.configuration import conf

    return conf.get("api", "base_url", fallback=None) or None


def connection(conn_id: str) -> Connection:
    """Return an Airflow Connection.

    :param conn_id: the Connection's id.
    :raises Exception: what Airflow's SDK raises if it can't get the Connection.
    """
    from airflow.sdk import Connection

    found: Connection = Connection.get(conn_id)
    return found


def variable(name: str) -> str | None:
    """Return the value of an Airflow Variable. Return None if there is none, or if Airflow can't read it.

    :param name: the name of the Variable.
    """
    from airflow.sdk import Variable

    try:
        found: str | None = Variable.get(name, default=None)
    except Exception:
        log.warning("Dag retry: the Variable %r was not read.", name, exc_info=True)
        return None
    return found


def delete_variable(name: str) -> None:
    """Delete an Airflow Variable. If this fails, log a warning.

    :param name: the name of the Variable.
    """
    from airflow.sdk import Variable

    try:
        Variable.delete(name)
    except Exception:
        log.warning("Dag retry: the Variable %r was not deleted.", name, exc_info=True)


def is_test(context: Mapping[str, Any]) -> bool:
    """Return whether ``dag.test()``, or ``airflow tasks test``, has called a callback. No scheduler runs such a run.

    Both run tasks in their own process (``InProcessTestSupervisor``), or ``dag.test()`` in an executor: then the user
    that has triggered the run tells (``DAG.test``). To a callback of the Dag it gives the Dag as the scheduler knows
    it (``DagRun.execute_dag_callbacks``), and Airflow does so nowhere else.

    :param context: what Airflow gave to the callback.
    """
    from airflow.sdk.execution_time import task_runner

    return (
        getattr(context.get("dag_run"), "triggering_user_name", None) == "dag_test"
        or type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"
        or type(context.get("dag")).__module__.startswith("airflow.serialization.")
    )


def task_states(context: Mapping[str, Any], task_ids: list[str]) -> dict[str, set[str | None]] | None:
    """Return the present states of tasks of a run. Return None if Airflow does not tell.

    Airflow names index 2 of the mapped task ``load`` ``load_2`` (``get_task_instance_states``).

    :param context: what Airflow gave to a callback of a task.
    :param task_ids: the tasks.
    """
    try:
        dag, run_id = context["dag"], context["run_id"]
        found = context["ti"].get_task_states(dag_id=dag.dag_id, task_ids=task_ids, run_ids=[run_id])[run_id]
    except Exception:
        log.warning("Dag retry: the states of the tasks after the failed one were not read.", exc_info=True)
        return None
    states: dict[str, set[str | None]] = {task_id: set() for task_id in task_ids}
    for name, state in found.items():
        task_id, _, index = name.rpartition("_")
        states[task_id if name not in dag.task_dict and index.isdecimal() else name].add(state)
    return states


def task_limit() -> float:
    """Return how many seconds the process of a failed task, with its callbacks, has before the worker kills it.

    The option is ``[core] task_success_overtime`` (``supervisor.py`` of the task SDK).
    """
    return _seconds("core", "task_success_overtime", 20.0)


def dag_processor_limit() -> float:
    """Return how many seconds a process that parses a Dag file and runs its callbacks has before it is killed.

    The dag processor kills it (``DagFileProcessorManager._kill_timed_out_processors``). The option is
    ``[dag_processor] dag_file_processor_timeout``.
    """
    return _seconds("dag_processor", "dag_file_processor_timeout", 50.0)


def _seconds(section: str, key: str, default: float) -> float:
    from airflow.sdk.configuration import conf

    return float(conf.getfloat(section, key, fallback=default))


def mask(secret: str | None) -> None:
    """Have Airflow show ``***`` in place of a secret in every log of this process.

    :param secret: the secret; None or empty for nothing.
    """
    from airflow.sdk.log import mask_secret

    if secret:
        mask_secret(secret)


def masked(text: str) -> str:
    """Return a text with ``***`` in place of each secret that :func:`mask` got in this process.

    :param text: the text.
    """
    from airflow.sdk._shared.secrets_masker import redact

    return str(redact(text))


def count(event: str, dag_id: str) -> None:
    """Add one to a counter ``dag_retry.<event>`` among Airflow's metrics.

    :param event: what happened.
    :param dag_id: the Dag.
    """
    _send(event, dag_id)


@contextmanager
def timed(what: str, dag_id: str) -> Iterator[None]:
    """Send how long a block of code took, even if it raised, as the timing ``dag_retry.<what>_duration``.

    :param what: what the block does.
    :param dag_id: the Dag.
    """
    begin = time.monotonic()
    try:
        yield
    finally:
        _send(f"{what}_duration", dag_id, timedelta(seconds=time.monotonic() - begin))


def _send(name: str, dag_id: str, took: timedelta | None = None) -> None:
    """Send a metric twice: with the Dag as a tag, and in the name, since plain StatsD drops tags.

    An error is logged, so that no metric can stop a retry.

    :param name: the name of the metric.
    :param dag_id: the Dag.
    :param took: the duration of a timing; None for a counter.
    """
    # Airflow 3.2 and 3.3 both have this class. The functions beside it are new in 3.3.
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
