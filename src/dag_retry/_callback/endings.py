"""How a budget ends without another clear: the hooks are told, then Redis records that they were."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dag_retry._airflow import sdk, settings
from dag_retry._callback.holder import Holder, describe_run
from dag_retry._callback.note import write_note
from dag_retry._errors import ApiRefused, CounterError, DagRetryError
from dag_retry._reasons import SETTLED, reason_of
from dag_retry._types import Claim, RunRecord, Status

if TYPE_CHECKING:
    from dag_retry._airflow.session import Airflow

log = logging.getLogger(__name__)


def tell_exhausted(holder: Holder, reason: str) -> None:
    """Tell that every attempt of the budget is used.

    :param holder: the holder of the claim.
    :param reason: why, as a code.
    :raises CounterError: Redis did not record that the hooks were told.
    """
    why, remedy = reason_of(reason)
    log.error("Dag retry: gave up on %s after %s: %s. %s", holder.run, holder.attempt, why, remedy)
    _tell(holder, Status.EXHAUSTED, reason)


def tell_skipped(holder: Holder, reason: str) -> None:
    """Tell that the failure is not retried.

    :param holder: the holder of the claim.
    :param reason: why not, as a code.
    :raises CounterError: Redis did not record that the hooks were told.
    """
    why, remedy = reason_of(reason, skipped=True)
    log.warning("Dag retry: %s failed, and is not retried (%s): %s. %s", holder.run, reason, why, remedy)
    _tell(holder, Status.SKIPPED, reason)


def tell_blocked(holder: Holder, refusal: ApiRefused) -> None:
    """Tell that Airflow refused the clear for good.

    :param holder: the holder of the claim.
    :param refusal: what Airflow refused, and why.
    :raises CounterError: Redis did not record that the hooks were told.
    """
    log.error(
        "Dag retry: %s failed and is blocked (%s): %s. Fix the cause, then clear the run by hand.",
        holder.run,
        refusal.reason,
        refusal,
    )
    sdk.count("blocked", holder.claim.dag_id)
    _tell(holder, Status.BLOCKED, refusal.reason)


def _tell(holder: Holder, status: Status, reason: str) -> None:
    """Tell the hooks first, then acknowledge. If this process dies between the two, the hooks are told again.

    A sweeper does not have a Dag's own hooks. It leaves an ending that needs a human untold, so a callback of the Dag
    that comes later tells the hooks.
    """
    has_hooks = holder.level != "sweeper" or not holder.claim.own_hooks
    if has_hooks:
        holder.hooks.tell(holder.context, status, holder.claim, reason)
    if has_hooks or reason in SETTLED:
        _acknowledge(holder, status)
    else:
        log.warning(
            "Dag retry: %s is %s, and nobody was told: its Dag has hooks of its own, and a sweeper does not have them. "
            "The run needs a human.",
            holder.run,
            status.value,
        )
    if status is not Status.BLOCKED:  # A user who may not clear the run may not write its note either.
        note_ending(holder.airflow, status, holder.claim, reason)


def _acknowledge(holder: Holder, status: Status) -> None:
    try:
        holder.counter.acknowledge(holder.claim)
    except CounterError as error:
        log.error(
            "Dag retry: the hooks were told that %s is %s, but Redis did not record that: %s. They may be told again.",
            holder.run,
            status.value,
            error,
        )
        raise


def note_ending(airflow: Airflow, status: Status, what: Claim | RunRecord, reason: str) -> None:
    """Say in the run's note how the budget ended. Without credentials there is no note.

    A note that can't be written is left out.

    :param airflow: the session with Airflow's REST API.
    :param status: how the budget ended.
    :param what: the claim, or the record.
    :param reason: why, as a code.
    """
    if not settings.has_credentials():
        return
    try:
        write_note(airflow.api, status, what, reason)
    except DagRetryError as error:
        log.info("Dag retry: the note of %s was not written: %s.", describe_run(what.dag_id, what.run_id), error)
