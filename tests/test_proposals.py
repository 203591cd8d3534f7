"""The changes that we propose to Airflow fit the source of the installed one. ``tests/live`` runs them."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.live.clear.proposals import DOCUMENTS, blocks, changed_airflow

AIRFLOW = version("apache-airflow-core")


@pytest.mark.skipif(AIRFLOW != "3.3.2", reason="the changes are to the source of Airflow 3.3.2")
def test_changes_fit(tmp_path: Path) -> None:
    changed_airflow(tmp_path)
    changed = [file for file in (tmp_path / "airflow").rglob("*.py") if not file.is_symlink()]
    assert sorted(str(file.relative_to(tmp_path)) for file in changed) == [
        "airflow/api_fastapi/core_api/datamodels/dag_run.py",
        "airflow/api_fastapi/core_api/routes/public/dag_run.py",
        "airflow/models/taskinstance.py",
    ]
    for file in changed:
        ast.parse(file.read_text(encoding="utf-8"))


def test_reproductions_are_python() -> None:
    for document in DOCUMENTS:
        for code in blocks(document.stem, "python"):
            ast.parse(code)
