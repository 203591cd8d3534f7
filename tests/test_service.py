"""The sweeper as a service, in a process of its own: nothing stops it but a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_httpserver import HTTPServer

from dag_retry import AttemptCounter, FailedTry, Status
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry._redis.overview import Overview
from dag_retry.cli import main
from tests.servers import RedisServer, free_port, until
from tests.stub_api import StubApi

RUN = ("daily_load", "run")
KEY = "{dag-retry}:v1:run:daily_load:run"


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


@contextmanager
def service(redis_url: str, api_url: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        "AIRFLOW__DAG_RETRY__REDIS_URL": redis_url,
        "AIRFLOW__DAG_RETRY__API_URL": api_url,
        "AIRFLOW__DAG_RETRY__API_USERNAME": "retry",
        "AIRFLOW__DAG_RETRY__API_PASSWORD": "s3cret",
    }
    command = [sys.executable, "-m", "dag_retry.cli", "sweep"]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def said_next(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline()


def due(client: Any) -> None:
    AttemptCounter(client).claim(
        *RUN,
        generation=0,
        max_attempts=2,
        delays=[timedelta(milliseconds=1)],
        failed_try=FailedTry("branch_b", ti_id="try-0"),
    )


def status(client: Any) -> Status:
    record = AttemptCounter(client).read(*RUN)
    assert record
    return record.status


def heartbeat(client: Any) -> Heartbeat:
    return Overview(client).heartbeat() or Heartbeat(at=0)


def test_it_waits_until_the_way_is_mended(redis_url: str, client: Any, stub: StubApi) -> None:
    """The password is wrong for a while. Nothing is taken, and nothing need be cleared by hand."""
    stub.token_path = "/elsewhere"
    due(client)
    with service(redis_url, stub.url) as process:
        until(lambda: heartbeat(client).fault == "login")
        assert status(client) is Status.WAITING
        stub.token_path = "/auth/token"
        until(lambda: status(client) is Status.RETRYING)
        assert (heartbeat(client).fault, heartbeat(client).fault_at) == ("", 0)
        until(lambda: heartbeat(client).looked_until > 0)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 0
    assert "the sweeper goes on in 1 s" in said
    assert "the sweeper stops (SIGTERM)" in said


def test_redis_comes_later(stub: StubApi, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, server.client() as own:
        server.kill()
        with service(server.url, stub.url) as process:
            until(lambda: "the sweeper goes on in 1 s" in said_next(process))
            server.start().ready()
            until(lambda: heartbeat(own).at > 0)
            assert process.poll() is None


def test_a_missing_setting_ends_it(redis_url: str, client: Any) -> None:
    with service(redis_url, "") as process:
        _, said = process.communicate()
    assert process.returncode != 0
    assert "api_url" in said


def test_airflow_is_away(redis_url: str, client: Any) -> None:
    with service(redis_url, f"http://127.0.0.1:{free_port()}"):
        until(lambda: heartbeat(client).fault == "api_away")


@pytest.mark.parametrize("interval", ["0s", "0d"])
def test_an_interval_of_nothing(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would ask Redis without a pause."""
    with pytest.raises(SystemExit):
        main(["sweep", "--interval", interval])
    assert "leaves no time between two looks: use 1s or more" in capsys.readouterr().err
