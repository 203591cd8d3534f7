"""The winner's path to a cleared run: look, renew, clear, confirm.

Every holder of a claim takes this path: the callback that won, a Dag-level callback that took over, or a sweeper.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.ways.atomic import AtomicWay, RouteMissingError
from dag_retry._airflow.ways.decision import Decision, Way
from dag_retry._airflow.ways.rest import RestWay
from dag_retry._airflow.ways.supervisor import SupervisorWay, has_supervisor
from dag_retry._callback.endings import tell_blocked, tell_exhausted, tell_skipped
from dag_retry._callback.holder import Holder
from dag_retry._callback.note import line_of, write_note
from dag_retry._errors import ApiRefused, ApiUnanswered, ApiUnusable, ConfigError, CounterError
from dag_retry._reasons import reason_of
from dag_retry._redis.lifetimes import LEASE
from dag_retry._types import Status

log = logging.getLogger(__name__)

# The last try begins at least this many seconds before the deadline: a request needs them.
_LEAST = 1.0

# In seconds. Airflow may ask for a longer pause (Retry-After).
_GROWING = wait_exponential(multiplier=0.25, max=2)

_CLEARED = ("cleared", "already_cleared")

_PAUSE = timedelta(minutes=1)
_PAUSES = {
    "dag_paused": _PAUSE,
    "dag_paused_by_failures": _PAUSE,
    "needs_sweeper": timedelta(0),
    "clear_in_progress": LEASE,
}
"""Where a clear is only put off: how long, by reason. A sweeper looks again then."""


def clear(holder: Holder) -> Decision | None:
    """Clear the run, if Airflow's state allows that, and tell what became of it.

    :param holder: the holder of a claim that was won.
    :return: what Airflow decided; None if another holds the claim.
    :raises ApiRefused: Airflow refused for good. The run is blocked, and the hooks were told.
    :raises ApiUnusable: the way to Airflow is broken. The run waits for a sweeper, and the hooks were told.
    :raises ApiUnanswered: Airflow gave no clear answer in time. The claim stays due.
    :raises CounterError: Redis failed. Who takes the claim over finds out whether the run was cleared.
    """
    claim = holder.claim
    try:
        with sdk.timed("clear", claim.dag_id):
            decision = _decide(holder)
    except ApiRefused as refusal:
        tell_blocked(holder, refusal)
        raise
    except ApiUnusable as fault:
        _tell_postponed(holder, fault.reason, f"{fault}. Mend the way to Airflow; nothing need be cleared by hand")
        raise
    except (ApiUnanswered, CounterError) as error:
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
    if decision is None:
        log.info(
            "Dag retry: %s: not the holder of %s any more, so this callback stops. Another one has taken it over, or "
            "a person has intervened.",
            holder.run,
            holder.attempt,
        )
    else:
        _tell(holder, decision)
    return decision


def _decide(holder: Holder) -> Decision | None:
    """Have Airflow decide by the first way that is there. Record a refusal or a broken way, and raise the error."""
    claim, counter = holder.claim, holder.counter
    try:
        return _by_first_way(holder)
    except ApiRefused as refusal:
        if not counter.block(claim, reason=refusal.reason):
            return None
        raise
    except (ApiUnusable, ConfigError) as error:
        reason = error.reason if isinstance(error, ApiUnusable) else "config"
        if not counter.postpone(claim, reason=reason, pause=_PAUSE):
            return None
        if isinstance(error, ConfigError):
            raise ApiUnusable(str(error), reason=reason) from error
        raise


def _by_first_way(holder: Holder) -> Decision | None:
    if not settings.has_credentials() and has_supervisor():
        return _try_until_answered(holder, SupervisorWay())
    api = holder.airflow.api
    try:
        return _try_until_answered(holder, AtomicWay(api.client))
    except RouteMissingError as missing:
        log.info("Dag retry: %s: no atomic clear, so the REST API clears: %s", holder.run, missing)
    decision = _try_until_answered(holder, RestWay(api))
    if decision and decision.outcome in _CLEARED:
        write_note(api, Status.RETRYING, holder.claim, holder.claim.reason)
    return decision


def _try_until_answered(holder: Holder, way: Way) -> Decision | None:
    """Try until Airflow gives a clear answer, with growing pauses.

    A timeout, 409 or 5xx does not say whether the run was cleared. So each try looks first, or the route does.
    """

    def pause(state: RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        asked = error.retry_after if isinstance(error, ApiUnanswered) else 0
        return max(asked, _GROWING(state))

    tries = Retrying(
        retry=retry_if_exception_type(ApiUnanswered),
        wait=pause,
        stop=stop_before_delay(max(0.0, holder.deadline.left() - _LEAST)),
        reraise=True,
    )
    return tries(_try_once, holder, way)


def _try_once(holder: Holder, way: Way) -> Decision | None:
    """Look, renew, clear, and record what Airflow decided.

    :return: the decision; None if another holds the claim.
    """
    claim = holder.claim
    decision = way.look(claim, holder.level)
    if decision.outcome == "current":
        if not holder.counter.renew(claim):
            return None
        decision = way.clear(claim, holder.level, line_of(Status.RETRYING, claim, claim.reason))
    return decision if _recorded(holder, decision) else None


def _recorded(holder: Holder, decision: Decision) -> bool:
    """Record a decision, and return whether the claim still held the run."""
    claim, counter, (outcome, reason, attempt) = holder.claim, holder.counter, decision
    if outcome in _CLEARED:
        counter.confirm(claim, reason="cleared" if outcome == "cleared" else "already_cleared", attempt=attempt or None)
        return True  # The run is cleared, whoever holds it.
    if outcome == "exhausted":
        return counter.exhaust(claim, reason=reason, attempt=attempt or None)
    if outcome == "gone":
        return counter.forget(claim)
    if outcome == "replaced":
        return counter.withdraw(claim)
    if reason in _PAUSES:
        return counter.postpone(claim, reason=reason, pause=_PAUSES[reason])
    return counter.skip(claim, reason=reason)


def _tell(holder: Holder, decision: Decision) -> None:
    """Tell what was decided: in the log, by metrics, and to the hooks."""
    outcome, reason, attempt = decision
    if attempt and attempt != holder.claim.attempt:
        # Redis forgot attempts, and Airflow's audit log holds them.
        holder = holder._replace(claim=holder.claim._replace(attempt=attempt))
    claim = holder.claim
    if outcome in _CLEARED:
        sdk.count("cleared", claim.dag_id)
        log.info("Dag retry: %s: %s begins (%s).", holder.run, holder.attempt, reason.replace("_", " "))
        if claim.reason != "due":  # The hooks were told when the delay began.
            holder.hooks.tell(holder.context, Status.RETRYING, claim, claim.reason)
    elif outcome == "exhausted":
        tell_exhausted(holder, reason)
    elif outcome == "gone":
        log.info("Dag retry: %s was deleted: nothing is retried, and its record is gone.", holder.run)
    elif outcome == "replaced":
        log.info("Dag retry: %s: nothing to retry: %s.", holder.run, reason_of(reason).text)
    elif reason in _PAUSES:
        _tell_postponed(holder, reason, reason_of(reason).text)
    else:
        tell_skipped(holder, reason)
        sdk.count("skipped", claim.dag_id)


def _tell_postponed(holder: Holder, reason: str, why: str) -> None:
    """Tell that the clear is put off: in the log, by a metric, and to the hooks, unless they know that the run waits.

    :param reason: why, as a code.
    :param why: the same, in words.
    """
    sdk.count("postponed", holder.claim.dag_id)
    pause = _PAUSES.get(reason, _PAUSE).total_seconds()
    level = logging.INFO if reason in _PAUSES else logging.ERROR
    text = "Dag retry: %s: %s waits, and a sweeper looks again in %g s: %s."
    log.log(level, text, holder.run, holder.attempt, pause, why)
    if holder.claim.reason != "due":
        holder.hooks.tell(holder.context, Status.WAITING, holder.claim, reason)
