"""A barrier for the tasks of a Dag, so that the branches of a run fail at the same moment."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote


def wait_for_siblings(dag_run: Any, branch: str, *, branches: int, timeout: float = 30.0) -> None:
    """Wait until all branches of a run have begun.

    Each branch leaves a file in a folder of this run and generation, and waits for the files of the others. So the
    tasks must share a disk, as with Airflow's LocalExecutor.

    :param dag_run: the context's ``dag_run``.
    :param branch: the name of the branch that waits.
    :param branches: the number of branches. The executor must have as many slots.
    :param timeout: seconds after which the branch goes on alone.
    """
    root = Path(os.environ.get("AIRFLOW_HOME", tempfile.gettempdir())) / "barrier"
    folder = root / quote(f"{dag_run.dag_id} {dag_run.run_id} {dag_run.clear_number}", safe="")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / branch).touch()
    deadline = time.monotonic() + timeout
    while len(list(folder.iterdir())) < branches and time.monotonic() < deadline:
        time.sleep(0.02)
