"""Run the demo: ``python -m tests.demo``. Exit status 0: all came out as promised; 1: it did not; 130: stopped.

With ``--record`` it writes what the runs left into the file from which the picture is drawn.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from tests.airflow_server import AirflowError, LiveAirflow
from tests.demo import DAGS, recording
from tests.demo.database import demo_database
from tests.demo.redis_server import DemoRedis, demo_redis
from tests.demo.report import PROMISES, errors, legend, operator_view, result, table

ENDINGS = frozenset({"succeeded", "exhausted", "blocked"})
TIMEOUT = 120.0
"""Seconds that the runs may take. On two cores they take about 30."""
QUIET = 10.0
"""Seconds without news after which the demo expects no more late callbacks."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the three Dags on a live Airflow, and compare their results with the promised ones.

    :return: the exit status.
    """
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        return _demo()
    except KeyboardInterrupt:
        print("stopped; everything is removed", file=sys.stderr)
        return 130


def _stop(number: int, frame: FrameType | None) -> None:
    """Begin the cleanup. It takes some seconds, and no second signal may interrupt it."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _demo() -> int:
    log = _Log()
    with (
        tempfile.TemporaryDirectory(prefix="dag-retry-demo-") as folder,
        demo_redis(Path(folder) / "redis") as redis,
        demo_database() as database,
    ):
        on = f"{'PostgreSQL' if database else 'SQLite'} and {redis.name}"
        log(f"starting Airflow {version('apache-airflow')} on {on} in {folder}: about half a minute …")
        settings = {"REDIS_URL": redis.url, "NAMESPACE": redis.namespace}
        env = {f"AIRFLOW__DAG_RETRY__{name}": value for name, value in settings.items()}
        try:
            with LiveAirflow(Path(folder) / "airflow", DAGS, database=database, env=env) as airflow:
                log(f"Airflow is up at {airflow.url}")
                runs = {dag_id: airflow.trigger(dag_id) for dag_id in PROMISES}
                _watch(airflow, redis, runs, log)
                results = [result(airflow, redis, *run) for run in runs.items()]
                print(f"\n{table(results)}\n\n{legend(results)}\n\n{operator_view(redis, *next(iter(runs.items())))}\n")
                for found in results:
                    if found.deviations():
                        print("\n".join(errors(airflow, found.dag_id, runs[found.dag_id])))
                if "--record" in sys.argv[1:]:
                    recording.record(airflow, redis, runs)
                log("stopping …")
        except AirflowError as error:
            print(error, file=sys.stderr)
            return 1
    deviations = [deviation for result in results for deviation in result.deviations()]
    log("all came out as promised: now a Dag of your own, see README.md" if not deviations else "NOT as promised:")
    for deviation in deviations:
        print(f"  {deviation}")
    return 1 if deviations else 0


def _watch(airflow: LiveAirflow, redis: DemoRedis, runs: Mapping[str, str], log: _Log) -> None:
    """Print all changes until every run has ended and there is no news for a while, or until the timeout."""
    seen: dict[str, tuple[str, int]] = {}
    ended: set[str] = set()
    last: str | None = None
    begin = news = time.monotonic()
    while time.monotonic() < begin + TIMEOUT and (len(ended) < len(runs) or time.monotonic() < news + QUIET):
        for dag_id, run_id in runs.items():
            run = airflow.dag_run(dag_id, run_id)
            if seen.get(dag_id) != (run.state, run.clear_number):
                seen[dag_id] = (run.state, run.clear_number)
                news = time.monotonic()
                log(f"{dag_id:16}  Airflow: {run.state}, clear_number {run.clear_number}")
        for entry, event in redis.events(after=last):
            last, news = entry, time.monotonic()
            if event["event"] in ENDINGS:
                ended.add(event["dag_id"])
            log(f"{event['dag_id']:16}  Redis:   {_described(event)}")
        airflow.components.check_alive()
        time.sleep(0.2)


def _described(event: Mapping[str, str]) -> str:
    callback = f"{event['task_id']}'s callback" if event["level"] == "task" else "the Dag's callback"
    reason = "" if event["reason"] == event["event"] else f" ({event['reason'].replace('_', ' ')})"
    return (
        f"{event['event']}{reason}: attempt {event['attempt']} of {event['max_attempts']}, "
        f"generation {event['generation']}, {callback}"
    )


class _Log:
    """Prints lines with the seconds since its creation."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, line: str) -> None:
        print(f"{time.monotonic() - self._begin:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
