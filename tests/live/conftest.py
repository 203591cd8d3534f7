"""A live Airflow with a real Redis: on PostgreSQL, and there an older and a newer one too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.airflow_server import LiveAirflow, Run
from tests.live.gate import gate
from tests.postgres import postgres_server
from tests.servers import AOF, RedisServer

DAGS = Path(__file__).parent / "plain" / "dags"
ROOT = Path(__file__).parents[2]

RUN = "manual__2026-01-01T00:00:00+00:00"
# uv takes a beta only of what is named.
_BETA = ("apache-airflow==3.4.0b2", "apache-airflow-core==3.4.0b2", "apache-airflow-task-sdk==1.4.0b2")
VERSIONS = {
    "airflow-3.1": ("2026-04-01T00:00:00Z", "apache-airflow==3.1.8"),
    "airflow-3.2": ("2026-06-10T00:00:00Z", "apache-airflow==3.2.2"),
    "airflow-3.4": ("2026-11-20T00:00:00Z", *_BETA),
}
"""The Airflows beside ours: the end of the releases that are installed, and what is asked for."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test of another Airflow, and on SQLite all but those of clears at the same time."""
    kinds = item.nodeid.partition("[")[2]
    elsewhere = any(kind in kinds for kind in VERSIONS)
    if elsewhere or ("sqlite" in kinds and "test_together" not in item.nodeid):
        item.add_marker(pytest.mark.matrix)


@dataclass
class Live:
    """An Airflow, its Redis, and what is asked of both."""

    airflow: LiveAirflow
    redis: RedisServer
    client: Any
    runs: set[str] = field(default_factory=set)
    ended: dict[str, Run] = field(default_factory=dict)

    def start(self, *dag_ids: str) -> None:
        """Trigger a run of each Dag, once."""
        for dag_id in dag_ids:
            if dag_id not in self.runs:
                self.runs.add(dag_id)
                self.airflow.trigger(dag_id, RUN)

    def rest(self, dag_id: str, state: str, status: str | None, base: str = "0") -> Run:
        """Wait until Airflow has this state for the run, and its record that status (None: there is no record)."""
        self.start(dag_id)

        def at_rest(run: Run) -> bool:
            record = self.record(dag_id)
            told = record.get("due_at", "0") == "0"
            return run.state == state and (record.get("status"), record.get("base", base), told) == (status, base, True)

        self.ended[dag_id] = self.airflow.wait(dag_id, RUN, until=at_rest, steady=0, timeout=300)
        return self.ended[dag_id]

    def held(self, dag_id: str, reason: str) -> Run:
        """Wait until the run has failed, and waits for a sweeper for this reason."""
        self.start(dag_id)
        wanted = ("failed", "waiting", reason)

        def is_held(run: Run) -> bool:
            record = self.record(dag_id)
            return (run.state, record.get("status"), record.get("reason")) == wanted

        return self.airflow.wait(dag_id, RUN, until=is_held, steady=0)

    def nothing_happens(self) -> None:
        """Check that runs at rest stay so: a Dag-level callback comes seconds after its run has ended."""
        before = dict(self.ended)
        assert before
        self.airflow.wait(next(iter(before)), RUN, steady=12)
        assert {dag_id: self.airflow.dag_run(dag_id, RUN) for dag_id in before} == before

    def record(self, dag_id: str, run_id: str = RUN) -> dict[str, str]:
        return dict(self.client.hgetall(f"{{dag-retry}}:v1:run:{dag_id}:{run_id}"))

    def wait_at_gate(self, dag_id: str, generation: int, branches: int = 2) -> None:
        """Wait until all branches of a generation stand before its gate."""
        self.start(dag_id)
        folder = gate(self.airflow.home, dag_id, generation)
        self.airflow.wait(
            dag_id, RUN, until=lambda _: folder.is_dir() and len(list(folder.iterdir())) >= branches, steady=0
        )

    def open_gate(self, dag_id: str, generation: int) -> None:
        """Let the branches of a generation go on."""
        opened = gate(self.airflow.home, dag_id, generation).with_suffix(".open")
        opened.parent.mkdir(exist_ok=True)
        opened.touch()

    def entries(self, dag_id: str) -> list[dict[str, str]]:
        entries = self.client.xrange("{dag-retry}:v1:events")
        return [fields for _, fields in entries if fields["dag_id"] == dag_id]

    def moments(self, dag_id: str, run_id: str = RUN) -> dict[tuple[str, int], int]:
        """Return when the events of a run came, in ms since the epoch, each by its name and generation."""
        return {
            (entry["event"], int(entry["generation"])): int(entry_id.partition("-")[0])
            for entry_id, entry in self.client.xrange("{dag-retry}:v1:events")
            if (entry["dag_id"], entry["run_id"]) == (dag_id, run_id)
        }

    def events(self, dag_id: str) -> list[str]:
        return [entry["event"] for entry in self.entries(dag_id)]

    def told(self, dag_id: str, *expected: str) -> None:
        """Check what hooks were told, in order. The last may come a moment after the record says so."""

        def so_far(_: Run) -> bool:
            return len(self._told(dag_id)) >= len(expected)

        self.airflow.wait(dag_id, RUN, until=so_far, steady=0)
        assert self._told(dag_id) == list(expected)

    def _told(self, dag_id: str) -> list[str]:
        file = self.airflow.home / "told"
        lines = [line.split(" ", 1) for line in file.read_text().splitlines()] if file.exists() else []
        return [what for told, what in lines if told == dag_id]

    def task_logs(self, dag_id: str) -> str:
        return "\n".join(log.read_text() for log in self.airflow.task_logs(dag_id, RUN))

    def dag_level_logs(self, dag_id: str) -> str:
        """What the callbacks of a Dag left in the log of the dag processor."""
        lines = [line for log in self.airflow.dag_processor_logs() for line in log.read_text().splitlines()]
        return "\n".join(line for line in lines if dag_id in line)


