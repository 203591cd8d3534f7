"""The public types: what callers ask of the counter, and what it answers.

Every Dag file loads this module, and Dag files are parsed all day. So these classes are named tuples: a dataclass takes
seven times as long to define. Annotations that are text cost time too, so there is no future import here.
"""

from enum import Enum
from typing import Literal, NamedTuple

from dag_retry._exported import exported


@exported
class Verdict(str, Enum):
    """The answer to a claim. Losing is an answer, not an error."""

    WON = "won"
    """Clear the run, then confirm. No other callback will."""
    LOST = "lost"
    """Do nothing: another callback has claimed this failure, or the failure is stale."""
    EXHAUSTED = "exhausted"
    """Tell the hooks that the budget is used up. No other callback will."""
    SKIPPED = "skipped"
    """Tell the hooks that the failure is not retried, as the claim asked for. No other callback will."""


@exported
class Status(str, Enum):
    """Where a run stands. Succeeded, exhausted, blocked and skipped are endings."""

    WAITING = "waiting"
    """A callback won. The run is cleared when its delay is over, or when Airflow can clear the run."""
    CLAIMED = "claimed"
    """A callback won, and is about to clear the run."""
    RETRYING = "retrying"
    """The run has been cleared and is on its next attempt."""
    SUCCEEDED = "succeeded"
    """The run succeeded after it had failed."""
    EXHAUSTED = "exhausted"
    """Every attempt of the budget failed."""
    BLOCKED = "blocked"
    """Airflow refused the clear for good."""
    SKIPPED = "skipped"
    """The failure is not retried. The reason is a code."""
    UNCLAIMED = "unclaimed"
    """No callback claimed the failure. In a record: the run failed, and a sweeper found it."""


TOLD_BY = 120_000
"""An ending is told at once, or by a sweeper when its lease is over. So many ms later something must be wrong."""

ClearOption = Literal["only_failed", "run_on_latest_version", "skip_if_newer_run"]
"""How to clear a run: failed tasks only; with the Dag's latest version; only if no newer run has succeeded."""


@exported
class FailedTry(NamedTuple):
    """The try whose failure is claimed. Redis keeps it with the claim, for whoever finishes the claim.

    :param task_id: the task that failed; at the Dag level the last one of the run.
    :param map_index: the index of the task if it is mapped, else -1.
    :param ti_id: the task instance's id (a UUID), which every clear changes.
    :param error: the type of its exception; empty if unknown.
    """

    task_id: str = ""
    map_index: int = -1
    ti_id: str = ""
    error: str = ""


@exported
class Claim(NamedTuple):
    """The answer to one claim.

    :param verdict: won, lost, exhausted or skipped.
    :param reason: why, as a code; ``lua/claim.lua`` lists them all.
    :param attempt: the attempt (1 … ``max_attempts``) that was won, or that the run is on; 0 if none was made.
    :param max_attempts: the cap of the budget.
    :param generation: ``dag_run.clear_number`` of the failure.
    :param claim_id: the id of this claim. A repeat with the same id gets the same answer.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param holder: who asked.
    :param failed_try: the try to look at before the clear. A sweeper that takes over gets that of the first holder.
    :param clear_options: how to clear the run. After a takeover they are those of the first holder.
    :param due_at: when the run is to be cleared, in ms by Redis's clock; 0 for at once.
    :param base: the generation in which the budget began.
    :param own_hooks: whether the Dag has hooks of its own for endings, which a sweeper does not have.
    :param status: where the run stands: of a claim that was lost, as the record says.
    """

    verdict: Verdict
    reason: str
    attempt: int
    max_attempts: int
    generation: int
    claim_id: str
    dag_id: str
    run_id: str
    holder: str
    failed_try: FailedTry
    clear_options: frozenset[ClearOption] = frozenset()
    due_at: int = 0
    base: int = 0
    own_hooks: bool = False
    status: Status = Status.CLAIMED


@exported
class RunRecord(NamedTuple):
    """What Redis knows of a run that failed at least once. Times are ms since the epoch, by Redis's clock.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param status: where the run stands.
    :param reason: why the record is as it is, as a code.
    :param attempt: attempts used of the budget.
    :param max_attempts: the cap of the budget.
    :param generation: the generation last claimed, or in which the run ended; -1 if none has failed yet.
    :param base: the generation in which the budget began; -1 if the budget begins with the next claim.
    :param lost: how many callbacks have lost since the last claim was won.
    :param claim_id: the claim that stands.
    :param level: ``task``, ``dag`` or ``sweeper``: where the holder of that claim runs; empty if nobody holds it.
    :param failed_try: the try whose failure was claimed.
    :param clear_options: how the run is to be cleared.
    :param own_hooks: whether the Dag has hooks of its own for endings. Only a callback of the Dag tells these.
    :param run_started: when the run began, by Airflow's clock; 0 if unknown.
    :param budget_at: when the budget's first failure came.
    :param updated_at: the last change.
    :param due_at: when somebody must look at the run; 0 for never.
    :param faults: how often in a row nobody could finish the run.
    """

    dag_id: str
    run_id: str
    status: Status
    reason: str
    attempt: int
    max_attempts: int
    generation: int
    base: int
    lost: int
    claim_id: str
    level: str
    failed_try: FailedTry
    clear_options: frozenset[ClearOption]
    own_hooks: bool
    run_started: int
    budget_at: int
    updated_at: int
    due_at: int
    faults: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether nobody need look at the run: its clear was confirmed, or the hooks were told of its ending."""
        return self.due_at == 0

    @property
    def was_reset(self) -> bool:
        """Whether a person has reset the attempts, and none of the new budget has begun."""
        return self.attempt == 0 and self.generation >= 0 and not 0 <= self.base <= self.generation

    def untold(self, now: int) -> bool:
        """Return whether nobody has told the hooks of the run's ending, although it was time to.

        A hook that fails is told again later, and that time is no sign that all is well.

        :param now: Redis's time, in ms.
        """
        ended = self.status in (Status.EXHAUSTED, Status.BLOCKED, Status.SKIPPED)
        return ended and not self.acknowledged and (self.faults > 0 or now - self.due_at >= TOLD_BY)


@exported
class Outcome(NamedTuple):
    """What became of a failure or a success; hooks, and callbacks after ours, find it as ``context["dag_retry"]``.

    A hook is told ``retrying``, ``waiting``, ``exhausted``, ``blocked``, ``skipped`` or ``succeeded``. After any
    failure callback of ours its context holds an outcome too:

    - If the callback won, how the run stands now; ``claimed`` if Airflow gave no clear answer.
    - If it lost, how the run stands by its record, with the failed try of the record; the reason is ``stale`` or
      ``already_…``. Another callback tells the hooks.
    - If it claimed nothing, ``unclaimed`` and attempt 0. The reason says why: ``left_to_dag_level``,
      ``task_retries_left``, ``teardown``, ``restarting``, ``unknown_try``, ``test``, or ``error`` if it raised.
    - If the failure is not retried, ``skipped``. The hooks may be told later, once the run has failed.

    :param status: how the run stands.
    :param reason: why, as a code.
    :param attempt: the attempt that begins, or the last that was made.
    :param max_attempts: the cap of the budget.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param failed_try: the try whose failure it is about.
    :param due_at: when the run will be cleared, in ms by Redis's clock; 0 if it has been, or will not be.
    """

    status: Status
    reason: str
    attempt: int
    max_attempts: int
    dag_id: str
    run_id: str
    failed_try: FailedTry
    due_at: int = 0
