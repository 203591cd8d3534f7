"""The Redis of the demo: one inside this process, or a real one of yours."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisError

URL_VARIABLE = "DAG_RETRY_REDIS_URL"
"""Environment variable with the URL of a real Redis, as redis-py takes it."""


@dataclass(frozen=True, slots=True)
class DemoRedis:
    """Where attempts are counted.

    :param url: for Airflow.
    :param namespace: what the keys' names begin with.
    :param client: redis-py's, answering in text, for whoever looks at the keys. (Its types know bytes only.)
    """

    url: str
    namespace: str
    client: Any

    def key(self, *parts: str) -> str:
        """Return the name of a key of schema v1, e.g. ``key("events")``."""
        return ":".join(("{" + self.namespace + "}", "v1", *parts))

    def scan(self) -> list[str]:
        """Return the names of all keys of the namespace, sorted."""
        return sorted(self.client.scan_iter(match=self.key("*"), count=1000))

    def record(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the record of a run, empty where there is none."""
        return dict(self.client.hgetall(self.key("run", dag_id, run_id)))

    def events(self, after: str | None = None) -> list[tuple[str, dict[str, str]]]:
        """Return the entries of the stream of events.

        :param after: id of the last entry that is known already.
        """
        return list(self.client.xrange(self.key("events"), min=f"({after}" if after else "-"))


@contextmanager
def demo_redis() -> Iterator[DemoRedis]:
    """Lend a Redis: the one at ``DAG_RETRY_REDIS_URL``, else an embedded one.

    In a real one a namespace of this demo's own is used, and removed at the end.

    :raises SystemExit: the given one can't be used.
    """
    if url := os.environ.get(URL_VARIABLE):
        with _connected(url) as client:
            lent = DemoRedis(url, f"dag-retry-demo-{secrets.token_hex(4)}", client)
            try:
                yield lent
            finally:
                if keys := lent.scan():
                    client.delete(*keys)
        return
    with _embedded() as url, Redis.from_url(url, decode_responses=True) as client:
        yield DemoRedis(url, "dag-retry", client)


def _connected(url: str) -> Redis:
    try:
        client = Redis.from_url(url, decode_responses=True)
        client.ping()
    except (RedisError, ValueError) as error:
        raise SystemExit(f"{URL_VARIABLE} is set, and no Redis answers there: {error}") from error
    return client


@contextmanager
def _embedded() -> Iterator[str]:
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    server.daemon_threads = True  # a client that never hangs up must not keep this process alive
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
