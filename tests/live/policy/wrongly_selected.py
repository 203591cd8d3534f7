"""A Dag that the section selects, where a setting of the section is wrong."""

from __future__ import annotations

import os

from airflow.sdk import DAG, task

with DAG("wrongly_selected", schedule=None, tags=["retried"]):

    @task
    def fail() -> None:
        raise TimeoutError

    fail()

# Airflow parses each file in a process of its own, and asks policies after that.
os.environ["AIRFLOW__DAG_RETRY__MAX_ATTEMPTS"] = "many"
