"""Show one run: its record, and the timeline of its attempts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import groupby

from dag_retry._reasons import reason_of_run
from dag_retry._redis.views import Event, Unreadable
from dag_retry.cli.arguments import json_argument, run_arguments
from dag_retry.cli.connection import connected
from dag_retry.cli.output import Output, ago, at, cell, due, duration, failed_task, grid, printable, status, who
from dag_retry.cli.runs import UNKNOWN, data, head, state, why


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    run_arguments(parser)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    with connected() as (overview, _):
        record = overview.run(args.dag_id, args.run_id)
        timeline = overview.timeline(args.dag_id, args.run_id)
        health = overview.health()
    now = health.now
    named = f"{args.dag_id} {args.run_id}"
    if record is None:
        out.show({"record": None, "timeline": timeline}, cell(f"{named}: {UNKNOWN}"))
        return 1
    heads = ("at", "after", "event", "generation", "attempt", "why", "who", "failed task")
    told = grid(*heads, rows=_rows(timeline))
    if isinstance(record, Unreadable):
        out.show({"record": record, "timeline": timeline}, cell(f"{named}: unreadable: {record.why}"), told)
        return 0
    facts = {
        "status": state(record, health),
        "why": cell(why(record, now)),
        **({"to do": cell(remedy)} if (remedy := reason_of_run(record).remedy) else {}),
        "attempt": cell(f"{record.attempt} of {record.max_attempts}, generation {record.generation}"),
        "failed": cell(failed_task(record.failed_try.task_id, record.failed_try.map_index, record.failed_try.error)),
        "lost": cell(f"{record.lost} callbacks since the last claim"),
        "first failed": cell(f"{at(record.budget_at)}, {ago(record.budget_at, now)}"),
        **({"in vain": cell(f"{record.faults} times in a row")} if record.faults else {}),
        "last change": cell(f"{at(record.updated_at)}, {ago(record.updated_at, now)}"),
        "due": due(record.due_at, now) if record.due_at else cell("never"),
    }
    out.show(
        {"record": data(record, health), "timeline": timeline},
        *head(health),
        cell(printable(named), "bold"),
        grid("", "", rows=facts.items()),
        "",
        told,
    )
    return 0


def _rows(timeline: Iterable[Event]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each event. Callbacks that lost to the same winner share a row."""
    before: int | None = None
    for _, group in groupby(timeline, lambda event: (event.event, event.reason, event.generation, event.attempt)):
        first, *others = group
        # Only losers can be many. Any other event has a row of its own, even if it came twice.
        for event in [first] if first.event == "lost" else [first, *others]:
            times = f" x {len(others) + 1}" if others and event.event == "lost" else ""
            yield (
                at(event.at),
                "" if before is None else f"+{duration(event.at - before)}",
                status(event.event) + times,
                event.generation,
                f"{event.attempt}/{event.max_attempts}",
                event.reason,
                who(event),
                failed_task(event.task_id, event.map_index, event.error),
            )
            before = event.at
