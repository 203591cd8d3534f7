"""Output: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from dag_retry._redis.views import Event

_STYLES = {
    "waiting": "cyan",
    "claimed": "cyan",
    "retrying": "blue",
    "succeeded": "green",
    "exhausted": "bold red",
    "blocked": "bold red",
    "unclaimed": "bold red",
    "skipped": "yellow",
    "unreadable": "bold magenta",
    "lost": "bright_black",
}
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


class Output:
    """Prints answers to the stdout that the process had when this object was made.

    :param as_json: whether to print JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # A pipe has no width: 200 columns hold most rows.
        self.console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 200)

    def show(self, data: Any, *rendered: RenderableType) -> None:
        """Print an answer.

        :param data: the answer for scripts.
        :param rendered: the answer for people.
        """
        if self.as_json:
            self.console.file.write(json.dumps(plain(data), ensure_ascii=False, indent=2) + "\n")
        for each in () if self.as_json else rendered:
            self.console.print(each)

    def line(self, data: Any, rendered: RenderableType) -> None:
        """Print one of many answers, on a line of its own.

        :param data: the answer for scripts.
        :param rendered: the answer for people.
        """
        if self.as_json:
            self.console.file.write(json.dumps(plain(data), ensure_ascii=False) + "\n")
        else:
            self.console.print(rendered)
        self.console.file.flush()

    def answer(self, dag_id: str, run_id: str, said: str, *, done: bool) -> int:
        """Print whether a verb has acted on a run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param said: the answer, in words.
        :param done: whether the verb has acted.
        :return: the exit code: 0 if the verb has acted, else 1.
        """
        answer = {"dag_id": dag_id, "run_id": run_id, "done": done, "answer": said}
        self.show(answer, cell(f"{dag_id} {run_id}: {said}"))
        return 0 if done else 1


def plain(data: Any) -> Any:
    """Return the data in types that JSON can hold."""
    if hasattr(data, "_asdict"):
        return plain(data._asdict())
    if isinstance(data, Enum):
        return data.value
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, (set, frozenset)):
        return sorted(data)
    if isinstance(data, (list, tuple)):
        return [plain(item) for item in data]
    return data


def printable(text: object) -> str:
    """Return a text with every control character escaped: an id may hold any, and a terminal obeys them."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


def cell(text: object, style: str = "") -> Text:
    """Return a cell of a table. Its text is not parsed as markup.

    :param text: the text.
    :param style: a style of rich.
    """
    return Text(printable(text), style=style, overflow="fold")


def status(name: str) -> Text:
    """Return the name of a status or an event in its colour."""
    return cell(name, _STYLES.get(name, ""))


def grid(*heads: str, rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a table without lines.

    :param heads: the heads of the columns.
    :param rows: the cells of each row.
    :param title: the title above the table.
    """
    table = Table(*heads, box=None, pad_edge=False, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else cell(each) for each in row))
    return table


def event_row(event: Event) -> Sequence[object]:
    """Return the row of an event, for a table with the heads :data:`EVENT_HEADS`."""
    return (
        at(event.at),
        status(event.event),
        event.dag_id,
        event.run_id,
        event.generation,
        f"{event.attempt}/{event.max_attempts}",
        event.reason,
        who(event),
        failed_task(event.task_id, event.map_index, event.error),
    )


def who(event: Event) -> str:
    """Return who caused an event: a person, or a holder with its level. The event of a person has the record's level.

    :param event: the event.
    """
    of_person = event.event in ("hastened", "retried", "reset") or event.reason == "cancelled"
    return event.holder if of_person else f"{event.level} {event.holder}".strip()


EVENT_HEADS = ("at", "event", "Dag", "run", "generation", "attempt", "why", "who", "failed task")


def failed_task(task_id: str, map_index: int, error: str) -> str:
    """Return a failed task in words: its id, its index if it is mapped, and its exception."""
    index = f"[{map_index}]" if map_index >= 0 else ""
    return f"{task_id}{index}" + (f": {error}" if error else "")


def at(ms: int) -> str:
    """Return a time in UTC.

    :param ms: the time, in ms since the epoch.
    """
    try:
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(ms)


def duration(ms: int) -> str:
    """Return a duration in its largest unit.

    :param ms: the duration, in ms.
    """
    seconds = ms / 1000
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{ms} ms"


def ago(ms: int, now: int) -> str:
    """Return how long ago a time is.

    :param ms: the time, in ms since the epoch.
    :param now: Redis's time, in ms.
    """
    return f"{duration(max(0, now - ms))} ago"


def due(ms: int, now: int) -> Text:
    """Return when a run is due. An overdue run is red.

    :param ms: when the run is due, in ms since the epoch; 0 for never.
    :param now: Redis's time, in ms.
    """
    if not ms:
        return cell("")
    return cell(f"in {duration(ms - now)}") if ms > now else cell(f"overdue {duration(now - ms)}", "bold red")
