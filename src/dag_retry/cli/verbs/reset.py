"""Reset the attempts of a run: it has a fresh budget, however many attempts it has used."""

from __future__ import annotations

import argparse

from dag_retry.cli.arguments import json_argument, run_arguments
from dag_retry.cli.connection import connected, operator
from dag_retry.cli.output import Output


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    run_arguments(parser)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    with connected() as (_, interventions):
        done = interventions.reset(args.dag_id, args.run_id, holder=operator())
    return out.answer(
        args.dag_id, args.run_id, "its attempts are counted anew" if done else "never failed, or long ago", done=done
    )
