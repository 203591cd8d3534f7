"""Dags for each way to clear: ``_rest`` has no route, ``_own`` no credentials; the others are cleared atomically."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.airflow_server.settings import PASSWORDS, USERNAME
from tests.demo.barrier import wait_for_siblings
from tests.live.elsewhere import WITHOUT_CREDENTIALS, Elsewhere, with_options

WAYS = ("", "_rest", "_own")


def retry_by(way: str, **policy: Any) -> DagRetry:
    return Elsewhere(WITHOUT_CREDENTIALS if way == "_own" else {}, **policy)


def clear_by_hand(context: Any) -> bool:
    """Clear the run as a person may do while a callback is at work, and say that the failure is retried."""
    url = os.environ["AIRFLOW__API__BASE_URL"]
    passwords = json.loads((Path(os.environ["AIRFLOW_HOME"]) / PASSWORDS).read_text())
    login = {"username": USERNAME, "password": passwords[USERNAME]}
    token = requests.post(f"{url}/auth/token", json=login, timeout=30).json()["access_token"]
    run = f"{url}/api/v2/dags/{context['dag'].dag_id}/dagRuns/{quote(context['run_id'], safe='')}"
    header = {"Authorization": f"Bearer {token}"}
    requests.post(f"{run}/clear", json={"dry_run": False}, headers=header, timeout=30).raise_for_status()
    return True


@task
def branch(name: str, dag_run: Any = None, *, failures: int = 1) -> None:
    wait_for_siblings(dag_run, name, branches=3)
    if dag_run.clear_number < failures:
        raise TimeoutError(name)


@task
def killed(dag_run: Any = None) -> None:
    if dag_run.clear_number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@task
def cleared_by_hand(dag_run: Any = None) -> None:
    if dag_run.clear_number == 0:
        raise TimeoutError


for way in WAYS:
    retry = retry_by(way)
    with DAG(f"recover{way}", schedule=None, **retry.dag_args(default_args={"retries": 0})):
        for name in ("a", "b", "c"):
            branch.override(task_id=f"branch_{name}")(name)
    with DAG(f"exhaust{way}", schedule=None, **retry.dag_args(default_args={"retries": 0})):
        for name in ("a", "b", "c"):
            branch.override(task_id=f"branch_{name}")(name, failures=9)
    with DAG(f"killed{way}", schedule=None, **retry.dag_args(default_args={"retries": 0})):
        killed()
    meddled = retry_by(way, retry_if=clear_by_hand)
    with DAG(f"foreign_clear{way}", schedule=None, **meddled.dag_args(default_args={"retries": 0})):
        cleared_by_hand()

with DAG("sweep_without_credentials", schedule=None):

    @task
    def sweep() -> None:
        from dag_retry.sweeper.service import sweep_once

        with with_options(WITHOUT_CREDENTIALS):
            sweep_once()

    sweep()
