"""``make bench-live``: on a live Airflow, how long a failed run lies there, and what it takes to bring it back.

Our three ways to clear, the atomic one at the Dag level too, and the recipe of Airflow's documentation, by branches
that fail at the same moment. In the recipe's favour tasks wait for no ``retry_delay``; Airflow's default is 5 minutes.
Airflow's database is PostgreSQL: on SQLite, which has one writer, many clears at once can end a process of Airflow.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.airflow_server import AirflowError
from tests.benchmark.access_log import requests_about
from tests.benchmark.table import aligned, machine, piped, publish
from tests.live.conftest import DAGS, Live, live_airflow
from tests.postgres import postgres_server

# The recipe last: with many branches its clears keep the API server busy for minutes.
WAYS = ("atomic", "rest", "own", "dag", "recipe")
REPEATS = {1: 3, 4: 3, 16: 1, 64: 1}
"""By the number of branches; 1 for any other number."""

# For a run, in seconds: the recipe may go on and on; without credentials nobody finishes what a killed winner left.
_PATIENCE = 300.0

# At which a run takes so long that what is loaded once makes no difference.
_MANY = 64

HEADINGS = (
    "branches",
    "way",
    "winner's callback",
    "last failure to restart",
    "first failure to restart",
    "clears",
    "requests per failure",
)


@dataclass(frozen=True)
class Retried:
    """A run that failed and was brought back, or was not.

    :param branches: how many failed together.
    :param way: ``recipe``, or ours: the ``atomic`` route, the ``rest`` API where there is no such route, the task's
        ``own`` identity where there are no credentials, or ``dag``: atomic, at the Dag level only.
    :param milliseconds: how long the callback took that cleared the run, from its call; None where it told nothing.
    :param from_last: seconds from the last failure to the first task that ran again; None where none did.
    :param from_first: the same from the first failure.
    :param clears: how often Airflow carried out a clear.
    :param rest: requests to Airflow's REST API and our route about the run, by all callbacks.
    :param logins: for these.
    :param execution: requests about the run to the API of tasks, by supervisors; the recipe's are for its Variable.
    :param lacking: what Airflow itself was not up to, which leaves the rest unknown.
    :param run_id: the run.
    """

    branches: int
    way: str
    milliseconds: float | None = None
    from_last: float | None = None
    from_first: float | None = None
    clears: float = 0
    rest: float = 0
    logins: float = 0
    execution: float = 0
    lacking: str = ""
    run_id: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table's line."""
        which = (str(self.branches), self.way)
        if self.lacking:
            return *which, self.lacking, *[""] * (len(HEADINGS) - len(which) - 1)
        callback = "" if self.milliseconds is None else f"{self.milliseconds:.0f} ms"
        seconds = ["never" if each is None else f"{each:.1f} s" for each in (self.from_last, self.from_first)]
        logins = " login" if self.logins == 1 else " logins"
        asked = {"": self.rest, logins: self.logins, " by supervisors": self.execution}
        requests = " + ".join(f"{number:.0f}{what}" for what, number in asked.items() if number)
        return *which, callback, *seconds, f"{self.clears:.0f}", requests


def retried(live: Live, branches: int, way: str) -> Retried:
    """Let a run fail, and wait until it has been brought back."""
    dag_id = f"{way}_{branches}"
    run_id = f"run_{time.monotonic_ns()}"
    live.airflow.trigger(dag_id, run_id)
    try:
        live.airflow.wait(dag_id, run_id, until=lambda run: run.state == "success", steady=3, timeout=_PATIENCE)
    except AirflowError:
        live.airflow.components.check_alive()
    run = live.airflow.dag_run(dag_id, run_id)
    failed, restarted = (_told(live, dag_id, run_id, what) for what in ("failed", "restarted"))
    if len(failed) < branches:
        return Retried(branches, way, lacking="not all tasks came to run")
    return Retried(
        branches=branches,
        way=way,
        milliseconds=cleared[0] if (cleared := _told(live, dag_id, run_id, "cleared", column=1)) else None,
        from_last=restarted[0] - failed[-1] if restarted else None,
        from_first=restarted[0] - failed[0] if restarted else None,
        clears=run.clear_number,
        run_id=run_id,
    )


