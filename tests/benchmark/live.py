"""``make bench-live``: on a live Airflow, how long a failed run lies there, and what it takes to bring it back.

The recipe of Airflow's documentation beside ours at each level, by branches that fail at the same moment. In the
recipe's favour tasks wait for no ``retry_delay``; Airflow's default is 5 minutes. On SQLite, which has one writer, many
clears at once can end a process of Airflow ("database is locked"), and many tasks never come to run: that is told, and
the next Airflow begins.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

from tests.airflow_server import AirflowError
from tests.benchmark.table import aligned, machine, piped
from tests.live.conftest import DAGS, Live, live_airflow, postgres_server

# The recipe last: with many branches its clears keep the API server busy for minutes.
WAYS = ("task", "dag", "both", "recipe")
REPEATS = {1: 3, 4: 3, 16: 1, 64: 1}
"""By the number of branches."""

# For a run, in seconds: the recipe may go on and on; at the task level alone nobody finishes what a killed winner left.
_PATIENCE = 300.0

# At which a run takes so long that what is loaded once makes no difference.
_MANY = 64

HEADINGS = ("database", "branches", "way", "first failure to restart", "last failure to restart", "clears", "API calls")


@dataclass(frozen=True)
class Retried:
    """A run that failed and was brought back, or was not.

    :param database: Airflow's.
    :param branches: how many failed together.
    :param way: ``recipe``, or ours at the level ``task``, ``dag`` or ``both``.
    :param from_first: seconds from the first failure to the first task that ran again; None where none did.
    :param from_last: the same from the last failure.
    :param clears: how often Airflow carried out a clear.
    :param calls: requests to Airflow's REST API about the run; each callback that sends some logs in before.
    :param variables: reads and writes of the recipe's Variable.
    :param lacking: what Airflow itself was not up to, which leaves the rest unknown.
    :param run_id: the run.
    """

    database: str
    branches: int
    way: str
    from_first: float | None = None
    from_last: float | None = None
    clears: float = 0
    calls: float = 0
    variables: float = 0
    lacking: str = ""
    run_id: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table's line."""
        if self.lacking:
            return self.database, str(self.branches), self.way, self.lacking, "", "", ""
        seconds = ["never" if each is None else f"{each:.1f} s" for each in (self.from_first, self.from_last)]
        calls = f"{self.calls:.0f}" + (f" + {self.variables:.0f} of Variables" if self.variables else "")
        return self.database, str(self.branches), self.way, *seconds, f"{self.clears:.0f}", calls


def requests_of(log: Path, dag_id: str, run_id: str) -> int:
    """Return how many requests about a run Airflow's API server has logged.

    After a clear Airflow may call back for tries that were still queued, as if they were lost: each asks once, later.
    """
    return len(re.findall(rf"/api/v2/dags/{dag_id}/dagRuns/{run_id}\b", log.read_text(errors="replace")))


def retried(live: Live, database: str, branches: int, way: str) -> Retried:
    """Let a run fail, and wait until it has been brought back."""
    dag_id = f"{way}_{branches}"
    run_id = f"run_{time.monotonic_ns()}"
    variables = _variable_requests(live)
    live.airflow.trigger(dag_id, run_id)
    try:
        live.airflow.wait(dag_id, run_id, until=lambda run: run.state == "success", steady=3, timeout=_PATIENCE)
    except AirflowError:
        live.airflow.components.check_alive()
    run = live.airflow.dag_run(dag_id, run_id)
    failed, restarted = (_times(live, dag_id, run_id, what) for what in ("failed", "restarted"))
    if len(failed) < branches:
        return Retried(database, branches, way, lacking="not all tasks came to run")
    return Retried(
        database=database,
        branches=branches,
        way=way,
        from_first=restarted[0] - failed[0] if restarted else None,
        from_last=restarted[0] - failed[-1] if restarted else None,
        clears=run.clear_number,
        calls=requests_of(_api_server_log(live), dag_id, run_id),
        variables=_variable_requests(live) - variables,
        run_id=run_id,
    )


def _api_server_log(live: Live) -> Path:
    return live.airflow.home / "components" / "api-server.log"


def _variable_requests(live: Live) -> int:
    return _api_server_log(live).read_text(errors="replace").count("/execution/variables/")


def _times(live: Live, dag_id: str, run_id: str, what: str) -> list[float]:
    file = live.airflow.home / "times" / dag_id / run_id / what
    return sorted(float(line.split()[0]) for line in file.read_text().splitlines()) if file.exists() else []


def _median(results: list[Retried]) -> Retried:
    """Return what is in the middle of the same thing done again."""
    back = [each for each in results if each.from_first is not None and each.from_last is not None]
    if results[-1].lacking:
        return results[-1]
    return Retried(
        database=results[0].database,
        branches=results[0].branches,
        way=results[0].way,
        from_first=median(each.from_first for each in back if each.from_first is not None) if back else None,
        from_last=median(each.from_last for each in back if each.from_last is not None) if back else None,
        clears=median(each.clears for each in results),
        calls=median(each.calls for each in results),
        variables=median(each.variables for each in results),
    )


@contextmanager
def airflow_on(database: str, folder: Path, branches: int) -> Iterator[Live]:
    """Run an Airflow with the Dags of all ways, on ``SQLite`` or ``PostgreSQL``, and room for so many tasks at once."""
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
    if database == "SQLite":
        with live_airflow(folder, dags, env) as live:
            yield live
        return
    with postgres_server() as make, live_airflow(folder, dags, env, database=make("live")) as live:
        yield live


def _each_way(live: Live, database: str, branches: int, repeats: int) -> Iterator[list[Retried]]:
    """Yield the runs of each way, as far as this Airflow carries them."""
    for way in WAYS:
        taken: list[Retried] = []
        while len(taken) < repeats and (not taken or taken[-1].from_first is not None):
            try:
                taken.append(retried(live, database, branches, way))
            except AirflowError as error:
                print(error, file=sys.stderr)
                taken.append(Retried(database, branches, way, lacking="a process of Airflow ended"))
            print(*taken[-1].cells(), sep="  ", file=sys.stderr, flush=True)
        yield taken
        if taken[-1].lacking:
            return


def measure(folder: Path, databases: list[str], repeats: dict[int, int]) -> list[Retried]:
    """Measure every way, one run at a time; each number of branches on each database has an Airflow of its own."""
    results: list[Retried] = []
    for database, branches in product(databases, repeats):
        with airflow_on(database, folder / f"{database}-{branches}", branches) as live:
            if branches < _MANY:
                retried(live, database, branches, "both")  # everything is loaded once
            runs = list(_each_way(live, database, branches, repeats[branches]))
            for taken in runs:
                log = _api_server_log(live)
                counted = [replace(run, calls=requests_of(log, f"{run.way}_{branches}", run.run_id)) for run in taken]
                results.append(_median(counted))
    return results


def main() -> None:
    """Measure on SQLite and PostgreSQL, print the table, and write it to ``build/benchmark``."""
    output = Path(__file__).parents[2] / "build" / "benchmark"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dag-retry-bench-") as folder:
        results = measure(Path(folder), sys.argv[1:] or ["SQLite", "PostgreSQL"], REPEATS)
    lines = [HEADINGS, *(result.cells() for result in results)]
    print(machine(), aligned(lines), sep="\n\n")
    (output / "live.txt").write_text(f"{machine()}\n\n{aligned(lines)}\n", encoding="utf-8")
    (output / "live.md").write_text(f"{piped(lines)}\n\n{machine()}\n", encoding="utf-8")
    whole = {"machine": machine(), "runs": [asdict(result) for result in results]}
    (output / "live.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
