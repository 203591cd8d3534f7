"""Sweep, until stopped: clear runs whose delay is over, finish what dead callbacks left, find lost ones.

Any number may run at once. SIGTERM and Ctrl-C end it once what is in hand is done.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import timedelta

from dag_retry.cli.output import Output
from dag_retry.cli.session import age


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument("--once", action="store_true", help="one sweep, and no more")
    parser.add_argument(
        "--interval", type=age, default=age("1s"), metavar="AGE", help="between two looks at what is due (default: 1s)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    from dag_retry.sweeper.service import serve, sweep_once

    log = logging.getLogger("dag_retry")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    if args.once:
        sweep_once()
    else:
        serve(timedelta(milliseconds=args.interval))
    return 0
