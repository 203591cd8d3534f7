"""A claim with a delay. No callback waits: the sweeper's Dag runs when the delay is over."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from dag_retry._callback.holder import Holder
from dag_retry._errors import DagRetryError
from dag_retry._types import Status

log = logging.getLogger(__name__)

SWEEPER_DAG = "dag_retry_sweeper"
"""The id of the Dag that :mod:`dag_retry.sweeper` makes."""


def wait(holder: Holder) -> None:
    """Leave the clear to a sweeper, and tell the hooks that the run waits.

    :param holder: the holder of a claim that was won, and is due later.
    """
    claim = holder.claim
    at = datetime.fromtimestamp(claim.due_at / 1000, tz=timezone.utc).isoformat(timespec="seconds")
    log.info("Dag retry: %s: %s begins at %s.", holder.run, holder.attempt, at)
    try:
        _call_sweeper(holder)
    except DagRetryError as error:
        log.warning(
            "Dag retry: %s is to be cleared at %s, and no run of Dag %r was made for that time: %s. "
            "The next sweep after that time clears the run.",
            holder.run,
            at,
            SWEEPER_DAG,
            error,
        )
    holder.hooks.tell(holder.context, Status.WAITING, claim, claim.reason)


def _call_sweeper(holder: Holder) -> None:
    """Make a run of the sweeper's Dag, if there is such a Dag. A sweeper that runs as a service needs no call."""
    # Imported here: the file of the sweeper's Dag needs nothing but SWEEPER_DAG.
    from dag_retry._airflow import settings
    from dag_retry._callback.note import write_note

    if not settings.has_credentials():
        return  # The sweeper's Dag looks every minute.
    claim = holder.claim
    # The scheduler compares whole seconds, so we round up. All claims that are due in one second share a run.
    run_after = datetime.fromtimestamp(-(-claim.due_at // 1000), tz=timezone.utc)
    api = holder.airflow.api
    if not api.trigger(SWEEPER_DAG, f"due__{run_after.isoformat()}", run_after):
        log.info("Dag retry: there is no Dag %r: `dag-retry sweep` must run as a service.", SWEEPER_DAG)
    write_note(api, Status.WAITING, claim, claim.reason)
