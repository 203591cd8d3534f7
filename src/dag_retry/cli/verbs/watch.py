"""Watch the runs that are open, and the latest events, until stopped.

With --json, or if the output is no terminal, print a line for each event as it comes.
"""

from __future__ import annotations

import argparse
import time

from rich.console import Group
from rich.live import Live

from dag_retry._redis.keys import Index
from dag_retry._redis.overview import Overview
from dag_retry.cli.arguments import dag_argument, json_argument, positive
from dag_retry.cli.connection import connected
from dag_retry.cli.output import EVENT_HEADS, Output, at, event_row, grid
from dag_retry.cli.runs import head, table

_EVENTS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    dag_argument(parser)
    parser.add_argument("--interval", type=positive, default=2, help="seconds between two looks (default: 2)")
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    with connected() as (overview, _):
        if out.as_json or not out.console.is_terminal:
            return _follow(overview, args, out)
        with Live(console=out.console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_screen(overview, args.dag_ids, out.console.height), refresh=True)
                time.sleep(args.interval)


def _follow(overview: Overview, args: argparse.Namespace, out: Output) -> int:
    latest = overview.events(limit=1)
    after = latest[0].id if latest else "0"
    while True:
        for event in overview.events(dag_ids=args.dag_ids, after=after)[::-1]:
            out.line(event, grid(rows=[event_row(event)]))
            after = event.id
        time.sleep(args.interval)


def _screen(overview: Overview, dag_ids: list[str] | None, height: int) -> Group:
    sizes, health = overview.sizes(), overview.health()
    room = max(4, (height - _EVENTS - 8) // 2)
    shown: list[tuple[Index, str]] = [
        ("attention", f"Needs a human: {sizes.attention}"),
        ("active", f"Retried now: {sizes.active}"),
    ]
    open_runs = [table(overview.runs(index, dag_ids=dag_ids, limit=room).runs, health, title) for index, title in shown]
    events = overview.events(dag_ids=dag_ids, limit=_EVENTS)
    return Group(
        f"{at(sizes.now)} UTC, overdue: {sizes.overdue}",
        *head(health),
        *open_runs,
        grid(*EVENT_HEADS, rows=map(event_row, events), title="Latest events"),
    )
