"""Show the latest events, the newest last."""

from __future__ import annotations

import argparse

from dag_retry.cli.output import EVENT_HEADS, Output, event_row, grid
from dag_retry.cli.session import connected, dag_argument, json_argument, limit_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    dag_argument(parser)
    parser.add_argument("--after", metavar="ID", type=_event_id, help="only those after the event of this id")
    limit_argument(parser, 50)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    with connected() as session:
        events = session.overview.events(dag_ids=args.dag_ids, after=args.after, limit=args.limit)[::-1]
    out.show(events, grid(*EVENT_HEADS, rows=map(event_row, events)) if events else "none")
    return 0


def _event_id(text: str) -> str:
    time, _, number = text.partition("-")
    if not time.isdecimal() or not (number or "0").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an event: use e.g. 1760000000000-0")
    return text
