"""`make bench` can measure every row: with tiny counts, and without a look at how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmark import table
from tests.benchmark.__main__ import GROUPS, measure
from tests.benchmark.access_log import requests_about
from tests.benchmark.live import HEADINGS, Retried
from tests.benchmark.measuring import TINY
from tests.benchmark.peers import PEERS
from tests.benchmark.plot import plot
from tests.benchmark.table import Row


def test_every_row(tmp_path: Path) -> None:
    report = measure(TINY, tmp_path, list(GROUPS))
    plot(report, tmp_path / "build")
    report.write(tmp_path / "build")
    assert len([row for row in report.rows if row.goal is not None]) == 19
    assert all(figure >= 0 for row in report.rows for figure in row.figures.values())
    assert [peer.name for peer in report.peers] == [peer.name for peer in PEERS]
    assert {peer.winners for peer in report.peers if peer.name in ("dag_retry", "WATCH/MULTI")} == {1}
    assert {file.suffix for file in (tmp_path / "build").iterdir()} == {".txt", ".md", ".json", ".svg", ".png"}
    written = json.loads((tmp_path / "build" / "benchmark.json").read_text())
    assert [row["quantity"] for row in written["rows"]] == [row.quantity for row in report.rows]
    assert all(row.quantity in report.text() and row.quantity in report.markdown() for row in report.rows)


@pytest.mark.parametrize(
    ("figures", "reached"), [({"": 1.3}, True), ({"": 1.304}, True), ({"2": 1.0, "4": 1.31}, False)]
)
def test_a_goal_holds_for_every_figure(figures: dict[str, float], reached: bool) -> None:
    row = Row("a claim / PING", figures, 1.3)
    assert row.reached is reached
    assert ("NOT reached" in row.cells()) is not reached


_RUN = "run_100"
_ROUTE = "/dag-retry-clear/v1", f"'dag_id=atomic_4&run_id={_RUN}'"
_LOGIN = "/auth/token", ""


def _log(file: Path, *requests: tuple[int, tuple[str, str]]) -> Path:
    """Write requests, each with its connection, as Airflow 3.3.2 logs them."""
    line = (
        "2026-11-27T12:00:00.000000Z [info     ] request finished               [http.access] client_addr=127.0.0.1:{} "
        "duration_us=42 loc=http_access_log.py:130 method=POST path={} query={} status_code=200"
    )
    lines = [line.format(connection, *what) for connection, what in requests]
    file.write_text("\n".join(["Dag retry: run_100 of Dag atomic_4: cleared", *lines]))
    return file


@pytest.mark.parametrize(
    ("requests", "counted"),
    [
        pytest.param([], (0, 0, 0), id="none"),
        pytest.param([(1, _LOGIN), (1, _ROUTE)], (1, 1, 0), id="one and a login"),
        pytest.param(
            [(1, _LOGIN), (1, _ROUTE), (1, ("/api/v2/dags/atomic_4", "")), (2, ("/api/v2/dags/atomic_4", ""))],
            (2, 1, 0),
            id="a look at the Dag",
        ),
        pytest.param(
            [(9, ("/dag-retry-clear/v1", "'dag_id=atomic_4&run_id=run_200'")), (8, _LOGIN), (1, _LOGIN), (1, _ROUTE)],
            (1, 1, 0),
            id="others are left out",
        ),
        pytest.param(
            [
                (3, ("/execution/task-instances/0199/run", "")),
                (3, (f"/execution/dag-runs/own_4/{_RUN}", "")),
                (3, ("/execution/dags/own_4", "")),
                (3, ("/execution/task-instances/states", f"'dag_id=own_4&run_ids={_RUN}'")),
                (3, (f"/execution/dag-runs/own_4/{_RUN}/clear", "")),
                (3, ("/execution/task-instances/0199/state", "")),
            ],
            (0, 0, 4),
            id="by the supervisor",
        ),
        pytest.param(
            [
                (5, (f"/execution/variables/dag_run_attempts::recipe_2::{_RUN}", "")),
                (6, _LOGIN),
                (7, (f"/api/v2/dags/recipe_2/dagRuns/{_RUN}/clear", "")),
                (8, _LOGIN),
                (9, (f"/api/v2/dags/recipe_2/dagRuns/{_RUN}/clear", "")),
                (4, _LOGIN),
            ],
            (2, 2, 1),
            id="the recipe",
        ),
        pytest.param(
            [
                (6, _LOGIN),
                (7, (f"/api/v2/dags/recipe_2/dagRuns/{_RUN}/clear", "")),
                (6, ("/execution/task-instances/0199/run", "")),
                (1, _LOGIN),
                (1, _ROUTE),
            ],
            (2, 2, 0),
            id="a task has the address of a login",
        ),
        pytest.param(
            [(1, _LOGIN), (1, _ROUTE), (1, _LOGIN), (1, ("/dag-retry-clear/v1", "'dag_id=dag_4&run_id=run_200'"))],
            (1, 1, 0),
            id="another run has the address",
        ),
    ],
)
def test_requests_of_a_live_run(
    requests: list[tuple[int, tuple[str, str]]], counted: tuple[int, int, int], tmp_path: Path
) -> None:
    assert requests_about(_log(tmp_path / "log", *requests), _RUN) == counted


def test_every_heading_of_the_live_table_has_a_cell() -> None:
    run = Retried(4, "atomic", 51.4, 0.5, 0.6, clears=1, rest=1, logins=1)
    assert run.cells() == ("4", "atomic", "51 ms", "0.5 s", "0.6 s", "1", "1 + 1 login")
    assert len(run.cells()) == len(Retried(64, "recipe", lacking="a process of Airflow ended").cells())
    assert len(run.cells()) == len(HEADINGS)


@pytest.mark.parametrize("name", ["make bench", "make bench-live"])
def test_the_readme_has_a_place_for_each_table(name: str, tmp_path: Path) -> None:
    copied = tmp_path / "README.md"
    before = table.README.read_text(encoding="utf-8")
    copied.write_text(before, encoding="utf-8")
    table.publish(name, "| a | b |\n", copied)
    head, _, others = before.partition(f"<!-- {name} -->")
    tail = others.partition(f"<!-- end of {name} -->")[2]
    written = f"{head}<!-- {name} -->\n\n| a | b |\n\n<!-- end of {name} -->{tail}"
    assert copied.read_text(encoding="utf-8") == written
