"""List the runs that need a human and the runs that are retried now, or another list of runs.

First comes what is wrong for all runs: the way to Airflow is broken, or no sweeper runs and runs wait for one.
"""

from __future__ import annotations

import argparse
from typing import Any

from dag_retry._redis.overview import List
from dag_retry._redis.views import Unreadable
from dag_retry._types import RunRecord, Status
from dag_retry.cli.arguments import age, dag_argument, json_argument, limit_argument
from dag_retry.cli.connection import connected
from dag_retry.cli.output import Output
from dag_retry.cli.runs import data, head, of_all, table

_WHICH: dict[str, tuple[List, ...]] = {
    "open": ("attention", "active"),
    "attention": ("attention",),
    "active": ("active",),
    "overdue": ("overdue",),
    "recent": ("recent",),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "which",
        nargs="?",
        choices=_WHICH,
        default="open",
        help="attention: runs that need a human; active: runs that are retried now; open (the default): both; "
        "overdue: runs that are due and that nobody has taken; recent: the runs of the newest 10,000 events",
    )
    dag_argument(parser)
    parser.add_argument(
        "--status",
        action="append",
        dest="statuses",
        choices=[status.value for status in Status],
        help="only runs in this status; repeatable",
    )
    parser.add_argument("--since", type=age, metavar="AGE", help="only runs that changed in this time: 15m, 2h, 30d")
    parser.add_argument("--until", type=age, metavar="AGE", help="only runs that have not changed in this time")
    limit_argument(parser, 100)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    with connected() as (overview, _):
        health = overview.health()
        now = health.now
        filters: dict[str, Any] = {
            "dag_ids": args.dag_ids,
            "statuses": args.statuses,
            "since": None if args.since is None else now - args.since,
            "until": None if args.until is None else now - args.until,
        }
        found: list[RunRecord | Unreadable] = []
        more = False
        for index in _WHICH[args.which]:
            offset: int | None = 0
            while offset is not None and len(found) < args.limit:
                page = overview.runs(index, **filters, offset=offset, limit=args.limit - len(found))
                found += page.runs
                offset = page.offset
            more = more or offset is not None
    out.show(
        {"health": of_all(health), "runs": [data(record, health) for record in found]},
        *head(health),
        table(found, health) if found else "none",
        *(["there are more: see --limit"] if more else []),
    )
    return 0
