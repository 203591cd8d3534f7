"""The winner's path to a cleared run: look, renew, clear, confirm.

Every holder of a claim takes this path: the callback that won, a Dag-level callback that took over, or a sweeper.
"""

from __future__ import annotations

import logging

from tenacity import Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from dag_retry._airflow import sdk
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.settings import ApiSettings
from dag_retry._callback.endings import tell_blocked, tell_skipped
from dag_retry._callback.holder import Holder
from dag_retry._callback.note import write_note
from dag_retry._errors import ClearRefused, ClearUnconfirmed, ConfigError, CounterError
from dag_retry._types import Status

log = logging.getLogger(__name__)

# The last try begins at least this many seconds before the deadline: a request needs them.
_LEAST = 1.0


def clear(holder: Holder) -> None:
    """Clear the run, unless somebody has cleared it, and tell what became of it.

    :param holder: the holder of a claim that was won.
    :raises ClearRefused: Airflow refused for good. The run is blocked, and the hooks were told.
    :raises ClearUnconfirmed: Airflow gave no clear answer in time. The claim stays due.
    :raises CounterError: Redis failed. Who takes the claim over finds out whether the run was cleared.
    """
    claim = holder.claim
    try:
        with sdk.timed("clear", claim.dag_id):
            outcome = _try_until_answered(holder)
    except ClearRefused as refusal:
        tell_blocked(holder, refusal)
        raise
    except (ClearUnconfirmed, CounterError) as error:
        log.error(
            "Dag retry: %s failed, %s is claimed, and it is not known whether the run was cleared: %s. "
            "The Dag-level callback finishes the claim once all tasks have ended, or a sweeper does after a minute. "
            "If the run stays failed, clear it by hand.",
            holder.run,
            holder.attempt,
            error,
        )
        sdk.count("unconfirmed", claim.dag_id)
        raise
    if outcome is None:
        log.info(
            "Dag retry: %s: not the holder of %s any more, so this callback stops. Another one has taken it over, or "
            "a person has intervened.",
            holder.run,
            holder.attempt,
        )
        return
    status, reason = outcome
    if status is Status.SKIPPED:
        tell_skipped(holder, reason)
        sdk.count("skipped", claim.dag_id)
    else:
        sdk.count("cleared", claim.dag_id)
        log.info("Dag retry: %s: %s begins (%s).", holder.run, holder.attempt, reason.replace("_", " "))
        if claim.reason != "due":  # The hooks were told when the delay began.
            holder.hooks.tell(holder.context, Status.RETRYING, claim, claim.reason)


def _try_until_answered(holder: Holder) -> tuple[Status, str] | None:
    """Try until Airflow gives a clear answer, with growing pauses. Record a refusal, and raise it.

    A timeout, 409 or 5xx does not say whether the run was cleared. So each try looks first.
    """
    claim = holder.claim
    tries = Retrying(
        retry=retry_if_exception_type(ClearUnconfirmed),
        wait=wait_exponential(multiplier=0.25, max=2),
        stop=stop_before_delay(max(0.0, holder.deadline.left() - _LEAST)),
        reraise=True,
    )
    try:
        with AirflowApi(_settings(holder), holder.deadline) as api:
            outcome = tries(_try_once, holder, api)
            if outcome and outcome[0] is Status.RETRYING:
                write_note(api, Status.RETRYING, claim, claim.reason)
            return outcome
    except ClearRefused as refusal:
        if not holder.counter.block(claim, reason=refusal.reason):
            return None
        raise


def _try_once(holder: Holder, api: AirflowApi) -> tuple[Status, str] | None:
    """Look, renew, clear and confirm.

    Airflow offers no compare-and-clear. Between the look and the clear lies only the renewal, which takes milliseconds.

    :return: the run's status and the reason, as a code; None if another holds the claim.
    """
    claim, counter = holder.claim, holder.counter
    if reason := api.why_not(claim.dag_id, claim.run_id, claim.clear_options):
        return (Status.SKIPPED, reason) if counter.skip(claim, reason=reason) else None
    if not api.is_current(claim.dag_id, claim.run_id, claim.failed_try):
        # A clear that Airflow carried out late can leave the run failed.
        api.queue_stranded(claim.dag_id, claim.run_id, claim.failed_try)
        counter.confirm(claim, reason="already_cleared")
        return Status.RETRYING, "already_cleared"
    if not counter.renew(claim):
        return None
    api.clear(claim.dag_id, claim.run_id, claim.clear_options)
    counter.confirm(claim, reason="cleared")
    return Status.RETRYING, "cleared"


def _settings(holder: Holder) -> ApiSettings:
    try:
        return holder.api_settings()
    except ConfigError as error:
        raise ClearRefused(str(error), reason="config") from error
