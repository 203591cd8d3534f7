"""Servers that the tests start for themselves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry


def unavailable(what: str) -> None:
    """Skip on a developer's machine, and fail where ``CI=true`` says that everything must run."""
    message = f"{what} is not installed: `make test` installs it where it can"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a redis-server without persistence; yield its URL."""
    binary = shutil.which("redis-server")
    if binary is None:
        unavailable("redis-server")
        raise AssertionError
    port = free_port()
    log = folder / "redis.log"
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    with log.open("wb") as output, subprocess.Popen([binary, *arguments], stdout=output) as process:
        try:
            patience = Retry(ConstantBackoff(0.05), 200, supported_errors=(redis.ConnectionError,))
            with redis.Redis(port=port, retry=patience) as client:
                client.ping()
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
