"""The parser, and what becomes of what a verb raises."""

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
"""Each is a module of ``dag_retry.cli.verbs``."""

_EXTRAS = {"rich": "cli", "prometheus_client": "metrics"}
_SUMMARY = "Dag-level retries: look at them, act on them, find what is wrong"


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Add every verb to a parser, as ``run_verb(args)``, which returns the exit code.

    :param parser: ``dag-retry``'s own, or that of ``airflow dag-retry``.
    """
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        verb = import_module(f"dag_retry.cli.verbs.{name}")
        said = inspect.cleandoc(verb.__doc__ or "")
        summary = said.partition(".")[0]
        of_verb = verbs.add_parser(name, help=summary[:1].lower() + summary[1:], description=said)
        verb.arguments(of_verb)
        of_verb.set_defaults(json=False, run_verb=partial(_run, verb))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    :param argv: without the program's name; else the process's own.
    :return: the exit code; the package's docstring lists them.
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
    """Return ``airflow dag-retry``, for the entry ``cli`` of the provider's info."""
    from airflow.cli.cli_config import ActionCommand

    verbs: Any = _Verbs()
    return [ActionCommand(name="dag-retry", help=_SUMMARY, func=_exit, args=[verbs])]


class _Verbs:
    """Takes the place of an ``Arg``: Airflow asks it to add itself to the command's parser."""

    flags = ("VERB",)

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the verbs, as argparse knows them."""
        add_verbs(parser)


def _exit(args: argparse.Namespace) -> None:
    # Airflow takes no exit code from a command.
    sys.exit(args.run_verb(args))


def _run(verb: ModuleType, args: argparse.Namespace) -> int:
    from dag_retry.cli.output import Output

    try:
        out = Output(as_json=args.json)
        # Airflow logs to stdout, where only the answer belongs.
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
        # Whoever read has enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _missing(error: ModuleNotFoundError) -> int:
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    return _failed(f"{error.name} is not installed: pip install 'airflow-dag-retry[{extra}]'", 2)


def _failed(message: str, code: int) -> int:
    print(f"dag-retry: {message}", file=sys.stderr)
    return code
