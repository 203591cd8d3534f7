"""The table: each quantity with its goal beside it, and whether it was reached."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.documents import filled, text_of
from tests.servers import RedisServer, name_and_version


@dataclass(frozen=True)
class Row:
    """A quantity.

    :param quantity: what was measured, as a ratio of what to what.
    :param figures: by case; one without a name where there is one case.
    :param goal: what each figure may be at most; None where it is told, and no goal was set.
    :param unit: of figures and goal; none for a ratio.
    :param note: of what it consists, and what it was compared to.
    :param why: it was not reached.
    """

    quantity: str
    figures: Mapping[str, float]
    goal: float | None = None
    unit: str = ""
    note: str = ""
    why: str = ""

    @property
    def reached(self) -> bool | None:
        # A goal of 1.3 has as many digits as it needs; the figure is not known better than that.
        return None if self.goal is None else all(_digits(figure) <= self.goal for figure in self.figures.values())

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the cells of a table's line."""
        figures = " · ".join(f"{name} {_shown(figure)}".strip() for name, figure in self.figures.items())
        unit = f" {self.unit}" if self.unit else ""
        goal = "" if self.goal is None else f"≤ {_shown(self.goal)}{unit}"
        reached = {None: "", True: "reached", False: "NOT reached"}[self.reached]
        note = "; ".join(filter(None, [self.note, self.why if self.reached is False else ""]))
        return self.quantity, figures + unit, goal, reached, note


@dataclass(frozen=True)
class PeerResult:
    """What else one would take for the job, beside ours.

    :param name: of it.
    :param milliseconds: of a warm claim, alone.
    :param ours: how many times as long as it ours takes.
    :param round_trips: of that claim.
    :param winners: of a round, at most, when so many claim together.
    :param claimers: who claim together.
    """

    name: str
    milliseconds: float
    ours: float
    round_trips: int
    winners: int
    claimers: int

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return the cells of a table's line."""
        verdict = "yes" if self.winners == 1 else "no"
        winners = f"{self.winners} of {self.claimers}"
        return self.name, f"{self.milliseconds:.3f}", _shown(self.ours), str(self.round_trips), winners, verdict


README = Path(__file__).with_name("README.md")
PEER_HEADINGS = ("claim, warm", "ms", "ours / it", "round trips", "winners of a round", "does the job")
HEADINGS = ("quantity", "measured", "goal", "", "")


@dataclass
class Report:
    """All that was measured."""

    rows: list[Row] = field(default_factory=list)
    peers: list[PeerResult] = field(default_factory=list)
    machine: str = field(default_factory=lambda: machine())

    def text(self) -> str:
        """Return the tables for a terminal."""
        tables = [aligned([PEER_HEADINGS, *(peer.cells() for peer in self.peers)]) if self.peers else ""]
        tables.append(aligned([HEADINGS, *(row.cells() for row in self.rows)]))
        goals = [row.reached for row in self.rows if row.goal is not None]
        return "\n\n".join([self.machine, *filter(None, tables), f"{sum(map(bool, goals))} of {len(goals)} reached"])

    def markdown(self) -> str:
        """Return the tables for the README beside this file."""
        tables = [piped([PEER_HEADINGS, *(peer.cells() for peer in self.peers)]) if self.peers else ""]
        tables.append(piped([HEADINGS, *(row.cells() for row in self.rows)]))
        return "\n\n".join([f"Measured on {self.machine}.", *filter(None, tables)])

    def write(self, folder: Path, name: str = "benchmark") -> None:
        """Write it as text, Markdown and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(self.text() + "\n", encoding="utf-8")
        (folder / f"{name}.md").write_text(self.markdown() + "\n", encoding="utf-8")
        rows = [asdict(row) | {"reached": row.reached} for row in self.rows]
        whole = {"machine": self.machine, "rows": rows, "peers": [asdict(peer) for peer in self.peers]}
        (folder / f"{name}.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def publish(name: str, markdown: str, document: Path = README) -> None:
    """Write tables into the README beside this file.

    :param name: of the target that measured them: ``make bench`` or ``make bench-live``.
    :param markdown: the tables.
    :param document: the README.
    """
    document.write_text(filled(text_of(document), name, markdown), encoding="utf-8")


def machine() -> str:
    """Return what it was measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor(),
    )
    return (
        f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, redis-py {redis.__version__}, "
        f"{_server()}"
    )


def _server() -> str:
    """Return name and version of the server that the tests start."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server, server.client() as client:
        return name_and_version(client)


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def _digits(figure: float) -> float:
    return float(f"{figure:.3g}") if figure < 100 else round(figure)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}" if figure < 10 else f"{figure:.1f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def piped(lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    head, *others = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *others])


def figures_of(rows: Sequence[Row], quantity: str) -> dict[str, Any]:
    """Return the figures of the row that begins so."""
    return dict(next(row.figures for row in rows if row.quantity.startswith(quantity)))
