"""A callback ends within its budget, whoever falls silent, and whenever. A bound on time is what is promised here."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dag_retry import ApiUnanswered, CounterError, DagRetry, Status
from tests.contexts import dag_failed, task_failed
from tests.servers import RedisServer
from tests.stub_api import StubApi

BUDGET = 3.0


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three quarters of what Airflow allows are ours.
    monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", str(BUDGET / 0.75))


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < 1.1 * seconds


def test_redis_is_silent(silent: str, httpserver: HTTPServer, deploy: Any) -> None:
    stub = StubApi(httpserver)
    deploy(redis=f"redis://{silent}/0", api_url=stub.url)
    retry = DagRetry(2)
    with within(BUDGET), pytest.raises(CounterError, match="no answer in time"):
        retry.on_failure(task_failed())
    assert stub.seen == []


def test_the_api_is_silent(silent: str, server: RedisServer, deploy: Any) -> None:
    deploy(redis=server.url, api_url=f"http://retry:s3cret@{silent}")
    retry = DagRetry(2)
    with within(BUDGET), pytest.raises(ApiUnanswered):
        retry.on_failure(task_failed())
    record: Any = retry.read("daily_load", "run")
    assert (record.status, record.due_at > record.updated_at) == (Status.CLAIMED, True)


def test_redis_falls_silent_after_the_look(server: RedisServer, httpserver: HTTPServer, deploy: Any) -> None:
    """The claim can't be renewed then, so nothing is cleared."""
    stub = StubApi(httpserver)

    def stop_redis(stub: StubApi, request: Request) -> Response | None:
        server.send(signal.SIGSTOP)
        return None

    stub.faults = [None, stop_redis]
    deploy(redis=server.url, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
    retry = DagRetry(2)
    with within(BUDGET), pytest.raises(CounterError, match="no answer in time"):
        retry.on_failure(task_failed())
    assert stub.clears == 0
    server.send(signal.SIGCONT)
    retry.on_failure(dag_failed())
    record: Any = retry.read("daily_load", "run")
    assert (stub.clears, record.status, record.attempt) == (1, Status.RETRYING, 1)


def test_redis_falls_silent_after_the_clear(server: RedisServer, httpserver: HTTPServer, deploy: Any) -> None:
    stub = StubApi(httpserver)

    def stop_redis(stub: StubApi, request: Request) -> Response | None:
        server.send(signal.SIGSTOP)
        return None

    stub.faults = [None, None, stop_redis]
    deploy(redis=server.url, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
    retry = DagRetry(2)
    with within(BUDGET), pytest.raises(CounterError, match="no answer in time"):
        retry.on_failure(task_failed())
    server.send(signal.SIGCONT)
    # It is found out by whoever takes over, and nothing is cleared again.
    retry.on_failure(dag_failed())
    record: Any = retry.read("daily_load", "run")
    assert (stub.clears, record.status, record.attempt) == (1, Status.RETRYING, 1)


def test_the_dag_processor_has_no_time_left(
    silent: str, server: RedisServer, deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process calls back for all runs of a Dag file: the last of many is at least claimed, and thus due."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "0.1")
    deploy(redis=server.url, api_url=f"http://retry:s3cret@{silent}")
    retry = DagRetry(2)
    with within(1.5), pytest.raises(ApiUnanswered):
        retry.on_failure(dag_failed())
    record: Any = retry.read("daily_load", "run")
    assert (record.status, record.level) == (Status.CLAIMED, "dag")
