"""Arguments that several verbs take."""

from __future__ import annotations

import argparse
import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="answer in JSON; times are ms since the epoch")


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a Dag and one of its runs."""
    parser.add_argument("dag_id", help="the Dag")
    parser.add_argument("run_id", help="the Dag run, e.g. manual__2026-01-01T00:00:00+00:00")


def dag_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--dag``, a filter by Dags."""
    parser.add_argument("--dag", action="append", dest="dag_ids", metavar="DAG_ID", help="only this Dag; repeatable")


def limit_argument(parser: argparse.ArgumentParser, default: int) -> None:
    """Add ``--limit``."""
    parser.add_argument("--limit", type=positive, default=default, help=f"how many at most (default: {default})")


def positive(text: str) -> int:
    """Return a whole number of 1 or more.

    :raises argparse.ArgumentTypeError: the text is no such number.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def age(text: str) -> int:
    """Return the ms of an age, such as ``15m``.

    :raises argparse.ArgumentTypeError: the text is no age.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: use e.g. 90s, 15m, 2h or 30d")
    return int(found[1]) * _UNITS[found[2]] * 1000
