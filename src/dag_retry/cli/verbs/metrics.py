"""Serve metrics to Prometheus. They are read from Redis whenever Prometheus asks."""

from __future__ import annotations

import argparse
import threading

from dag_retry.cli.arguments import positive
from dag_retry.cli.connection import connected
from dag_retry.cli.output import Output


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=positive, default=9740, help="the port (default: 9740)")
    parser.add_argument("--once", action="store_true", help="print the metrics, and serve nothing")


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from dag_retry.cli.prometheus import Collector

    with connected() as (overview, _):
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(overview))
        if args.once:
            out.console.file.write(generate_latest(registry).decode())
            return 0
        server, thread = start_http_server(args.port, args.host, registry)
        print(f"metrics at http://{args.host}:{server.server_port}/metrics")
        try:
            threading.Event().wait()
        finally:
            server.shutdown()
            thread.join()
    return 0
