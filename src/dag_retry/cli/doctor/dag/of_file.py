"""What Airflow's API would tell of a Dag, taken from the Dag itself: for a doctor without a login."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dag_retry._airflow.client import JsonObject


def details(dag: Any) -> JsonObject:
    """Return those details of a Dag that the checks read.

    :param dag: the Dag, as its file made it.
    """
    return {
        "dag_id": dag.dag_id,
        "max_active_runs": dag.max_active_runs,
        "max_active_tasks": dag.max_active_tasks,
        "max_consecutive_failed_dag_runs": dag.max_consecutive_failed_dag_runs,
        "tags": [{"name": tag} for tag in dag.tags],
        "owners": sorted({task.owner for task in dag.tasks}),
        "params": {name: {"value": dag.params.get_param(name).value} for name in dag.params},
        "default_args": {"has_on_failure_callback": "on_failure_callback" in dag.default_args},
    }


def tasks(dag: Any) -> list[JsonObject]:
    """Return what the checks read of a Dag's tasks.

    :param dag: the Dag, as its file made it.
    """
    return [
        {
            "task_id": task.task_id,
            "is_mapped": task.is_mapped,
            "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
            "downstream_task_ids": sorted(task.downstream_task_ids),
            "depends_on_past": task.depends_on_past,
            "retries": task.retries,
            "retry_delay": _parts(task.retry_delay),
        }
        for task in dag.tasks
    ]


def _parts(delay: timedelta | float) -> dict[str, int]:
    """Return a delay as Airflow's API tells it.

    :param delay: a ``timedelta``, or seconds, as the Dag's file says.
    """
    whole = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
    return {"days": whole.days, "seconds": whole.seconds, "microseconds": whole.microseconds}
