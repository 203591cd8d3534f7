"""The sweeper as a Dag."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from dag_retry._callback.waiting import SWEEPER_DAG

if TYPE_CHECKING:
    from airflow.sdk import DAG


def sweeper_dag(**dag_kwargs: Any) -> DAG:
    """Return the Dag ``dag_retry_sweeper``. Each of its runs is one sweep.

    The Dag runs every minute. It also runs when a delay is over: the callback that won makes a run for that time.

    :param dag_kwargs: arguments of the Dag, such as ``schedule`` or ``tags``. They replace ours.
    """
    from airflow.sdk import DAG, DeltaTriggerTimetable, task

    arguments: dict[str, Any] = {
        "schedule": DeltaTriggerTimetable(timedelta(minutes=1)),
        "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "catchup": False,
        "is_paused_upon_creation": False,
        "doc_md": __doc__,
    }
    with DAG(SWEEPER_DAG, **arguments | dag_kwargs) as dag:

        @task(retries=0)
        def sweep() -> None:
            from dag_retry.sweeper.service import sweep_once

            sweep_once()

        sweep()
    return dag
