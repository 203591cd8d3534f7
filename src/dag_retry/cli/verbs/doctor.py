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
    start = ""
    with ExitStack() as stack:
        try:
            client = stack.enter_context(closing(deployment.connect(timeout=REDIS_TIMEOUT)))
            of_redis += redis.examine(client)
            now = deployment.overview(client).now()
            if health := sweeper.look(client):
                start = sweeper.start(health)
                of_redis += sweeper.examine(health, start)
                if health.missing:
                    start = ""  # That runs wait for a sweeper in vain is a finding already.
        except (ConfigError, CounterError) as error:
            if not of_redis:
                of_redis.append(redis.not_connected(error))
    of_airflow = list(airflow.examine(args.dag_id, now, start))
    if any(each.check == sweeper.CHECK for each in of_airflow):
        # That this Dag needs a sweeper says more than that none runs.
        of_redis = [each for each in of_redis if each.check != sweeper.CHECK]
    found += [*of_redis, *of_airflow]
    rows = (
        (cell(each.grade, _STYLES[each.grade]), each.check, each.found, cell(each.remedy, "bold")) for each in found
    )
    out.show(found, grid("", "check", "found", "what to do", rows=rows))
    return 1 if any(each.grade == "fault" for each in found) else 0
