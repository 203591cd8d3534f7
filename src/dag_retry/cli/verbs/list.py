"""List runs: what needs a human and what is retried now, or all of one index."""

from __future__ import annotations

import argparse
from typing import Any

from dag_retry._redis.overview import List
from dag_retry._redis.views import Unreadable
from dag_retry._types import RunRecord, Status
from dag_retry.cli.output import Output, runs
from dag_retry.cli.session import age, connected, dag_argument, json_argument, limit_argument

_WHICH: dict[str, tuple[List, ...]] = {
    "open": ("attention", "active"),
    "attention": ("attention",),
    "active": ("active",),
    "overdue": ("overdue",),
    "recent": ("recent",),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument(
        "which",
        nargs="?",
        choices=_WHICH,
        default="open",
        help="attention: needs a human; active: retried now; open (the default): both; overdue: somebody should "
        "have looked; recent: what changed last, as the newest 10,000 events have it",
    )
    dag_argument(parser)
    parser.add_argument(
        "--status",
        action="append",
        dest="statuses",
        choices=[status.value for status in Status],
        help="only in this status; repeatable",
    )
    parser.add_argument("--since", type=age, metavar="AGE", help="only what changed since, e.g. 15m, 2h, 30d ago")
    parser.add_argument("--until", type=age, metavar="AGE", help="only what has not changed since")
    limit_argument(parser, 100)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    with connected() as session:
        now = session.overview.now()
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
                page = session.overview.runs(index, **filters, offset=offset, limit=args.limit - len(found))
                found += page.runs
                offset = page.offset
            more = more or offset is not None
    out.show(found, runs(found, now) if found else "none", *(["there are more: see --limit"] if more else []))
    return 0
