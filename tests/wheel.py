"""The package as pip has installed it: what the wheel holds is the source, whole. `make wheel` runs this."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

import fakeredis

import dag_retry
from dag_retry import AttemptCounter, Verdict

ROOT = Path(__file__).parents[1]
SOURCE, LUA = ROOT / "src" / "dag_retry", ROOT / "lua"
HERE = Path(dag_retry.__file__).parent


def source() -> dict[Path, Path]:
    """Return what the wheel must hold, by where the file lies in the package."""
    code = {file.relative_to(SOURCE): file for file in SOURCE.rglob("*") if file.is_file()}
    lua = {Path("lua") / file.name: file for file in LUA.iterdir()}
    return {place: file for place, file in (code | lua).items() if file.suffix != ".pyc"}


def test_this_is_the_wheel() -> None:
    assert HERE != SOURCE


def test_it_holds_the_source_and_nothing_else() -> None:
    held = [Path(file) for file in files("airflow-dag-retry") or () if file.suffix != ".pyc"]
    package = {file.relative_to("dag_retry") for file in held if file.parts[0] == "dag_retry"}
    assert package == source().keys()
    beside = {file.parts[0] for file in held if file.parts[0] != "dag_retry"}
    assert beside <= {"..", f"airflow_dag_retry-{dag_retry.__version__}.dist-info"}


def test_each_file_is_the_same() -> None:
    assert [place for place, file in source().items() if (HERE / place).read_bytes() != file.read_bytes()] == []


def test_its_scripts_count() -> None:
    counter = AttemptCounter(fakeredis.FakeRedis())
    assert counter.claim("daily_load", "run", generation=0, max_attempts=1).verdict is Verdict.WON
