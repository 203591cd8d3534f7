"""What is printed: tables for people, JSON for scripts."""

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

from dag_retry._redis.views import Event, Unreadable
from dag_retry._types import RunRecord

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
    """Prints an answer, to stdout as it was when this was made.

    :param as_json: for scripts.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # Where nobody looks, nothing is cut off for want of columns.
        self.console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 200)

    def show(self, data: Any, *rendered: RenderableType) -> None:
        """Print an answer.

        :param data: as scripts read it.
        :param rendered: as people do.
        """
        if self.as_json:
            self.console.file.write(json.dumps(plain(data), ensure_ascii=False, indent=2) + "\n")
        for each in () if self.as_json else rendered:
            self.console.print(each)

    def line(self, data: Any, rendered: RenderableType) -> None:
        """Print one of many answers, each a line."""
        if self.as_json:
            self.console.file.write(json.dumps(plain(data), ensure_ascii=False) + "\n")
        else:
            self.console.print(rendered)
        self.console.file.flush()

    def answer(self, dag_id: str, run_id: str, said: str, *, done: bool) -> int:
        """Print what became of a run.

        :return: the exit code: 0 where it was done.
        """
        answer = {"dag_id": dag_id, "run_id": run_id, "done": done, "answer": said}
        self.show(answer, cell(f"{dag_id} {run_id}: {said}"))
        return 0 if done else 1


def plain(data: Any) -> Any:
    """Return what JSON can hold."""
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
    """Return a text without what a terminal would obey: an id may hold anything."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


def cell(text: object, style: str = "") -> Text:
    """Return a cell of a table; it is not read as markup."""
    return Text(printable(text), style=style, overflow="fold")


def status(name: str) -> Text:
    """Return a status, or an event, in its colour."""
    return cell(name, _STYLES.get(name, ""))


def grid(*heads: str, rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a table without lines.

    :param heads: of its columns.
    :param rows: their cells.
    :param title: above it.
    """
    table = Table(*heads, box=None, pad_edge=False, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else cell(each) for each in row))
    return table


def runs(records: Iterable[RunRecord | Unreadable], now: int, title: str | None = None) -> Table:
    """Return runs as a table.

    :param records: the runs.
    :param now: Redis's time, ms.
    :param title: above it.
    """
    heads = ("status", "Dag", "run", "attempt", "why", "failed task", "changed", "due")
    return grid(*heads, rows=(_row(record, now) for record in records), title=title)


def _row(record: RunRecord | Unreadable, now: int) -> Sequence[object]:
    if isinstance(record, Unreadable):
        return (status("unreadable"), record.dag_id, record.run_id, "", record.why, "", "", "")
    return (
        status(record.status.value),
        record.dag_id,
        record.run_id,
        f"{record.attempt}/{record.max_attempts}",
        record.reason,
        failed_task(record.failed_try.task_id, record.failed_try.map_index, record.failed_try.error),
        ago(record.updated_at, now),
        due(record.due_at, now),
    )


def event_row(event: Event) -> Sequence[object]:
    """Return an event as a row below :data:`EVENT_HEADS`."""
    return (
        at(event.at),
        status(event.event),
        event.dag_id,
        event.run_id,
        event.generation,
        f"{event.attempt}/{event.max_attempts}",
        event.reason,
        " ".join(filter(None, (event.level, event.holder))),
        failed_task(event.task_id, event.map_index, event.error),
    )


EVENT_HEADS = ("at", "event", "Dag", "run", "generation", "attempt", "why", "who", "failed task")


def failed_task(task_id: str, map_index: int, error: str) -> str:
    """Return a task, with its index where mapped, and its exception."""
    index = f"[{map_index}]" if map_index >= 0 else ""
    return f"{task_id}{index}" + (f": {error}" if error else "")


def at(ms: int) -> str:
    """Return a time, in UTC."""
    try:
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(ms)


def duration(ms: int) -> str:
    """Return a duration by its largest unit."""
    seconds = ms / 1000
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{ms} ms"


def ago(ms: int, now: int) -> str:
    """Return how long ago a time is."""
    return f"{duration(max(0, now - ms))} ago"


def due(ms: int, now: int) -> Text:
    """Return when a run is due; overdue in red."""
    if not ms:
        return cell("")
    return cell(f"in {duration(ms - now)}") if ms > now else cell(f"overdue {duration(now - ms)}", "bold red")
