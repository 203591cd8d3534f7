"""Dags whose runs fail while the way to Airflow, Airflow's API server, Redis or a hook is out of order."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from dag_retry import DagRetry
from tests.live.gate import wait_at_gate

OUTAGES = ("password", "ingress", "server", "redis")
"""The outages, each with a Dag of its name. Its runs fail during the outage, and succeed at the next attempt."""


@task
def branch(name: str, dag_run: Any = None) -> None:
    wait_at_gate(dag_run, f"{dag_run.run_id}-{name}")
    if dag_run.clear_number == 0:
        raise TimeoutError(name)


@task
def hopeless() -> None:
    raise TimeoutError


for outage in OUTAGES:
    retry = DagRetry(max_attempts=2)
    with DAG(outage, schedule=None, max_active_runs=100, **retry.dag_args(default_args={"retries": 0})):
        for name in ("a", "b"):
            branch.override(task_id=name)(name)

with DAG("mail", schedule=None, max_active_runs=100, **DagRetry(max_attempts=1).dag_args(default_args={"retries": 0})):
    hopeless()
