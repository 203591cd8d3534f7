"""Find what is wrong with Redis, sweepers, Airflow's API, clocks and a Dag, and say what to do. It changes nothing."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing

from dag_retry._callback import deployment
from dag_retry._errors import ConfigError, CounterError
from dag_retry.cli.arguments import json_argument
from dag_retry.cli.connection import REDIS_TIMEOUT
from dag_retry.cli.doctor import airflow, redis, settings, sweeper
from dag_retry.cli.doctor.finding import Finding
from dag_retry.cli.output import Output, cell, grid

_STYLES = {"ok": "green", "unknown": "bright_black", "note": "cyan", "warning": "yellow", "fault": "bold red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "dag_id", nargs="?", help="a Dag that is checked too: callbacks, structure, the right to clear it"
    )
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    found = list(settings.examine())
    of_redis: list[Finding] = []
    now: int | None = None
    sweeps = True
    with ExitStack() as stack:
        try:
            client = stack.enter_context(closing(deployment.connect(timeout=REDIS_TIMEOUT)))
            of_redis += redis.examine(client)
            now = deployment.overview(client).now()
            if health := sweeper.look(client):
                of_redis += sweeper.examine(health)
                # That runs wait for a sweeper in vain is a finding already.
                sweeps = health.current is not None or health.missing
        except (ConfigError, CounterError) as error:
            if not of_redis:
                of_redis.append(redis.not_connected(error))
    found += of_redis
    found += airflow.examine(args.dag_id, now, sweeps=sweeps)
    rows = (
        (cell(each.grade, _STYLES[each.grade]), each.check, each.found, cell(each.remedy, "bold")) for each in found
    )
    out.show(found, grid("", "check", "found", "what to do", rows=rows))
    return 1 if any(each.grade == "fault" for each in found) else 0
