"""What verbs share: the connection to the deployment's Redis, and arguments."""

from __future__ import annotations

import argparse
import getpass
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from dag_retry._callback import deployment

if TYPE_CHECKING:
    from dag_retry._redis.counter import AttemptCounter
    from dag_retry._redis.overview import Overview

REDIS_TRY = 2.0
"""Seconds for each try of a call of Redis: a person waits longer than a callback may."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Session(NamedTuple):
    """A connection to Redis.

    :param overview: to read.
    :param counter: to act.
    """

    overview: Overview
    counter: AttemptCounter


@contextmanager
def connected() -> Iterator[Session]:
    """Connect to Redis.

    :raises ConfigError: a setting is missing or wrong.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    with closing(deployment.connect(timeout=REDIS_TRY)) as client:
        yield Session(deployment.overview(client), deployment.counter(client))


def operator() -> str:
    """Return who acts, as the events show it: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="answer in JSON; times are ms since the epoch")


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a Dag and a run."""
    parser.add_argument("dag_id", help="the Dag")
    parser.add_argument("run_id", help="the Dag run, e.g. manual__2026-01-01T00:00:00+00:00")


def dag_argument(parser: argparse.ArgumentParser) -> None:
    """Add a filter by Dags."""
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
    """Return an age in ms.

    :raises argparse.ArgumentTypeError: the text is no age.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: use e.g. 90s, 15m, 2h or 30d")
    return int(found[1]) * _UNITS[found[2]] * 1000
