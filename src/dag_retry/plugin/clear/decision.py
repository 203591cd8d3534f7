"""Whether a run is cleared: what stands in Airflow's database, against what the claim says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID

from dag_retry._airflow.audit_log import Try
from dag_retry.plugin.clear.messages import ClearRequest, Outcome
from dag_retry.plugin.clear.our_clears import OurClear

if TYPE_CHECKING:
    from dag_retry.plugin.clear.airflow_internals import LockedRun


class Decision(NamedTuple):
    """What is done, and why.

    :param outcome: ``current`` if the run is to be cleared now, else the answer's outcome.
    :param reason: why, as a code.
    :param attempt: the attempt that begins, or the last that was made.
    """

    outcome: Outcome | Literal["current"]
    reason: str
    attempt: int


def decide(asked: ClearRequest, run: LockedRun | None) -> Decision:
    """Decide whether a run is cleared.

    :param asked: the claim.
    :param run: the run; None if there is none.
    """
    if run is None:
        return Decision("gone", "gone", asked.attempt)
    for clear in run.our_clears:
        if clear.claim_id == asked.claim_id:  # the answer to the first request was lost
            return Decision("cleared", "cleared", clear.attempt)
    failed = run.find_try(asked.ti_id) if asked.ti_id else Try("failed", None)
    if asked.generation > run.clear_number or (failed is None and _was_made_anew(asked, run)):
        return Decision("gone", "gone", asked.attempt)
    if asked.generation < run.clear_number:
        return Decision("already_cleared", "already_cleared", asked.attempt)
    if failed is None:
        # Every clear moves clear_number. A scheduler that resets an orphaned task gives it a new try without a clear.
        return Decision("replaced", "replaced", asked.attempt)
    if _is_settled_by_hand(asked, run, failed):
        return Decision("settled", "settled_by_hand", asked.attempt)
    if run.state == "success":
        return Decision("settled", "run_succeeded", asked.attempt)
    if failed.state == "restarting" or (run.state != "failed" and failed.state not in ("failed", "running")):
        return Decision("replaced", "replaced", asked.attempt)  # on its way to its next try
    attempt = _next_attempt(asked, run.our_clears)
    if attempt > asked.max_attempts:
        return Decision("exhausted", "audit_log", attempt - 1)
    if why_not := _hopeless(asked, run):
        return Decision("hopeless", why_not, attempt)
    return Decision("current", "cleared", attempt)


def _was_made_anew(asked: ClearRequest, run: LockedRun) -> bool:
    """Whether the run is younger than the failed try: somebody deleted a run, and made another with its id.

    The id of a try is a UUIDv7, which begins with its time in ms (``airflow.models.taskinstance.uuid7``).
    """
    return run.created_at is not None and UUID(asked.ti_id).int >> 80 < int(run.created_at.timestamp() * 1000)


def _is_settled_by_hand(asked: ClearRequest, run: LockedRun, failed: Try) -> bool:
    """Whether a person has decided what becomes of the run, or of the failed task."""
    if failed.state == "success":
        return True
    # An ordinary failure is still `running` in the database while its callback runs: somebody has stopped this run.
    if asked.fresh and run.state == failed.state == "failed":
        return True
    return any(word.settles(asked.task_id, asked.map_index, failed) for word in run.set_by_hand)


def _next_attempt(asked: ClearRequest, our_clears: Sequence[OurClear]) -> int:
    """Return which attempt begins. The audit log has the attempts that Redis may have forgotten.

    If the budget began later than in the generation that our last clear began, a person has cleared the run since.
    That budget is a fresh one.
    """
    if our_clears:
        last = our_clears[0]
        if asked.base <= last.generation + 1 and asked.attempt <= last.attempt:
            return last.attempt + 1
    return asked.attempt


def _hopeless(asked: ClearRequest, run: LockedRun) -> str:
    """Return why Airflow would not run what is cleared, or why nobody needs it, as a code; empty if neither."""
    if run.is_paused:
        return "dag_paused_by_failures" if run.is_paused_by_failures else "dag_paused"
    if run.is_draining:
        return "dag_draining"
    if run.is_of_paused_backfill:
        return "backfill_ended"
    return "newer_run_succeeded" if asked.skip_if_newer_run and run.has_newer_success else ""
