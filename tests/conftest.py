from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from dag_retry import AttemptCounter
from tests import servers


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis, which lives as long as the tests."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["fakeredis", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty Redis: the fast one, and then the same test on the real one.

    Afterwards every key must carry a TTL (G8).
    """
    client: Any
    if request.param == "fakeredis":
        client = fakeredis.FakeRedis(decode_responses=True)
    else:
        client = redis.Redis.from_url(request.getfixturevalue("redis_url"), decode_responses=True)
    client.flushall()
    yield client
    forever = [key for key in client.scan_iter() if client.pttl(key) < 0]
    client.close()
    assert not forever


@pytest.fixture
def counter(client: Any) -> AttemptCounter:
    return AttemptCounter(client)


@pytest.fixture(autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads the configuration of the machine it runs on."""
    home = tmp_path_factory.mktemp("airflow_home")
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    return home
