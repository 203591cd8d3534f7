"""What an operator is shown, as types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dag_retry._types import RunRecord


class Unreadable(NamedTuple):
    """A record that is not, or not yet, one that this version knows.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param why: what is wrong with it.
    """

    dag_id: str
    run_id: str
    why: str


class Page(NamedTuple):
    """Some runs of a list.

    :param runs: the records, in the list's order.
    :param offset: where in the list to go on; None where the list is over.
    """

    runs: list[RunRecord | Unreadable]
    offset: int | None


class Sizes(NamedTuple):
    """How many runs there are.

    :param now: Redis's time, ms.
    :param attention: that need a human.
    :param active: that wait, are claimed or retried, or whose ending nobody was told yet.
    :param overdue: of these, at which somebody must look now.
    """

    now: int
    attention: int
    active: int
    overdue: int


class Event(NamedTuple):
    """An entry of the events' stream; a field that it lacks is empty, 0 or -1.

    :param id: its id.
    :param at: when, in ms by Redis's clock.
    :param event: ``won``, ``lost``, ``cleared``, …; ``lua/record.lua`` and the verbs emit them.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param generation: ``dag_run.clear_number`` of the failure.
    :param attempt: the attempt it is about.
    :param max_attempts: the cap of the budget.
    :param reason: why, as a code.
    :param level: where who caused it runs.
    :param holder: who caused it.
    :param task_id: the task that failed.
    :param map_index: its index where mapped, else -1.
    :param error: the type of its exception.
    """

    id: str
    at: int
    event: str
    dag_id: str
    run_id: str
    generation: int
    attempt: int
    max_attempts: int
    reason: str
    level: str
    holder: str
    task_id: str
    map_index: int
    error: str

    @classmethod
    def of(cls, entry_id: str, fields: Mapping[str, str]) -> Event:
        """Read an entry of the stream, whoever wrote it."""
        return cls(
            id=entry_id,
            at=int(entry_id.partition("-")[0]),
            event=fields.get("event", ""),
            dag_id=fields.get("dag_id", ""),
            run_id=fields.get("run_id", ""),
            generation=number(fields.get("generation")),
            attempt=number(fields.get("attempt")),
            max_attempts=number(fields.get("max_attempts")),
            reason=fields.get("reason", ""),
            level=fields.get("level", ""),
            holder=fields.get("holder", ""),
            task_id=fields.get("task_id", ""),
            map_index=number(fields.get("map_index"), -1),
            error=fields.get("error", ""),
        )


def number(text: Any, default: int = 0) -> int:
    """Return a numeral's number; anything else is the default."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return default
