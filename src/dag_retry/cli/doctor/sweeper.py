"""Checks of the sweepers, by what they say of themselves in Redis."""

from __future__ import annotations

from collections.abc import Iterator

from dag_retry._airflow import settings
from dag_retry._airflow.client import ApiClient, JsonObject
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback import deployment
from dag_retry._callback.waiting import SWEEPER_DAG
from dag_retry._errors import DagRetryError
from dag_retry._reasons import reason_of
from dag_retry._redis.connection import Client
from dag_retry._redis.health import Health
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry.cli.doctor.finding import Finding
from dag_retry.cli.output import duration
from dag_retry.sweeper.advice import DAG_FILE, how_to_start

CHECK = "sweeper"

_SERVICE = "start the service `dag-retry sweep`"
# An API that is away costs a person so long here, and the checks of Airflow say that it is away.
_SECONDS = 5.0


def look(client: Client) -> Health | None:
    """Return what the sweepers say of themselves; None if Redis does not tell. The check of the reads says why.

    :param client: a client that does not decode answers.
    """
    try:
        return deployment.overview(client).health()
    except DagRetryError:
        return None


def start(health: Health) -> str:
    """Return how to start a sweeper; empty if one runs.

    Whether there is a sweeper's Dag, Airflow's API tells.

    :param health: what the sweepers say of themselves.
    """
    if health.current:
        return ""
    try:
        login = settings.has_credentials()
    except DagRetryError:
        return _SERVICE  # The check of the settings says what is wrong.
    if not login:
        return how_to_start(health.heartbeat)
    if (dag := _sweeper_dag()) is None:
        return f"{_SERVICE}, or put a file among your Dags: `{DAG_FILE}`"
    return f"unpause the Dag {SWEEPER_DAG}" if dag.get("is_paused") else f"see why the Dag {SWEEPER_DAG} does not run"


def _sweeper_dag() -> JsonObject | None:
    """Return what Airflow's API tells of the sweeper's Dag; None if nothing."""
    try:
        with ApiClient(settings.api(), Deadline(_SECONDS)) as client:
            return client.get("dags", SWEEPER_DAG)
    except DagRetryError:
        return None


def examine(health: Health, start: str) -> Iterator[Finding]:
    """Yield the findings about the sweepers.

    :param health: what they say of themselves.
    :param start: how to start one; empty if one runs.
    """
    yield _life(health, start)
    if last := health.current:
        if health.broken:
            found = f"broken for {duration(health.now - last.fault_at)} ({last.fault}): {last.fault_text}"
            yield Finding("way of the sweepers", "fault", found, reason_of(last.fault).remedy)
        yield from _another(last)


def _life(health: Health, start: str) -> Finding:
    last = health.heartbeat
    found = (
        f"the last sweep was {duration(health.now - last.at)} ago, by {last.holder}" if last else "none has ever run"
    )
    if health.current:
        return Finding(CHECK, "ok", found)
    if not health.missing:
        return Finding(CHECK, "warning", f"{found}; no run waits for one now", start)
    found = f"{found}; {health.waiting} {'run waits' if health.waiting == 1 else 'runs wait'} for one"
    return Finding(CHECK, "fault", found, start)


def _another(last: Heartbeat) -> Iterator[Finding]:
    """Find a sweeper of another Airflow: neither of two Airflows can tell the runs of the other from its own."""
    try:
        ours = settings.api().url if settings.has_credentials() else ""
    except DagRetryError:
        return  # The checks of Airflow's API say why.
    if ours and last.api and ours != last.api:
        yield Finding(
            "namespace",
            "fault",
            f"a sweeper ({last.holder}) clears runs at {last.api}, and here the API is {ours}",
            "two Airflows on one Redis: give each its namespace. If both addresses are of one Airflow, use the same "
            "api_url for both",
        )
