"""Print a dashboard for Grafana (data source Redis or Prometheus), or alert rules for Prometheus.

Without a name, list the files. They are for the namespace dag-retry. Grafana asks for another one.
"""

from __future__ import annotations

import argparse
from importlib import resources

from dag_retry.cli.arguments import json_argument
from dag_retry.cli.output import Output, grid

FILES = {
    "grafana-redis.json": "Grafana dashboard, data source Redis (plugin redis-datasource): it reads our keys",
    "grafana-prometheus.json": "Grafana dashboard, data source Prometheus: it shows what dag-retry metrics serves",
    "prometheus-alerts.yml": "Prometheus alert rules: runs that need a human, sweepers, Airflow's API, Redis",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", nargs="?", choices=FILES, help="the file to print")
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    if args.name is None:
        out.show(FILES, grid("name", "what", rows=FILES.items()))
    else:
        out.console.file.write(text_of(args.name))
    return 0


def text_of(name: str) -> str:
    """Return the text of a file."""
    return (resources.files("dag_retry.cli") / "dashboards" / name).read_text(encoding="utf-8")
