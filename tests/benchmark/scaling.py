"""How many claims per second: by processes that claim, by namespaces on a Cluster, and what the sweep takes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

from dag_retry import AttemptCounter
from dag_retry._redis.connection import connect
from dag_retry._redis.due import DueRuns
from tests.benchmark.measuring import Bench, processor_time
from tests.benchmark.serving import Pipelined
from tests.benchmark.table import Row
from tests.servers import RedisServer, until


def per_second(url: str, namespaces: list[str], clients: int, seconds: float, prefix: str) -> float:
    """Return how many claims so many processes get answered per second, each of runs of its own."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(clients + 1)
    claimed: multiprocessing.Queue[int] = context.Queue()

    def client(number: int) -> None:
        with closing(connect(url, timeout=60)) as connected:
            counter = AttemptCounter(connected, namespace=namespaces[number % len(namespaces)])
            claims = 0
            ready.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                counter.claim("daily_load", f"{prefix}-{number}-{claims}", generation=0, max_attempts=3)
                claims += 1
            claimed.put(claims)

    processes = [context.Process(target=client, args=(number,)) for number in range(clients)]
    for process in processes:
        process.start()
    ready.wait()
    total = sum(claimed.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return total / seconds


def rows(bench: Bench) -> Iterator[Row]:
    """Yield claims per second by processes, and by namespaces on a Cluster of three."""
    with bench.server() as server:
        throughput = {
            str(clients): per_second(server.url, ["dag-retry"], clients, bench.counts.seconds, bench.run_id())
            for clients in bench.counts.clients
        }
    yield Row(
        "claims of 1 … N processes, on the server's own cores",
        throughput,
        unit="/s",
        note="the clients' Python takes most of the time",
    )
    yield _cluster(bench)
    yield _sweep(bench)


def _sweep(bench: Bench) -> Row:
    """A sweeper's calls of Redis for each run that is due."""
    with bench.server() as server, closing(connect(server.url, timeout=60)) as client:
        dead = Pipelined(client, lease=timedelta(milliseconds=1))
        claimed = sum(dead.claims(bench.run_id() for _ in range(500)) for _ in range(bench.counts.runs // 500))
        counter, due = AttemptCounter(client), DueRuns(client)
        most = min(claimed, 5000)
        began = time.perf_counter()
        taken = 0
        while taken < most:
            for run in due.read()[0]:
                claim = due.take(*run, holder="sweeper:1")
                if claim and counter.renew(claim) and counter.confirm(claim):
                    taken += 1
        seconds = time.perf_counter() - began
    return Row(
        f"runs that a sweeper takes, renews and confirms, of {claimed:,} that are due",
        {"": taken / seconds},
        unit="/s",
        note="Redis only; each also waits for Airflow's API",
    )


def _cluster(bench: Bench) -> Row:
    clients = max(bench.counts.clients)
    with ExitStack() as stack:
        nodes = [stack.enter_context(bench.server("cluster-enabled yes")) for _ in range(3)]
        admins: list[Any] = [stack.enter_context(node.client()) for node in nodes]
        join(nodes, admins)
        url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
        figures = {}
        for count in (1, 3, 12):
            before = [processor_time(admin) for admin in admins]
            namespaces = [f"team-{number}" for number in range(count)]
            claims = bench.counts.seconds * per_second(url, namespaces, clients, bench.counts.seconds, bench.run_id())
            busiest = max(processor_time(admin) - then for admin, then in zip(admins, before, strict=True))
            figures[f"{count} namespaces" if count > 1 else "1 namespace"] = claims / busiest
    return Row(
        "claims per second of the busiest node's processor, Cluster of 3",
        figures,
        unit="/s",
        note=f"{clients} processes; where each node has a core, so many claims are carried",
    )


def join(nodes: list[RedisServer], admins: list[Any]) -> None:
    """Make a Cluster of three nodes, with a third of the slots each."""
    for number, admin in enumerate(admins):
        admin.execute_command("CLUSTER ADDSLOTS", *range(number * 5461, (5461, 10922, 16384)[number]))
        for other in nodes[number + 1 :]:
            admin.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
    until(lambda: all(admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for admin in admins))
