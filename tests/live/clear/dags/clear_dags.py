"""Dags that fail, without our callbacks: the tests ask the route for each clear."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

HOW: dict[str, Any] = {"schedule": None, "default_args": {"retries": 0, "retry_delay": timedelta(0)}}


@task
def load() -> None:
    """Fail, unless the run says otherwise."""
    from airflow.sdk import get_current_context

    run = get_current_context()["dag_run"]
    assert run is not None
    if not (run.conf or {}).get("well"):
        raise ConnectionError


@task
def hold() -> None:
    """Run until somebody ends it."""
    while not (Path(os.environ["AIRFLOW_HOME"]) / "open").exists():
        time.sleep(0.1)


for name in ("clear_fails", "clear_paused", "clear_newer", "clear_drains", ".."):
    with DAG(name, **HOW):
        load()

with DAG("clear_pauses_itself", max_consecutive_failed_dag_runs=2, **HOW):
    load()

with DAG("clear_branches", **HOW):
    for branch in range(3):
        load.override(task_id=f"load_{branch}")()

with DAG("clear_held", **HOW):
    load()
    hold()

with DAG("clear_times_out", dagrun_timeout=timedelta(seconds=2), **HOW):
    hold.override(task_id="load")()

with DAG("clear_mapped", **HOW):
    load.override(task_id="load").partial().expand_kwargs([{}, {}])

with DAG("clear_backfill", start_date=datetime(2026, 1, 1), catchup=False, **HOW | {"schedule": "@daily"}):
    load()


@task(task_id="load")
def fail_late() -> None:
    time.sleep(5)
    raise ConnectionError


with DAG("clear_fails_late", **HOW):
    fail_late()
