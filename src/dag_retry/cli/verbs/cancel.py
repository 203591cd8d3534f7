"""Cancel a retry that is still to come: the run stays failed until somebody clears it."""

from __future__ import annotations

import argparse

from dag_retry.cli.arguments import json_argument, run_arguments
from dag_retry.cli.connection import connected, operator
from dag_retry.cli.output import Output
from dag_retry.cli.runs import UNKNOWN


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    run_arguments(parser)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    named = (args.dag_id, args.run_id)
    with connected() as (overview, interventions):
        known = overview.run(*named)
        done = interventions.cancel(*named, holder=operator())
    if not done:
        return out.answer(*named, "there is no clear to come", done=False)
    said = "it is not retried"
    return out.answer(*named, said if known else f"{said}, should it fail. Until now it {UNKNOWN}", done=True)
