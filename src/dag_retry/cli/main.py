"""The parser of the command line, and the exit code of each error."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dag_retry._errors import ConfigError, CounterError, DagRetryError

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

VERBS = (
    "list",
    "show",
    "watch",
    "events",
    "retry",
    "reset",
    "cancel",
    "sweep",
    "migrate",
    "doctor",
    "metrics",
    "dashboards",
)
"""The modules of ``dag_retry.cli.verbs``, in the order of the help."""

_EXTRAS = {"rich": "cli", "prometheus_client": "metrics"}
_SUMMARY = "Look at Dag-level retries, act on them, and find what is wrong"


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Add every verb to a parser. The parsed arguments then hold ``run_verb``, which returns the exit code.

    :param parser: the parser of ``dag-retry``, or of ``airflow dag-retry``.
    """
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        verb = import_module(f"dag_retry.cli.verbs.{name}")
        description = inspect.cleandoc(verb.__doc__ or "")
        summary = description.partition(".")[0]
        verb_parser = verbs.add_parser(name, help=summary[:1].lower() + summary[1:], description=description)
        verb.arguments(verb_parser)
        verb_parser.set_defaults(json=False, run_verb=partial(_run, verb))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    :param argv: the arguments, without the program's name; by default those of the process.
    :return: the exit code. The docstring of ``dag_retry.cli`` lists the codes.
    """
    parser = argparse.ArgumentParser(prog="dag-retry", description=f"{_SUMMARY}.")
    try:
        add_verbs(parser)
    except ModuleNotFoundError as error:
        return _missing(error)
    args = parser.parse_args(argv)
    code: int = args.run_verb(args)
    return code


def airflow_commands() -> list[CLICommand]:
    """Return the command ``airflow dag-retry``. The entry ``cli`` of the provider's info names this function."""
    from airflow.cli.cli_config import ActionCommand

    verbs: Any = _Verbs()
    return [ActionCommand(name="dag-retry", help=_SUMMARY, func=_exit, args=[verbs])]


class _Verbs:
    """Stands in for an ``Arg`` of Airflow, which adds itself to the parser of its command."""

    flags = ("VERB",)

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add every verb to the parser of the command."""
        add_verbs(parser)


def _exit(args: argparse.Namespace) -> None:
    # Airflow ignores what a command returns.
    sys.exit(args.run_verb(args))


def _run(verb: ModuleType, args: argparse.Namespace) -> int:
    from dag_retry.cli.output import Output

    try:
        out = Output(as_json=args.json)
        # Airflow's logs go to stdout, and only the answer belongs there.
        with contextlib.redirect_stdout(sys.stderr):
            code: int = verb.run(args, out)
        return code
    except ModuleNotFoundError as error:
        return _missing(error)
    except ConfigError as error:
        return _failed(str(error), 2)
    except CounterError as error:
        return _failed(str(error), 3)
    except DagRetryError as error:
        return _failed(str(error), 4)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe. Without this, Python would fail again when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _missing(error: ModuleNotFoundError) -> int:
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    return _failed(f"{error.name} is not installed: pip install 'airflow-dag-retry[{extra}]'", 2)


def _failed(message: str, code: int) -> int:
    from dag_retry._airflow import sdk

    print(sdk.masked(f"dag-retry: {message}"), file=sys.stderr)
    return code
