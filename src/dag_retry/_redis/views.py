"""The types of what operators read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dag_retry._types import RunRecord


class Unreadable(NamedTuple):
    """A record that this version can't read.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param why: what is wrong with the record.
    """

    dag_id: str
    run_id: str
    why: str


class Page(NamedTuple):
    """Some runs of a list.

    :param runs: the records, in the list's order.
    :param offset: where the next page of the list begins; None if there is none.
    """

    runs: list[RunRecord | Unreadable]
    offset: int | None


class Sizes(NamedTuple):
    """How many runs the indexes hold.

    :param now: Redis's time, in ms.
    :param attention: how many runs need a human.
    :param active: how many runs wait, are claimed or retrying, or have an ending that the hooks were not told of.
    :param overdue: how many of the active runs are due now.
    """

    now: int
    attention: int
    active: int
    overdue: int


class Event(NamedTuple):
    """An entry of the events' stream. A field that the entry lacks is empty, 0 or -1.

    :param id: the id of the entry.
    :param at: when the event happened, in ms by Redis's clock.
    :param event: ``won``, ``lost``, ``cleared``, …
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param generation: ``dag_run.clear_number`` of the failure.
    :param attempt: the attempt that the event is about.
    :param max_attempts: the cap of the budget.
    :param reason: why, as a code.
    :param level: ``task``, ``dag`` or ``sweeper``: where the holder runs.
    :param holder: who caused the event.
    :param task_id: the task that failed.
    :param map_index: the index of the task if it is mapped, else -1.
    :param error: the type of the task's exception.
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
        """Read an entry of the stream. Somebody else may have written it, so any field may be missing.

        :param entry_id: the id of the entry.
        :param fields: the fields of the entry.
        """
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
    """Return the number that a text holds, else the default."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return default
