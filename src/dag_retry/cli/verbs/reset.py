"""Reset the attempts of a run: it has a fresh budget, however many attempts it has used. Nothing is cleared."""

from __future__ import annotations

import argparse
import shlex

from dag_retry._types import RunRecord
from dag_retry.cli.arguments import json_argument, run_arguments
from dag_retry.cli.connection import connected, operator
from dag_retry.cli.output import Output
from dag_retry.cli.runs import UNKNOWN, stays_failed


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    run_arguments(parser)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    named = (args.dag_id, args.run_id)
    with connected() as (overview, interventions):
        record = overview.run(*named)
        done = interventions.reset(*named, holder=operator())
    if not done:
        return out.answer(*named, UNKNOWN, done=False)
    said = "its attempts are counted anew"
    if isinstance(record, RunRecord) and stays_failed(record):
        said += f"; the run stays failed. Clear it: {shlex.join(('dag-retry', 'retry', *named))}"
    return out.answer(*named, said, done=True)
