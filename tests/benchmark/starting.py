"""The import, which every parse of a Dag file pays, and a whole callback that loses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from dag_retry import AttemptCounter
from dag_retry._redis.connection import connect
from tests.benchmark.measuring import Bench
from tests.benchmark.table import Row

ROOT = Path(__file__).parents[2]


def rows(bench: Bench) -> Iterator[Row]:
    """Yield the import beside that of redis, and the callback with its parts."""
    with bench.server() as server:
        with closing(connect(server.url, timeout=60)) as client:
            counter = AttemptCounter(client)
            counter.confirm(counter.claim("daily_load", "run", generation=0, max_attempts=3))
        # Once for the bytecode, which an installed package has.
        for forks in (1, bench.counts.forks):
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmark.forks", server.url, str(forks)],
                cwd=ROOT,
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""},
                capture_output=True,
                text=True,
                check=False,
            )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    took = json.loads(done.stdout.splitlines()[-1])
    ms = {name: 1e3 * seconds for name, seconds in took.items()}
    yield Row(
        "from dag_retry import DagRetry / import redis, in a process that has airflow.sdk",
        {"": took["ours"] / took["redis"]},
        0.05,
        note=f"{ms['ours']:.2f} ms and {ms['redis']:.1f} ms",
        why="11 modules of ours; Airflow's commands, which load those of providers, have them before they fork a parse",
    )
    yield Row("… of redis and requests, loaded by it", {"": took["heavy"]}, 0)
    parts = {
        "import redis": ms["part_redis"],
        "our modules with it": ms["part_connection"],
        "first use of Airflow's modules": ms["part_first"] - ms["part_again"],
        "guard, connect, claim, count, log": ms["part_again"],
    }
    yield Row("a callback that loses, whole, in such a process", {"": ms["callback"]}, 70, "ms", why="see its parts")
    yield Row("… its parts", parts, unit="ms")
