"""Sweep until stopped: clear runs whose delay is over, finish what dead callbacks left, and find unclaimed failures.

Any number of sweepers may run at once. SIGTERM and Ctrl-C stop a sweeper when it has finished the run in hand.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import timedelta

from dag_retry._airflow import sdk
from dag_retry.cli.arguments import age
from dag_retry.cli.output import Output


class _Masking(logging.Formatter):
    """Masks secrets in the whole line, with its traceback. Only Airflow's own handlers do so by themselves."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return sdk.masked(super().format(record))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--once", action="store_true", help="sweep once, and stop")
    parser.add_argument(
        "--interval",
        type=_interval,
        default=age("1s"),
        metavar="AGE",
        help="the longest wait before the next look at what is due (default: 1s)",
    )


def _interval(text: str) -> int:
    """Return the ms of an interval.

    :raises argparse.ArgumentTypeError: the text is no age, or no time would be left between two looks.
    """
    if not (ms := age(text)):
        raise argparse.ArgumentTypeError(f"{text!r} leaves no time between two looks: use 1s or more")
    return ms


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    from dag_retry.sweeper.service import serve, sweep_once

    log = logging.getLogger("dag_retry")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    if args.once:
        sweep_once()
    else:
        serve(timedelta(milliseconds=args.interval))
    return 0
