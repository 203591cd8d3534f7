"""From a claim that was won to a cleared run. Whoever holds the claim walks this path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tenacity import Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from dag_retry._callback.note import write_note
from dag_retry._errors import ClearRefused, ClearUnconfirmed, ConfigError
from dag_retry._redis.counter import AttemptCounter
from dag_retry._types import Claim, Status

# The last try begins at least this long before the deadline, in seconds: less would not carry a request.
_LEAST = 1.0

Done = Literal["cleared", "already_cleared", "not_holder"]


class Skipped(Exception):
    """There is a reason not to clear the run; it is recorded, and the caller has to tell it.

    :param reason: why, as a code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def finish(counter: AttemptCounter, claim: Claim, api: Callable[[], ApiSettings], deadline: Deadline) -> Done:
    """Clear the run of a claim, unless somebody has done so already, and record what came of it.

    :param counter: where the claim was won.
    :param claim: the claim.
    :param api: gives the settings of Airflow's API; its ConfigError blocks the run as a refusal does.
    :param deadline: tries are repeated, with growing waits, until then.
    :return: who cleared the run: this call, or somebody before it; ``not_holder`` where another finishes the claim.
    :raises ClearRefused: Airflow refused for good; the run is blocked, and the caller has to tell it.
    :raises Skipped: the Dag is paused, or a newer run has succeeded, and that is a reason not to clear this one.
    :raises ClearUnconfirmed: no clear answer came in time; the claim stays due.
    :raises CounterError: Redis failed. A clear that was not recorded is found out by whoever takes the claim over.
    """
    try:
        with AirflowApi(_usable(api), deadline) as session:
            done = _clear_if_current(counter, claim, session, deadline)
            if done != "not_holder":
                counter.confirm(claim, reason=done)
                write_note(session, Status.RETRYING, claim, claim.reason)
    except ClearRefused as refusal:
        if not counter.block(claim, reason=refusal.reason):
            return "not_holder"
        raise
    except Skipped as skipped:
        if not counter.skip(claim, reason=skipped.reason):
            return "not_holder"
        raise
    return done


def _usable(api: Callable[[], ApiSettings]) -> ApiSettings:
    try:
        return api()
    except ConfigError as error:
        raise ClearRefused(str(error), reason="config") from error


def _clear_if_current(counter: AttemptCounter, claim: Claim, session: AirflowApi, deadline: Deadline) -> Done:
    """Clear while the failed try is the current one, which makes it safe to repeat.

    An unclear answer (a timeout, 409, 5xx) says nothing of what happened, so each try looks first. Airflow offers no
    compare-and-clear: between the look and the clear milliseconds remain.

    A clear that was carried out late, after the run had failed, leaves it failed: it is queued.
    """
    tries = Retrying(
        retry=retry_if_exception_type(ClearUnconfirmed),
        wait=wait_exponential(multiplier=0.25, max=2),
        stop=stop_before_delay(max(0.0, deadline.left() - _LEAST)),
        reraise=True,
    )
    straight = claim.reason not in ("taken_over", "due")
    for attempt in tries:
        with attempt:
            # Whoever does not come straight from its own claim may have been overtaken.
            if not straight and not counter.renew(claim):
                return "not_holder"
            straight = False
            if reason := session.why_not(claim.dag_id, claim.run_id, claim.clear_options):
                raise Skipped(reason)
            if not session.is_current(claim.dag_id, claim.run_id, claim.failed_try):
                session.queue_stranded(claim.dag_id, claim.run_id, claim.failed_try)
                return "already_cleared"
            session.clear(claim.dag_id, claim.run_id, claim.clear_options)
    return "cleared"
