"""Failures that a callback does not claim: the log and the context say why."""

from __future__ import annotations

import logging

from dag_retry._airflow import sdk, section, settings
from dag_retry._callback.failure import Failure, UnknownTry
from dag_retry._callback.holder import describe_run
from dag_retry._errors import ConfigError, CounterError, DagRetryError
from dag_retry._policy import dag_level
from dag_retry._policy.hooks import Context
from dag_retry._reasons import reason_of
from dag_retry._types import FailedTry, Outcome, Status

log = logging.getLogger(__name__)


def put_unclaimed(context: Context, failure: Failure | UnknownTry, reason: str, max_attempts: int) -> None:
    """Put into the context that this callback has claimed nothing, for the callbacks after it.

    :param context: what Airflow gave to the callback.
    :param failure: the failure.
    :param reason: why nothing was claimed, as a code.
    :param max_attempts: the cap of the policy.
    """
    failed_try = failure.failed_try if isinstance(failure, Failure) else FailedTry()
    context["dag_retry"] = Outcome(
        Status.UNCLAIMED, reason, 0, max_attempts, failure.dag_id, failure.run_id, failed_try
    )


def log_nothing(run: str, code: str) -> None:
    """Log that there is nothing to retry.

    :param run: what the run is called in messages.
    :param code: why, as a code.
    """
    log.info("Dag retry: %s: nothing to retry (%s): %s.", run, code, reason_of(code).text)


def leave_unknown(unknown: UnknownTry, context: Context, max_attempts: int) -> None:
    """Leave a failure that nobody can claim, and log who retries the run.

    :param unknown: the failure.
    :param context: what Airflow gave to the callback.
    :param max_attempts: the cap of the policy.
    """
    run = describe_run(unknown.dag_id, unknown.run_id)
    reason = "test" if sdk.is_test(context) else "unknown_try"
    put_unclaimed(context, unknown, reason, max_attempts)
    if reason == "test":
        log_nothing(run, reason)
    elif unknown.level == "task" and dag_level.is_attached(context["dag"]):
        log.info(
            "Dag retry: %s: Airflow does not tell this callback which try failed (its trigger ended the task). This "
            "callback leaves the failure to the Dag level.",
            run,
        )
    else:
        log.warning(
            "Dag retry: %s failed, and Airflow does not tell this callback which try failed, so nothing was claimed. "
            "%s",
            run,
            _by_a_sweeper("A sweeper finds the failed run by Airflow's API, and retries it.", "Clear the run by hand."),
        )


def what_follows(error: DagRetryError) -> str:
    """Return what becomes of a run whose failure could not be claimed, and what a person can do, as sentences.

    :param error: why the failure was not claimed.
    """
    by_hand = "Fix the cause, then clear the run by hand."
    if not isinstance(error, CounterError):
        return by_hand
    return _by_a_sweeper("A sweeper retries the run some minutes after Redis works again.", by_hand)


def _by_a_sweeper(told: str, by_hand: str) -> str:
    """Return what becomes of a run without a claim, by the settings of this process.

    :param told: that a sweeper retries the run.
    :param by_hand: that a person must. The settings by which a sweeper would retry the run are added.
    """
    try:
        has = {section.named("max_attempts"): section.configured("max_attempts")}
        has["a login for Airflow's API"] = settings.has_credentials()
    except ConfigError:
        return by_hand
    lacks = " and ".join(name for name, there in has.items() if not there)
    return f"{by_hand} With {lacks} set, a sweeper retries such a run." if lacks else told
