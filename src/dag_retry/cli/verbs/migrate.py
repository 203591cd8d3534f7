"""List the Variables in which Airflow's how-to counts attempts, and remove those that are left over.

When a queued or running run fails, dag_retry.recipe takes its attempts over by itself.
"""

from __future__ import annotations

import argparse

from rich.table import Table

from dag_retry._airflow import settings
from dag_retry._airflow.deadline import Deadline
from dag_retry.cli.arguments import json_argument
from dag_retry.cli.output import Output

_SECONDS = 300.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--remove", action="store_true", help="delete the Variables whose run is neither queued nor running"
    )
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    from dag_retry._airflow.client import ApiClient
    from dag_retry.cli.variables import Variables

    with ApiClient(settings.api(), Deadline(_SECONDS)) as client:
        variables = Variables(client)
        found = list(variables.leftovers())
        removed = {each.name for each in found if args.remove and not each.in_flight}
        if removed:
            variables.remove(removed)
    table = Table("Dag", "run", "attempts", "state", "Variable")
    for each in found:
        kept = "removed" if each.name in removed else "in flight: kept" if each.in_flight else "left over"
        table.add_row(each.dag_id, each.run_id, each.attempts, each.state, kept)
    out.show([each._asdict() | {"removed": each.name in removed} for each in found], table)
    return 0
