"""What the holder of a claim does: it clears the run, or leaves that for later, or tells an ending."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dag_retry._airflow import sdk
from dag_retry._errors import ClearRefused, ClearUnconfirmed, CounterError, DagRetryError
from dag_retry._policy.hooks import Context, Hooks
from dag_retry._types import Claim, RunRecord, Status, Verdict

if TYPE_CHECKING:
    from dag_retry._airflow.deadline import Deadline
    from dag_retry._airflow.settings import ApiSettings
    from dag_retry._redis.counter import AttemptCounter

log = logging.getLogger(__name__)

SWEEPER_DAG = "dag_retry_sweeper"
"""The Dag that :mod:`dag_retry.sweeper` makes: a claim that waits has it run when its delay is over."""

_WHY_SKIPPED = {
    "dag_paused": "its Dag is paused, and would not run what is cleared. Unpause it, then clear the run by hand",
    "dag_paused_by_failures": (
        "max_consecutive_failed_dag_runs has paused its Dag. Mend the cause, unpause it, then clear the run by hand"
    ),
    "newer_run_succeeded": "a newer run of its Dag has succeeded (skip_if_newer_run)",
    "exception_not_retryable": "its exception is not one to retry (retry_on, give_up_on)",
    "task_not_retryable": "its task is not one to retry (task_ids)",
    "reason_not_retryable": "Airflow's reason is not one to retry (reasons)",
    "retry_if": "retry_if says so",
    "disabled": "enabled is false for this run",
    "config": "its policy is not usable. Mend that, then clear the run by hand",
}


class Holder:
    """Whoever won a claim, or took it over: a callback, or a sweeper.

    :param counter: where it did.
    :param api: gives the settings of Airflow's API.
    :param hooks: whom to tell.
    """

    def __init__(self, counter: AttemptCounter, api: Callable[[], ApiSettings], hooks: Hooks) -> None:
        self._counter = counter
        self._api = api
        self._hooks = hooks

    def act(self, context: Context, claim: Claim, deadline: Deadline) -> None:
        """Do what the verdict asks for.

        :param context: what the hooks are called with.
        :param claim: one that was not lost.
        :param deadline: nothing but hooks outlives it.
        :raises ClearRefused: Airflow refused for good; the run is blocked, and that was told.
        :raises ClearUnconfirmed: no clear answer came in time; the claim stays due.
        :raises CounterError: Redis failed.
        """
        if claim.verdict is Verdict.EXHAUSTED:
            self._give_up(context, claim, deadline)
        elif claim.verdict is Verdict.SKIPPED:
            self._skip(context, claim, claim.reason, deadline)
        elif claim.due_at:
            self._wait(context, claim, deadline)
        else:
            self._clear(context, claim, deadline)

    def _clear(self, context: Context, claim: Claim, deadline: Deadline) -> None:
        from dag_retry._callback.finish import Skipped, finish

        run = named(claim.dag_id, claim.run_id)
        attempt = _attempt(claim)
        try:
            with sdk.timed("clear", claim.dag_id):
                done = finish(self._counter, claim, self._api, deadline)
        except ClearRefused as refusal:
            log.error(
                "Dag retry: %s failed and is blocked (%s): %s. Mend this, then clear it by hand.",
                run,
                refusal.reason,
                refusal,
            )
            self._end(context, claim, Status.BLOCKED, refusal.reason, deadline)
            raise
        except Skipped as skipped:
            self._skip(context, claim, skipped.reason, deadline)
            sdk.count("skipped", claim.dag_id)
            return
        except (ClearUnconfirmed, CounterError) as error:
            log.error(
                "Dag retry: %s failed, %s is claimed, and it is not known whether the run was cleared: %s. "
                "The Dag-level callback finishes this once all tasks have ended, or a sweeper after a minute; if the "
                "run stays failed, clear it by hand.",
                run,
                attempt,
                error,
            )
            sdk.count("unconfirmed", claim.dag_id)
            raise
        if done == "not_holder":
            log.info("Dag retry: %s: nothing to do, another callback finishes %s.", run, attempt)
            return
        sdk.count("cleared", claim.dag_id)
        log.info("Dag retry: %s: %s begins (%s).", run, attempt, done.replace("_", " "))
        if claim.reason != "due":  # that was told when the delay began
            self._hooks.tell(context, Status.RETRYING, claim, claim.reason)

    def _wait(self, context: Context, claim: Claim, deadline: Deadline) -> None:
        at = datetime.fromtimestamp(claim.due_at / 1000, tz=timezone.utc)
        run = named(claim.dag_id, claim.run_id)
        log.info("Dag retry: %s: %s begins at %s.", run, _attempt(claim), at.isoformat(timespec="seconds"))
        self._call_sweeper(claim, at, deadline)
        self._hooks.tell(context, Status.WAITING, claim, claim.reason)

    def _call_sweeper(self, claim: Claim, at: datetime, deadline: Deadline) -> None:
        """Have the sweeper's Dag, if there is one, run when the delay is over. A service needs no call."""
        from dag_retry._airflow.api import AirflowApi
        from dag_retry._callback.note import write_note

        # Airflow looks whether a run is due to the second; once for all that are due in the same one.
        seconds = -(-claim.due_at // 1000)
        try:
            with AirflowApi(self._api(), deadline) as session:
                run_after = datetime.fromtimestamp(seconds, tz=timezone.utc)
                if not session.trigger(SWEEPER_DAG, f"due__{run_after.isoformat()}", run_after):
                    log.info("Dag retry: there is no Dag %r: `dag-retry sweep` must run as a service.", SWEEPER_DAG)
                write_note(session, Status.WAITING, claim, claim.reason)
        except DagRetryError as error:
            log.warning(
                "Dag retry: %s is to be cleared at %s, and no run of Dag %r was made for that: %s. A sweeper that runs "
                "anyway clears it.",
                named(claim.dag_id, claim.run_id),
                at.isoformat(timespec="seconds"),
                SWEEPER_DAG,
                error,
            )

    def _give_up(self, context: Context, claim: Claim, deadline: Deadline) -> None:
        why = {
            "generation": (
                f"it was cleared {claim.generation} times, by hand too, and {claim.max_attempts} attempts are allowed"
            ),
            "max_elapsed": f"another attempt would begin later than max_elapsed allows, after {claim.attempt}",
        }.get(claim.reason, f"all {claim.max_attempts} attempts failed")
        run = named(claim.dag_id, claim.run_id)
        log.error("Dag retry: gave up on %s: %s. Mend the cause, then clear it by hand.", run, why)
        self._end(context, claim, Status.EXHAUSTED, claim.reason, deadline)

    def _skip(self, context: Context, claim: Claim, reason: str, deadline: Deadline) -> None:
        run = named(claim.dag_id, claim.run_id)
        log.warning("Dag retry: %s failed, and is not retried (%s): %s.", run, reason, _WHY_SKIPPED.get(reason, reason))
        self._end(context, claim, Status.SKIPPED, reason, deadline)

    def _end(self, context: Context, claim: Claim, status: Status, reason: str, deadline: Deadline) -> None:
        """Tell an ending, then acknowledge it: where a hook fails, or this process dies, it is told again."""
        if status is Status.BLOCKED:
            sdk.count("blocked", claim.dag_id)
        self._hooks.tell(context, status, claim, reason)
        try:
            self._counter.acknowledge(claim)
        except CounterError as error:
            log.error(
                "Dag retry: %s: that it is %s was told, and not recorded: %s. It may be told again.",
                named(claim.dag_id, claim.run_id),
                status.value,
                error,
            )
            raise
        if status is not Status.BLOCKED:  # whoever may not clear a run may not note anything either
            note_ending(self._api, deadline, status, claim, reason)


def note_ending(
    api: Callable[[], ApiSettings], deadline: Deadline, status: Status, what: Claim | RunRecord, reason: str
) -> None:
    """Say in the run's note how it ended; where that can't be, it is left.

    :param api: gives the settings of Airflow's API.
    :param deadline: it takes no longer.
    :param status: how it ended.
    :param what: the claim, or the record.
    :param reason: why, as a code.
    """
    from dag_retry._airflow.api import AirflowApi
    from dag_retry._callback.note import write_note

    try:
        with AirflowApi(api(), deadline) as session:
            write_note(session, status, what, reason)
    except DagRetryError as error:
        log.info("Dag retry: the note of %s was not written: %s.", named(what.dag_id, what.run_id), error)


def named(dag_id: str, run_id: str) -> str:
    """Return what a run is called in messages."""
    return f"run {run_id!r} of Dag {dag_id!r}"


def _attempt(claim: Claim) -> str:
    return f"attempt {claim.attempt} of {claim.max_attempts}"
