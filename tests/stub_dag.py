"""What Airflow's API tells of a Dag, made of the Dag's file by Airflow's own models."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from airflow.api_fastapi.core_api.datamodels.tasks import TaskResponse
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import Asset
from airflow.serialization.serialized_objects import DagSerialization

CASES = Path(__file__).parent / "live" / "cases"
FILE = CASES / "for_the_doctor.py"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
BUNDLE = "dags-folder"
BUNDLES = json.dumps([{"name": BUNDLE, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(CASES)}}])
"""``[dag_processor] dag_bundle_config_list``, in which the file is found."""


@cache
def dags() -> dict[str, Any]:
    """Return the Dags of the file."""
    bag = BundleDagBag(dag_folder=str(FILE), bundle_path=CASES, bundle_name=BUNDLE)
    assert bag.import_errors == {}
    return dict(bag.dags)


def details(dag_id: str) -> dict[str, Any]:
    """Return what matters of ``GET /dags/{dag_id}/details``."""
    dag = dags()[dag_id]
    serialized = _serialized(dag_id)
    return {
        "dag_id": dag_id,
        "bundle_name": BUNDLE,
        "relative_fileloc": FILE.name,
        "is_paused": False,
        "max_consecutive_failed_dag_runs": 0,
        "max_active_tasks": dag.max_active_tasks,
        "max_active_runs": dag.max_active_runs,
        "tags": [{"name": tag, "dag_id": dag_id} for tag in dag.tags],
        "owners": sorted({task.owner for task in dag.tasks}),
        "params": {name: json.loads(json.dumps(param.dump())) for name, param in serialized.params.items()},
        "default_args": {"has_on_failure_callback": True} if "on_failure_callback" in dag.default_args else {},
    }


def tasks(dag_id: str) -> list[dict[str, Any]]:
    """Return ``tasks`` of ``GET /dags/{dag_id}/tasks``."""
    return [
        TaskResponse.model_validate(task, from_attributes=True).model_dump(mode="json", by_alias=True)
        for task in _serialized(dag_id).tasks
    ]


def assets(dag_id: str) -> list[dict[str, Any]]:
    """Return ``assets`` of ``GET /assets?dag_ids={dag_id}``."""
    every = dags()
    produced = {
        outlet.name: [{"dag_id": dag_id, "task_id": task.task_id}]
        for task in every[dag_id].tasks
        for outlet in task.outlets
        if isinstance(outlet, Asset)
    }
    readers = {name: [{"dag_id": "reader"}] for name in ("published", "raw")}
    return [
        {"name": name, "producing_tasks": producers, "scheduled_dags": readers.get(name, [])}
        for name, producers in produced.items()
    ]


def what_matters(details: dict[str, Any], tasks: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return what the doctor reads of a Dag and of its tasks, to be compared. How long a delay is, a setting says."""
    read = {
        "dag_id", "bundle_name", "relative_fileloc", "is_paused", "owners", "max_consecutive_failed_dag_runs",
        "max_active_tasks", "max_active_runs", "params",
    }  # fmt: skip
    of_dag = {name: details[name] for name in read} | {
        "tags": [tag["name"] for tag in details["tags"]],
        "in_defaults": (details["default_args"] or {}).get("has_on_failure_callback", False),
    }
    of_tasks = {
        task["task_id"]: {
            name: sorted(task[name]) if isinstance(task[name], (list, dict)) else task[name]
            for name in (
                "depends_on_past", "downstream_task_ids", "is_mapped", "retries", "retry_delay", "trigger_rule"
            )
        }
        for task in tasks
    }  # fmt: skip
    return of_dag, of_tasks


@cache
def _serialized(dag_id: str) -> Any:
    return DagSerialization.from_dict(DagSerialization.to_dict(dags()[dag_id]))
