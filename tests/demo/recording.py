"""What a demo's runs left in Redis and in Airflow's database, with times. ``picture.py`` draws it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.airflow_server import LiveAirflow
from tests.demo.redis_server import DemoRedis
from tests.demo.report import result

DRAWN = ("branches_recover", "branches_exhaust")
FILE = Path(__file__).parent / "recorded.json"
"""The recording from which the picture in the repository is drawn."""


def record(airflow: LiveAirflow, redis: DemoRedis, runs: Mapping[str, str]) -> None:
    """Write into :data:`FILE` what the runs left.

    :param airflow: the Airflow of the runs.
    :param redis: the Redis with their events.
    :param runs: the run_id of each Dag.
    """
    found = {dag_id: _run(airflow, redis, dag_id, run_id) for dag_id, run_id in runs.items() if dag_id in DRAWN}
    recorded = {"airflow": version("apache-airflow"), "runs": found}
    FILE.write_text(json.dumps(recorded, indent=1) + "\n")


def _run(airflow: LiveAirflow, redis: DemoRedis, dag_id: str, run_id: str) -> dict[str, Any]:
    """Return one run: its end, its events and its tries. Times are milliseconds since its first try began."""
    found = result(airflow, redis, dag_id, run_id)
    tries = airflow.query(
        " UNION ALL ".join(
            f"SELECT task_id, try_number, state, start_date, end_date FROM {table}"
            " WHERE dag_id = :dag_id AND run_id = :run_id"
            for table in ("task_instance", "task_instance_history")
        )
        + " ORDER BY task_id, try_number",
        dag_id=dag_id,
        run_id=run_id,
    )
    begin = min(_ms(each["start_date"]) for each in tries)
    return {
        "state": found.state,
        "clears": found.clears,
        "alerts": found.alerts,
        "tries": [
            {
                "task_id": each["task_id"],
                "try_number": each["try_number"],
                "state": each["state"],
                "begin": _ms(each["start_date"]) - begin,
                "end": _ms(each["end_date"]) - begin,
            }
            for each in tries
        ],
        "events": [
            {
                "event": event["event"],
                "at": int(entry.partition("-")[0]) - begin,
                "generation": int(event["generation"]),
                "attempt": int(event["attempt"]),
                "max_attempts": int(event["max_attempts"]),
                "level": event["level"],
                "task_id": event["task_id"],
                "reason": event["reason"],
            }
            for entry, event in redis.events()
            if event["run_id"] == run_id and event["dag_id"] == dag_id
        ],
    }


def _ms(time: datetime | str) -> int:
    """Return a time of Airflow's database, which is UTC, as Unix time. SQLite has it as text."""
    found = datetime.fromisoformat(str(time))
    return round((found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp() * 1000)