def _told(live: Live, dag_id: str, run_id: str, what: str, column: int = 0) -> list[float]:
    """Return what the tasks and callbacks of a run told: the times, or what stands beside them."""
    file = live.airflow.home / "times" / dag_id / run_id / what
    return sorted(float(line.split()[column]) for line in file.read_text().splitlines()) if file.exists() else []


def _counted(live: Live, run: Retried) -> Retried:
    """Return a run with its requests.

    After a clear Airflow may call back for tries that were still queued, as if they were lost: each asks once, later.
    """
    if not run.run_id:
        return run
    return replace(run, **requests_about(live.airflow.home / "components" / "api-server.log", run.run_id)._asdict())


def _median(results: list[Retried]) -> Retried:
    """Return what is in the middle of the same thing done again."""
    if results[-1].lacking:
        return results[-1]
    middle: dict[str, Any] = {"run_id": ""}
    for name in (field.name for field in fields(Retried) if "float" in str(field.type)):
        known = [figure for each in results if (figure := getattr(each, name)) is not None]
        middle[name] = median(known) if known else None
    return replace(results[0], **middle)


@contextmanager
def airflow(folder: Path, branches: int) -> Iterator[Live]:
    """Run an Airflow with the Dags of all ways, and room for so many tasks at once."""
    folder.mkdir()
    dags = folder / "dags"
    shutil.copytree(Path(__file__).parent / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(DAGS / "recipe_published.py", dags)
    (dags / ".airflowignore").write_text("recipe_published.py\n")
    env = {
        "BENCHMARK_BRANCHES": str(branches),
        "AIRFLOW__CORE__PARALLELISM": str(branches),
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "0",
        # So many processes on few cores are slow to begin, and to say that they are alive.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    }
    with postgres_server() as make, live_airflow(folder, dags, env, database=make("live")) as live:
        yield live


def _each_way(live: Live, branches: int, repeats: int) -> Iterator[list[Retried]]:
    """Yield the runs of each way, as far as this Airflow carries them. A run before them loads everything once."""
    before = int(branches < _MANY)
    for way in WAYS:
        taken: list[Retried] = []
        while len(taken) < before + repeats and (not taken or taken[-1].from_first is not None):
            try:
                taken.append(retried(live, branches, way))
            except AirflowError as error:
                print(error, file=sys.stderr)
                taken.append(Retried(branches, way, lacking="a process of Airflow ended"))
            print(*_counted(live, taken[-1]).cells(), sep="  ", file=sys.stderr, flush=True)
        yield taken[before:] or taken
        if taken[-1].lacking:
            return


def measure(folder: Path, repeats: dict[int, int]) -> list[Retried]:
    """Measure every way, one run at a time; each number of branches has an Airflow of its own."""
    results: list[Retried] = []
    for branches in repeats:
        with airflow(folder / str(branches), branches) as live:
            runs = list(_each_way(live, branches, repeats[branches]))
            results += [_median([_counted(live, run) for run in taken]) for taken in runs]
    return results


def main() -> None:
    """Measure, print the table, and write it to ``build/benchmark``; the whole one into the README here too.

    Arguments choose numbers of branches: ``python -m tests.benchmark.live 1 4``.
    """
    chosen = [int(each) for each in sys.argv[1:]]
    output = Path(__file__).parents[2] / "build" / "benchmark"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dag-retry-bench-") as folder:
        results = measure(Path(folder), {each: REPEATS.get(each, 1) for each in chosen or REPEATS})
    lines = [HEADINGS, *(result.cells() for result in results)]
    print(machine(), aligned(lines), sep="\n\n")
    (output / "live.txt").write_text(f"{machine()}\n\n{aligned(lines)}\n", encoding="utf-8")
    markdown = f"Measured on {machine()}.\n\n{piped(lines)}\n"
    (output / "live.md").write_text(markdown, encoding="utf-8")
    if not chosen:
        publish("make bench-live", markdown)
    whole = {"machine": machine(), "runs": [asdict(result) for result in results]}
    (output / "live.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
