"""Reset the attempts of a run: a fresh budget, whatever it has used."""

from __future__ import annotations

import argparse

from dag_retry.cli.output import Output
from dag_retry.cli.session import connected, json_argument, operator, run_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    run_arguments(parser)
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    with connected() as session:
        done = session.counter.reset(args.dag_id, args.run_id, holder=operator())
    return out.answer(
        args.dag_id, args.run_id, "its attempts are counted anew" if done else "never failed, or long ago", done=done
    )
