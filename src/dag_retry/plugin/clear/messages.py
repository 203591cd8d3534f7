"""What a callback sends to the route, and what the route answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# PostgreSQL stores no NUL in a text.
_TEXT = r"^[^\x00]*$"
_LARGEST = 2**31 - 1  # of the database's integers

Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Attempt = Annotated[int, Field(ge=1, le=_LARGEST)]
Id = Annotated[str, Field(pattern=_TEXT, max_length=250)]
"""The audit log's columns hold 250 characters. PostgreSQL raises for more."""


class ClearRequest(BaseModel):
    """A claim that Redis has let win, and how to clear its run. The ids of Dag and run come from the query only.

    :param claim_id: the claim. A repeated request with the same id is answered as the first.
    :param generation: ``dag_run.clear_number`` of the failure.
    :param base: the generation in which the budget began.
    :param attempt: the attempt that was won.
    :param max_attempts: the cap of the budget.
    :param fresh: whether the failing task's own callback asks, so that the task still runs.
    :param task_id: the task that failed; empty if Airflow did not say.
    :param map_index: the index of the task if it is mapped, else -1.
    :param ti_id: the id of the failed try, which a clear changes; empty if Airflow did not say.
    :param only_failed: whether only failed tasks are cleared.
    :param run_on_latest_version: whether the run goes on with the Dag's latest version.
    :param skip_if_newer_run: whether a newer run that succeeded makes this one needless.
    :param note: our line for the run's note; empty for none.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    claim_id: Annotated[str, Field(pattern=_TEXT, min_length=1, max_length=64)]
    generation: Count
    base: Count
    attempt: Attempt
    max_attempts: Attempt
    fresh: bool
    task_id: Id
    map_index: Annotated[int, Field(ge=-1, le=_LARGEST)]
    ti_id: Annotated[str, Field(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")]
    only_failed: bool
    run_on_latest_version: bool
    skip_if_newer_run: bool
    note: Annotated[str, Field(pattern=_TEXT, max_length=1000)]


class Generation(BaseModel):
    """In which generation a run is. Airflow's REST API does not tell.

    :param clear_number: ``dag_run.clear_number``; None if there is no run.
    """

    clear_number: int | None


Outcome = Literal["cleared", "already_cleared", "replaced", "settled", "gone", "hopeless", "exhausted"]


class Answer(BaseModel):
    """What was decided, and how the run stands now.

    :param outcome: what was decided.
    :param reason: why, as a code.
    :param clear_number: the run's generation; None if there is no run.
    :param state: the run's state; None if there is no run.
    :param attempt: the attempt that begins, or the last that was made.
    """

    outcome: Outcome
    reason: str
    clear_number: int | None
    state: str | None
    attempt: int
