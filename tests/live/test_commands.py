"""The documents' commands that install or start something, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import README, ROOT, blocks

pytestmark = pytest.mark.live


def test_install(tmp_path: Path) -> None:
    (code,) = blocks("sh", "pip install", README)
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--seed", str(tmp_path)], check=True)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(tmp_path)}
    subprocess.run(["sh", "-ec", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    check = "from dag_retry import DagRetry; DagRetry(); import dag_retry; print(dag_retry.__file__)"
    done = subprocess.run(
        [tmp_path / "bin" / "python", "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))


def test_demo() -> None:
    (code,) = blocks("sh", "make demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "DAG_RETRY"))}
    done = subprocess.run(["sh", "-ec", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (promised,) = (block for block in blocks("text") if "branches_recover" in block)
    assert rows(promised).items() <= rows(done.stdout).items()


VARYING = ("failures", "lost")
"""Columns of the demo: a branch that a clear stops just before it fails is not counted there (tests/README.md)."""


def rows(table: str) -> dict[str, dict[str, str]]:
    """Of a table that the demo printed, by Dag, the columns that are the same each time."""
    cells = [re.split(r" {2,}", line) for line in table.splitlines()]
    (head,) = (line for line in cells if line[0] == "Dag")
    found = [dict(zip([*head, ""], line, strict=True)) for line in cells if len(line) == len(head) + 1]
    return {row["Dag"]: {name: value for name, value in row.items() if name not in VARYING} for row in found}
