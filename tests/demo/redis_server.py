"""The Redis of the demo: one at ``DAG_RETRY_REDIS_URL``, or one of its own."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeredis import TcpFakeServer
from redis import Redis, RedisError

from tests import programs, servers

URL_VARIABLE = "DAG_RETRY_REDIS_URL"
"""Environment variable with the URL of a Redis, in redis-py's form."""


@dataclass(frozen=True, slots=True)
class DemoRedis:
    """The Redis in which the demo counts attempts.

    :param name: the server's name and version.
    :param url: the URL for Airflow.
    :param namespace: the hash tag of all keys.
    :param client: a redis-py client that decodes answers to text. (redis-py's types know only bytes.)
    """

    name: str
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
        """Return the record of a run, empty if there is none."""
        return dict(self.client.hgetall(self.key("run", dag_id, run_id)))

    def events(self, after: str | None = None) -> list[tuple[str, dict[str, str]]]:
        """Return the entries of the events' stream, each with its id.

        :param after: return only the entries after this id.
        """
        return list(self.client.xrange(self.key("events"), min=f"({after}" if after else "-"))


@contextmanager
def demo_redis(folder: Path) -> Iterator[DemoRedis]:
    """Yield the Redis at ``DAG_RETRY_REDIS_URL`` if that is set, else one of the demo's own.

    At that URL the demo uses a namespace of its own, and removes it at the end.

    :param folder: for the files of a Redis of the demo's own.
    :raises SystemExit: the Redis at that URL does not answer.
    """
    if url := os.environ.get(URL_VARIABLE):
        with _connected(url) as client:
            redis = DemoRedis(servers.name_and_version(client), url, f"dag-retry-demo-{secrets.token_hex(4)}", client)
            try:
                yield redis
            finally:
                if keys := redis.scan():
                    client.delete(*keys)
        return
    real = programs.redis_server() is not None
    with servers.redis_server(folder) if real else _fake() as url, Redis.from_url(url, decode_responses=True) as client:
        yield DemoRedis(servers.name_and_version(client) if real else "fakeredis", url, "dag-retry", client)


def _connected(url: str) -> Redis:
    try:
        client = Redis.from_url(url, decode_responses=True)
        client.ping()
    except (RedisError, ValueError) as error:
        raise SystemExit(f"no Redis answers at the URL in {URL_VARIABLE}; correct or unset it: {error}") from error
    return client


@contextmanager
def _fake() -> Iterator[str]:
    """Run fakeredis in this process, where the machine has no Redis; yield its URL."""
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    server.daemon_threads = True  # a client that stays connected must not keep this process alive
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
