"""A gate for the tasks of a Dag: they wait before it until the test has done to Redis or Airflow what it wants."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def gate(home: Path, dag_id: str, generation: int) -> Path:
    """Return the folder in which each branch of a generation leaves a file; beside it stands what opens the gate."""
    return home / "gates" / f"{dag_id}-{generation}"


def wait_at_gate(dag_run: Any, branch: str) -> None:
    folder = gate(Path(os.environ["AIRFLOW_HOME"]), dag_run.dag_id, dag_run.clear_number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / branch).touch()
    while not folder.with_suffix(".open").exists():
        time.sleep(0.05)
