"""Serve metrics to Prometheus, read from Redis whenever it asks."""

from __future__ import annotations

import argparse
import threading

from dag_retry.cli.output import Output
from dag_retry.cli.session import connected, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=positive, default=9740, help="the port (default: 9740)")
    parser.add_argument("--once", action="store_true", help="print them, and serve nothing")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from dag_retry.cli.prometheus import Collector

    with connected() as session:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(session.overview))
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
