"""What a person can do where no sweeper runs."""

from __future__ import annotations

from dag_retry._airflow import settings
from dag_retry._callback.waiting import SWEEPER_DAG
from dag_retry._errors import ConfigError
from dag_retry._redis.heartbeat import Heartbeat

# Airflow reads a file only if the words "dag" and "airflow" stand in it.
DAG_FILE = "from dag_retry.sweeper import sweeper_dag; dag = sweeper_dag()  # of Airflow"
"""The file of the sweeper's Dag, in one line."""
LOGIN = "api_username and api_password, or api_token (AIRFLOW__DAG_RETRY__API_USERNAME, …)"
"""The settings of a login."""
OF_DAG = f"Dag {SWEEPER_DAG}, "
"""How a heartbeat names a sweeper that is a run of the sweeper's Dag. Host and process follow."""


def how_to_start(last: Heartbeat | None) -> str:
    """Return how to get a sweeper where none runs. Code stands between backticks.

    :param last: what the sweeper said that looked last; None if none has ever looked.
    """
    if last and last.holder.startswith(OF_DAG):
        service = ", or start `dag-retry sweep`" if _has_login() else ""
        return f"unpause the Dag `{SWEEPER_DAG}`, or see in the log of its task why it fails{service}."
    if _has_login():
        return "start `dag-retry sweep`."
    return f"put a file with `{DAG_FILE}` among your Dags. (The service `dag-retry sweep` needs a login: {LOGIN}.)"


def _has_login() -> bool:
    """Return whether this process has a login for Airflow's REST API. If a setting can't be read, it may have one."""
    try:
        return settings.has_credentials()
    except ConfigError:
        return True
