"""Contexts as Airflow gives them to callbacks (airflow-core `processor.py`, task SDK `task_runner.py`)."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def dag_run(generation: int = 0, dag_id: str = "daily_load", run_id: str = "run") -> DagRun:
    return DagRun.model_construct(
        dag_id=dag_id,
        run_id=run_id,
        logical_date=NOW,
        run_after=NOW,
        clear_number=generation,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
    )


def ti(**values: Any) -> Any:
    defaults = {
        "id": "try-0",
        "task_id": "branch_b",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 0,
        "state": "failed",
    }
    return SimpleNamespace(**(defaults | values))


def task_failed(generation: int = 0, **values: Any) -> dict[str, Any]:
    """A task failed, in its worker."""
    run = dag_run(generation)
    return {
        "dag": SimpleNamespace(dag_id=run.dag_id),
        "dag_run": run,
        "run_id": run.run_id,
        "ti": ti(**{"id": f"try-{generation}"} | values),
        "task": SimpleNamespace(task_id="branch_b"),
        "exception": TimeoutError("too slow"),
    }


def heartbeat_timeout(generation: int = 0, **values: Any) -> dict[str, Any]:
    """A task's worker stopped sending heartbeats. The dag processor calls back, and knows no state."""
    context = task_failed(generation, **{"state": None} | values)
    del context["exception"]
    return context


def dag_failed(generation: int = 0, reason: str = "task_failure") -> dict[str, Any]:
    """The run failed; `ti` is merely its last one."""
    context = task_failed(generation, task_id="last", state=None) | {"reason": reason}
    del context["exception"]
    return context


def dag_succeeded(generation: int = 0) -> dict[str, Any]:
    return dag_failed(generation, reason="success")


def without_run(reason: str) -> dict[str, Any]:
    """What a Dag's callback gets where the last task has no Dag version."""
    return {"dag": SimpleNamespace(dag_id="daily_load"), "run_id": "run", "reason": reason}
