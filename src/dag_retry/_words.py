"""The words of this package as types: what is asked of the counter, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """What a claim was told. Losing is an answer, not an error."""

    WON = "won"
    """Clear the run, then confirm. Nobody else will."""
    LOST = "lost"
    """Do nothing: another callback has this failure in hand, or it is stale."""
    EXHAUSTED = "exhausted"
    """The budget is used up, and this claim is the one that tells it."""


class Status(str, Enum):
    """Where a run stands. The last three are endings."""

    CLAIMED = "claimed"
    """A callback won and is about to clear the run."""
    RETRYING = "retrying"
    """The run has been cleared and is on its next attempt."""
    SUCCEEDED = "succeeded"
    """The run succeeded after it had failed."""
    EXHAUSTED = "exhausted"
    """Every attempt of the budget failed."""
    BLOCKED = "blocked"
    """Airflow refused the clear for good."""


@dataclass(frozen=True, slots=True)
class FailedTry:
    """The try whose failure is claimed. It is kept with the claim, for whoever has to finish it.

    :param task_id: the task that failed; at the Dag level the last one of the run.
    :param map_index: its index where mapped, else -1.
    :param ti_id: the task instance's id (a UUID), which every clear changes.
    :param error: the type of its exception, empty where unknown.
    """

    task_id: str = ""
    map_index: int = -1
    ti_id: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to one claim.

    :param verdict: won, lost or exhausted.
    :param reason: why, as a code; ``lua/claim.lua`` lists them all.
    :param attempt: the attempt (1 … ``max_attempts``) that was won, or that the run is on; 0 where none was made.
    :param max_attempts: the cap of the budget.
    :param generation: ``dag_run.clear_number`` of the failure.
    :param claim_id: names this claim; the same id asked again gets the same answer.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param holder: who asked.
    :param failed_try: the try to look at before the clear. After a takeover the one of the first holder.
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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What Redis knows of a run that failed at least once. Times are ms since the epoch, by Redis's clock.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param status: where the run stands.
    :param generation: the generation last claimed, or in which the run ended.
    :param base: the generation in which the budget began.
    :param attempt: attempts used of the budget.
    :param max_attempts: the cap of the budget.
    :param claim_id: the claim that stands.
    :param holder: who made it.
    :param level: ``task``, ``dag`` or ``sweeper``: where the holder runs.
    :param failed_try: the try whose failure was claimed.
    :param reason: why the record is as it is, as a code.
    :param acknowledged: whether the ending was told.
    :param created_at: when the run first failed.
    :param updated_at: the last change.
    :param due_at: when somebody must look at it, 0 for never.
    """

    dag_id: str
    run_id: str
    status: Status
    generation: int
    base: int
    attempt: int
    max_attempts: int
    claim_id: str
    holder: str
    level: str
    failed_try: FailedTry
    reason: str
    acknowledged: bool
    created_at: int
    updated_at: int
    due_at: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a failure or a success; hooks find it as ``context["dag_retry"]``.

    :param status: ``retrying``, ``exhausted``, ``blocked`` or ``succeeded``.
    :param reason: why, as a code.
    :param attempt: the attempt that begins, or the last that was made.
    :param max_attempts: the cap of the budget.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param failed_try: the try whose failure it is about.
    """

    status: Status
    reason: str
    attempt: int
    max_attempts: int
    dag_id: str
    run_id: str
    failed_try: FailedTry
