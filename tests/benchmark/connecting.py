"""What a callback does, which is a fresh process: connect, and claim once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from redis import Redis

from dag_retry import AttemptCounter
from dag_retry._redis.connection import connect
from tests.benchmark.measuring import Bench, Sent, in_turns, sent
from tests.benchmark.table import Row
from tests.servers import RedisServer


def rows(bench: Bench) -> Iterator[Row]:
    """Yield a claim on a new client, beside the same on the one that redis-py makes by itself, and what each sends."""
    with bench.server("user retry on >secret ~* +@all") as server:
        url = server.url.replace("//", "//retry:secret@").removesuffix("0") + "1"
        with_login, theirs = _sent(server, connect, url), _sent(server, Redis.from_url, url)
    with bench.server() as server:
        bare = _sent(server, connect, server.url)
        port = urlsplit(server.url).port

        def claim_with(client: Redis) -> None:
            with closing(client):
                AttemptCounter(client).claim("daily_load", bench.run_id(), generation=0, max_attempts=3)

        def floor() -> None:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"PING\r\n")
                connection.recv(100)

        times = in_turns(
            {
                "ours": lambda: claim_with(connect(server.url)),  # type: ignore[arg-type]
                "redis-py": lambda: claim_with(Redis.from_url(server.url)),
                "floor": floor,
            },
            bench.counts.turns,
            calls=5,
        )
    yield Row(
        "connect and claim / redis-py's default client doing the same",
        {"": times.ratio("ours", "redis-py")},
        0.4,
        note=f"{1e3 * times.median('ours'):.2f} ms and {1e3 * times.median('redis-py'):.2f} ms",
        why="the claim by itself and a socket with PING leave a third, for redis-py's client and the script's text",
    )
    yield Row("… a socket that connects and sends PING / the same", {"": times.ratio("floor", "redis-py")})
    yield Row(
        "round trips of connecting, beside AUTH and SELECT",
        {"": bare.round_trips - 1, "with a login and db 1": with_login.round_trips - 3},
        1,
        note=f"redis-py by itself: {theirs.round_trips - 3}",
    )


def _sent(server: RedisServer, make: Callable[[str], Any], url: str) -> Sent:
    """Return what a new client sends for its first PING, that included."""

    def ping() -> object:
        client = make(url)
        client.ping()
        return client

    return sent(server, ping)
