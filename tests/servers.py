"""Servers that tests and demo start for themselves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from tests import programs


def unavailable(what: str) -> NoReturn:
    """Skip on a developer's machine, and fail where ``CI=true`` says that everything must run."""
    import pytest  # the demo has none

    message = f"{what} is not installed: `make test` installs it where it can"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    # A Cluster's nodes talk to each other at the port + 10000.
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def until(state: Callable[[], Any], seconds: float = 20) -> None:
    """Await a state; one that Redis can't tell for want of a connection has not come yet.

    :raises AssertionError: it has not come within these seconds.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            if state():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < end, "the state that was awaited has not come"
        time.sleep(0.02)


AOF = ("appendonly yes", "appendfsync always")
"""Everything is written to disk before it is answered."""

PATIENCE = Retry(ConstantBackoff(0.05), 600, supported_errors=(redis.ConnectionError,))
"""For a client that waits until Redis is back. LOADING is a ConnectionError too."""


class RedisServer:
    """A Redis or Valkey at a port of 127.0.0.1, without persistence unless its lines of configuration say so.

    It may be killed, and started again at the same port with what it has saved.
    """

    def __init__(self, folder: Path, *lines: str, sentinel: bool = False) -> None:
        tls = any(line.startswith("tls-") for line in lines)
        program = programs.redis_server(tls=tls) or unavailable(f"redis-server{' with TLS' if tls else ''}")
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            *([] if sentinel else ['save ""']),
            *lines,
        ]
        self._command = [str(program), str(folder / "redis.conf"), *(["--sentinel"] if sentinel else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> Any:
        """Return a client that may do all, and tries once."""
        return redis.Redis(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def start(self) -> RedisServer:
        """Start it, and await that it listens; it may still be loading its data."""
        (self.folder / "redis.conf").write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        with (self.folder / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output)
        until(self._listens)
        return self

    def ready(self) -> RedisServer:
        """Await that it has loaded its data, or asks who wants to know."""

        def answers() -> Any:
            try:
                return client.ping()
            except redis.AuthenticationError:
                return True

        with self.client() as client:
            until(answers)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes it silent, until SIGCONT."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, without any chance to save."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Lose what was saved. For one that was killed."""
        for saved in ("appendonlydir", "dump.rdb"):
            path = self.folder / saved
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)

    def __enter__(self) -> RedisServer:
        try:
            return self.start().ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.folder / "redis.log").read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def name_and_version(client: Any) -> str:
    """Return what a server calls itself: ``valkey 9.1.2``, ``redis 7.0.15``."""
    told = client.info("server")  # Valkey's redis_version is the one with which it is compatible
    return f"{told.get('server_name', 'redis')} {told.get('valkey_version', told['redis_version'])}"


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis without persistence; yield its URL."""
    with RedisServer(folder) as server:
        yield server.url
