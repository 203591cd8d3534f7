"""Run the demo: a real Airflow, with Dags that fail and are retried. Under three minutes."""

from __future__ import annotations

import argparse
import contextlib

from dag_retry.cli.output import Output


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take nothing."""


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    from dag_retry.demo.__main__ import main

    with contextlib.redirect_stdout(out.console.file):
        return main()
