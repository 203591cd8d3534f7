"""May a claim clear its run? The decision, from what Airflow says of the run and of the failed try."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from dag_retry._types import Claim

Level = Literal["task", "dag", "sweeper"]


class Decision(NamedTuple):
    """What Airflow decides about a claim.

    :param outcome: ``current``: nothing speaks against the clear; ``cleared``; ``already_cleared``: the generation or
        the try has moved on; ``replaced``: Airflow has given the task a new try without a clear; ``settled``: a person
        decided; ``gone``: the run was deleted; ``hopeless``: what is cleared would not run; ``exhausted``: Airflow's
        audit log says that the attempts are used; ``left``: a sweeper must go on, later.
    :param reason: why, as a code.
    :param attempt: the attempt that begins; 0 if it is the claim's.
    """

    outcome: Literal[
        "current", "cleared", "already_cleared", "replaced", "settled", "gone", "hopeless", "exhausted", "left"
    ]
    reason: str = ""
    attempt: int = 0


CURRENT = Decision("current")
CLEARED = Decision("cleared", "cleared")
ALREADY_CLEARED = Decision("already_cleared", "already_cleared")
SETTLED = Decision("settled", "settled_by_hand")
GONE = Decision("gone", "gone")


class Way(Protocol):
    """A way to clear runs.

    Both methods raise an :class:`ApiError`: :class:`ApiRefused`, :class:`ApiUnusable` or :class:`ApiUnanswered`.
    """

    def look(self, claim: Claim, level: Level) -> Decision:
        """Decide, as far as this way must look before the clear.

        :param claim: a claim that was won.
        :param level: where its holder runs.
        """

    def clear(self, claim: Claim, level: Level, note: str) -> Decision:
        """Clear the run.

        :param claim: a claim that was won, and that its holder has just renewed.
        :param level: where its holder runs.
        :param note: our line for the run's note.
        """


class Seen(NamedTuple):
    """What Airflow says of a run.

    :param run_state: the state of the run; empty if unknown.
    :param try_id: the id of the failed task's instance now; empty if there is none.
    :param try_state: its state now.
    :param settled: whether a person has ended the run, or set the failed task to success, in this generation.
    """

    run_state: str
    try_id: str
    try_state: str
    settled: bool = False


def is_late(claim: Claim) -> bool:
    """Return whether another than the holder made the claim, or its delay is over: people had time to decide.

    :param claim: a claim that was won.
    """
    return claim.reason in ("taken_over", "due")


def is_own_failure(claim: Claim, level: Level) -> bool:
    """Return whether the failed task's own callback asks, straight after its claim: the task has not ended yet.

    :param claim: a claim that was won.
    :param level: where its holder runs.
    """
    return level == "task" and not is_late(claim)


def names_a_try(claim: Claim) -> bool:
    """Return whether the claim's try is one that failed.

    For a time-out or a deadlock, Airflow names any task instance of the run, even one that succeeded
    (``DagRun.update_state``, ``SchedulerJobRunner._schedule_dag_run``).

    :param claim: a claim.
    """
    return claim.failed_try.error not in ("timed_out", "all_tasks_deadlocked")


def decide(seen: Seen, claim: Claim, level: Level) -> Decision:
    """Decide whether a claim may clear its run.

    :param seen: what Airflow says of the run.
    :param claim: a claim that was won.
    :param level: where its holder runs.
    """
    if seen.try_id != claim.failed_try.ti_id:
        return ALREADY_CLEARED
    if seen.run_state == "success" or seen.settled or (seen.try_state == "success" and names_a_try(claim)):
        return SETTLED
    # An ordinary failure is still `running` in the database while its own callback runs. Whoever stops a run sets the
    # run and its running tasks to failed. Then these tasks fail while they are being stopped.
    if is_own_failure(claim, level) and seen.run_state == seen.try_state == "failed":
        return SETTLED
    # On Airflow 3.4 a cleared running task keeps its id, as `restarting`, until it has ended. In a run that has not
    # failed, a try in any other state is on its way to its next try.
    if seen.try_state == "restarting" or (seen.run_state == "running" and seen.try_state not in ("failed", "running")):
        return ALREADY_CLEARED
    return CURRENT
