"""Three pictures in one: the peers, the race, the throughput."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from tests.benchmark.table import Report, figures_of


def plot(report: Report, folder: Path) -> None:
    """Write the plot, as SVG and PNG."""
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmark"
    from matplotlib import pyplot

    figure, (peers, race, scale) = pyplot.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    ordered = sorted(report.peers, key=lambda peer: -peer.milliseconds)
    bars = peers.barh(
        [peer.name for peer in ordered],
        [peer.milliseconds for peer in ordered],
        color=["tab:green" if peer.winners == 1 else "tab:red" for peer in ordered],
    )
    peers.bar_label(bars, [f"{peer.winners} won of {peer.claimers}" for peer in ordered], padding=3)
    peers.margins(x=0.3)
    peers.set(title="A warm claim; red: more than one winner", xlabel="ms")

    for name, quantity in {"claim": "N claimers of the same run", "PING": "… the same with PING"}.items():
        figures = figures_of(report.rows, quantity)
        race.plot([int(count) for count in figures], list(figures.values()), marker="o", label=name)
    race.axhline(1.3, color="grey", linestyle=":", label="goal")
    race.set_xscale("log", base=2)
    race.set(title="N at once, seconds of a claim", xlabel="processes", ylabel="/ PING alone", ylim=(0, None))
    race.legend()

    figures = figures_of(report.rows, "claims of 1 … N")
    scale.plot([int(count) for count in figures], list(figures.values()), marker="o")
    scale.set_xscale("log", base=2)
    scale.set(title="Claims per second", xlabel="processes", ylim=(0, None))

    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("svg", "png"):
        figure.savefig(folder / f"benchmark.{kind}", dpi=120, metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(figure)
