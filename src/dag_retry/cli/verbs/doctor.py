"""Find what is wrong: Redis, Airflow's API, the clocks and a Dag, each fault with its remedy. Nothing is changed."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing

from dag_retry._callback import deployment
from dag_retry._errors import ConfigError, CounterError
from dag_retry.cli.doctor import airflow, redis
from dag_retry.cli.doctor.finding import Finding
from dag_retry.cli.output import Output, cell, grid
from dag_retry.cli.session import REDIS_TRY, json_argument

_STYLES = {"ok": "green", "unknown": "bright_black", "warning": "yellow", "fault": "bold red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument("dag_id", nargs="?", help="a Dag: may its runs be cleared, and which callbacks are attached?")
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    found: list[Finding] = []
    now: int | None = None
    with ExitStack() as stack:
        try:
            client = stack.enter_context(closing(deployment.connect(timeout=REDIS_TRY)))
            found += redis.examine(client)
            now = deployment.overview(client).now()
        except (ConfigError, CounterError) as error:
            if not found:
                found.append(redis.not_connected(error))
    found += airflow.examine(args.dag_id, now)
    rows = (
        (cell(each.grade, _STYLES[each.grade]), each.check, each.found, cell(each.remedy, "bold")) for each in found
    )
    out.show(found, grid("", "check", "found", "what to do", rows=rows))
    return 1 if any(each.grade == "fault" for each in found) else 0
