"""Show the latest events. The newest event is the last."""

from __future__ import annotations

import argparse

from dag_retry.cli.arguments import dag_argument, json_argument, limit_argument
from dag_retry.cli.connection import connected
from dag_retry.cli.output import EVENT_HEADS, Output, event_row, grid


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    dag_argument(parser)
    parser.add_argument("--after", metavar="ID", type=_event_id, help="only events after the one with this id")
    limit_argument(parser, 50)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    with connected() as (overview, _):
        events = overview.events(dag_ids=args.dag_ids, after=args.after, limit=args.limit)[::-1]
    out.show(events, grid(*EVENT_HEADS, rows=map(event_row, events)) if events else "none")
    return 0


def _event_id(text: str) -> str:
    time, _, number = text.partition("-")
    if not time.isdecimal() or not (number or "0").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an event: use e.g. 1760000000000-0")
    return text
