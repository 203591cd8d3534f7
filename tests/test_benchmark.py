"""`make bench` can measure every row: with tiny counts, and without a look at how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmark.__main__ import GROUPS, measure
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
