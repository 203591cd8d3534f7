"""Run the demo: ``python -m dag_retry.demo``. Exit status 0 if all came out as promised, 1 if not, 130 if stopped."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from dag_retry.demo.airflow import LiveAirflow
    from dag_retry.demo.redis_server import DemoRedis

DAGS = Path(__file__).parent / "dags"
ENDINGS = frozenset({"succeeded", "exhausted", "blocked"})
PATIENCE = 120.0
"""Seconds that the runs may take; on two cores they take about 30."""
QUIET = 10.0
"""Seconds without any news after which nothing more is expected: late callbacks have had their say."""
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the three example Dags on a live Airflow, and compare what came of them with what is promised.

    :return: the exit status.
    """
    try:
        for distribution in ("apache-airflow", "fakeredis"):
            version(distribution)
    except PackageNotFoundError as error:
        print(f"{error.name} is not installed: pip install 'airflow-dag-retry[demo]'", file=sys.stderr)
        return 1
    for asked in _STOP:
        signal.signal(asked, _stop)
    try:
        return _demo()
    except KeyboardInterrupt:
        print("stopped; everything is removed", file=sys.stderr)
        return 130


def _stop(number: int, frame: FrameType | None) -> None:
    """Begin to clean up, once: asked again while it lasts (some seconds), nothing may be left behind."""
    for asked in _STOP:
        signal.signal(asked, signal.SIG_IGN)
    raise KeyboardInterrupt


def _demo() -> int:
    from dag_retry.demo.airflow import AirflowError, LiveAirflow
    from dag_retry.demo.redis_server import demo_redis
    from dag_retry.demo.report import PROMISES, errors, operator_view, result, table

    say = _Narrator()
    with demo_redis() as redis, tempfile.TemporaryDirectory(prefix="dag-retry-demo-") as home:
        say(f"starting Airflow {version('apache-airflow')} in {home} …")
        settings = {"REDIS_URL": redis.url, "NAMESPACE": redis.namespace}
        env = {f"AIRFLOW__DAG_RETRY__{name}": value for name, value in settings.items()}
        try:
            with LiveAirflow(Path(home), DAGS, env=env) as airflow:
                say(f"Airflow is up at {airflow.url}")
                runs = {dag_id: airflow.trigger(dag_id) for dag_id in PROMISES}
                _watch(airflow, redis, runs, say)
                results = [result(airflow, redis, *run) for run in runs.items()]
                print(f"\n{table(results)}\n\n{operator_view(redis, *next(iter(runs.items())))}\n")
                for found in results:
                    if found.deviations():
                        print("\n".join(errors(airflow, found.dag_id, runs[found.dag_id])))
                say("stopping …")
        except AirflowError as error:
            print(error, file=sys.stderr)
            return 1
    deviations = [deviation for result in results for deviation in result.deviations()]
    say("all came out as promised" if not deviations else "NOT as promised:")
    for deviation in deviations:
        print(f"  {deviation}")
    return 1 if deviations else 0


def _watch(airflow: LiveAirflow, redis: DemoRedis, runs: Mapping[str, str], say: _Narrator) -> None:
    """Tell what happens until every run has ended and nothing has happened for a while, or patience ends."""
    seen: dict[str, tuple[str, int]] = {}
    ended: set[str] = set()
    last: str | None = None
    begin = news = time.monotonic()
    while time.monotonic() < begin + PATIENCE and (len(ended) < len(runs) or time.monotonic() < news + QUIET):
        for dag_id, run_id in runs.items():
            run = airflow.dag_run(dag_id, run_id)
            if seen.get(dag_id) != (run.state, run.clear_number):
                seen[dag_id] = (run.state, run.clear_number)
                news = time.monotonic()
                say(f"{dag_id:16}  Airflow: {run.state}, clear_number {run.clear_number}")
        for entry, event in redis.events(after=last):
            last, news = entry, time.monotonic()
            if event["event"] in ENDINGS:
                ended.add(event["dag_id"])
            say(f"{event['dag_id']:16}  Redis:   {_told(event)}")
        airflow.check_alive()
        time.sleep(0.2)


def _told(event: Mapping[str, str]) -> str:
    who = f"{event['task_id']}'s callback" if event["level"] == "task" else "the Dag's callback"
    why = "" if event["reason"] == event["event"] else f" ({event['reason'].replace('_', ' ')})"
    return (
        f"{event['event']}{why}: attempt {event['attempt']} of {event['max_attempts']}, "
        f"generation {event['generation']}, {who}"
    )


class _Narrator:
    """Prints lines with the seconds since it began."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{time.monotonic() - self._begin:6.1f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
