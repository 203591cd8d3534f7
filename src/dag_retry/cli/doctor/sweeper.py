"""Checks of the sweepers, by what they say of themselves in Redis."""

from __future__ import annotations

from collections.abc import Iterator

from dag_retry._airflow import settings
from dag_retry._callback import deployment
from dag_retry._errors import DagRetryError
from dag_retry._reasons import reason_of
from dag_retry._redis.connection import Client
from dag_retry._redis.health import Health
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry.cli.doctor.finding import Finding
from dag_retry.cli.output import duration

_CHECK = "sweeper"


def look(client: Client) -> Health | None:
    """Return what the sweepers say of themselves; None if Redis does not tell. The check of the reads says why.

    :param client: a client that does not decode answers.
    """
    try:
        return deployment.overview(client).health()
    except DagRetryError:
        return None


def examine(health: Health) -> Iterator[Finding]:
    """Yield the findings about the sweepers.

    :param health: what they say of themselves.
    """
    yield _life(health)
    if last := health.current:
        if health.broken:
            found = f"broken for {duration(health.now - last.fault_at)} ({last.fault}): {last.fault_text}"
            yield Finding("way of the sweepers", "fault", found, reason_of(last.fault).remedy)
        yield from _another(last)


def _life(health: Health) -> Finding:
    last = health.heartbeat
    found = (
        f"the last sweep was {duration(health.now - last.at)} ago, by {last.holder}" if last else "none has ever run"
    )
    if not health.missing:
        return Finding(_CHECK, "ok", found)
    found = f"{found}; {health.waiting} {'run waits' if health.waiting == 1 else 'runs wait'} for one"
    return Finding(_CHECK, "fault", found, "start dag-retry sweep, or unpause the Dag dag_retry_sweeper")


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