@pytest.fixture(scope="package")
def postgres() -> Iterator[Callable[[str], str]]:
    """Make an empty database on a PostgreSQL server of our own: called with its name, it returns its URL."""
    with postgres_server() as database:
        yield database


def environment(kind: str) -> Path:
    """Return the interpreter of another Airflow's environment, with this package in it. It is made once.

    Its libraries are those of its day: today's FastAPI breaks the api-server of 3.2.
    """
    folder = ROOT / f".venv-{kind}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        newest, *airflow = VERSIONS[kind]
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
        beside = ("redis", "requests", "psycopg2-binary", "asyncpg")
        subprocess.run([*install, "--exclude-newer", newest, *airflow, *beside], check=True, cwd=folder)
        subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True, cwd=folder)
        ready.touch()
    return python


@contextmanager
def live_airflow(
    folder: Path,
    dags: Path,
    env: Mapping[str, str] | None = None,
    *,
    celery_results: str | None = None,
    **options: Any,
) -> Iterator[Live]:
    """Run an Airflow with these Dags, and a Redis for it.

    With a database for Celery's results it is the CeleryExecutor, and that Redis its broker, in another db.
    """
    with RedisServer(folder, *AOF) as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        settings = {
            "AIRFLOW__DAG_RETRY__REDIS_URL": server.url,
            "AIRFLOW__DAG_RETRY__MAX_ATTEMPTS": "2",
            # The how-to's Dag sets none, and would wait for 5 minutes before each retry.
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
            "AIRFLOW__CORE__PARALLELISM": "14",
            # An Airflow with 15 Dag files that does nothing else takes a sixth of a core to parse them every 20 s.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".*",
            # A task that falls silent is noticed by then, and not after 5 minutes.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            # So long may 3.4.0b2 hold a task that a clear has stopped, though its process has ended. The default is
            # 60 s, in which the heartbeat timeout above comes; and there that ends the scheduler (IntegrityError).
            "AIRFLOW__CORE__KILLED_TASK_CLEANUP_TIME": "5",
        }
        if celery_results:
            settings |= {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": server.url.removesuffix("0") + "1",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{celery_results}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "14",
            }
            options["components"] = {"celery-worker": ["celery", "worker", "--skip-serve-logs"]}
        with LiveAirflow(folder / "home", dags, env=settings | dict(env or {}), **options) as airflow:
            yield Live(airflow, server, client)
