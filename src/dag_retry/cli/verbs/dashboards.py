"""Print dashboards and alert rules: for Grafana (Redis data source, or Prometheus) and for Prometheus.

Without a name they are listed. They are for the namespace dag-retry; those for Grafana ask for another.
"""

from __future__ import annotations

import argparse
from importlib import resources

from dag_retry.cli.output import Output, grid
from dag_retry.cli.session import json_argument

FILES = {
    "grafana-redis.json": "Grafana dashboard, data source Redis (plugin redis-datasource): reads the keys themselves",
    "grafana-prometheus.json": "Grafana dashboard, data source Prometheus: what dag-retry metrics serves",
    "prometheus-alerts.yml": "Prometheus alert rules: exhausted, blocked, unclaimed, overdue, duplicates, no answer",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument("name", nargs="?", choices=FILES, help="which to print")
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    if args.name is None:
        out.show(FILES, grid("name", "what", rows=FILES.items()))
    else:
        out.console.file.write(text_of(args.name))
    return 0


def text_of(name: str) -> str:
    """Return the text of a file."""
    return (resources.files("dag_retry.cli") / "dashboards" / name).read_text(encoding="utf-8")
