"""``make bench``: measures, prints the tables, and writes them into the README here.

``build/benchmark`` gets them too, as text, Markdown, JSON and plot.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmark import claiming, connecting, racing, scaling, serving, starting, storing, sweeping
from tests.benchmark.measuring import Bench, Counts
from tests.benchmark.plot import plot
from tests.benchmark.table import PeerResult, Report, Row, publish

GROUPS: dict[str, Callable[[Bench], Iterator[Row | PeerResult]]] = {
    module.__name__.rpartition(".")[2]: module.rows
    for module in (claiming, connecting, racing, serving, storing, starting, scaling, sweeping)
}


def measure(counts: Counts, folder: Path, groups: list[str]) -> Report:
    """Measure these groups.

    :param counts: how much of everything.
    :param folder: for the servers' files.
    :param groups: names of modules.
    """
    report = Report()
    bench = Bench.of(counts, folder)
    for name in groups:
        began = time.monotonic()
        for result in GROUPS[name](bench):
            if isinstance(result, Row):
                report.rows.append(result)
            else:
                report.peers.append(result)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return report


def main() -> None:
    """Measure all groups, or those named on the command line."""
    output = Path(__file__).parents[2] / "build" / "benchmark"
    with tempfile.TemporaryDirectory(prefix="dag-retry-bench-") as folder:
        report = measure(Counts(), Path(folder), sys.argv[1:] or list(GROUPS))
    print(report.text())
    if not sys.argv[1:]:
        report.write(output)
        plot(report, output)
        publish("make bench", report.markdown())
        shutil.copy(output / "benchmark.svg", Path(__file__).parent)
        print(f"\nWritten to {output}")


if __name__ == "__main__":
    main()
