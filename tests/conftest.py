from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from xdist.scheduler import LoadScopeScheduling

from dag_retry import AttemptCounter
from tests import deployment, servers

# No test reads the configuration of the machine it runs on; Airflow does when it is imported, before any fixture.
_home = tempfile.TemporaryDirectory(prefix="dag-retry-tests-")
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = _home.name

# What a shell starts in the background ignores Ctrl-C, and so does all that this starts: some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The longest first, so that all processes end at about the same time.
_LONGEST = (
    "test_simulation", "test_dag_test",
    "test_faults", "test_policy", "test_outages", "test_cases", "page", "clear", "plain", "test_celery",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files and folders of tests first."""

    def place(item: pytest.Item) -> int:
        parts = item.nodeid.partition("::")[0].removesuffix(".py").split("/")
        return next((at for at, name in enumerate(_LONGEST) if name in parts), len(_LONGEST))

    items.sort(key=place)


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Lets one process run what shares most: a file, the modules of a live Airflow, a kind of simulated schedules."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test. (pytest-xdist 3.8 can't group by marks: pytest 9.2 makes a nodeid anew.)"""
        path = Path(nodeid.partition("::")[0])
        if path.stem == "test_simulation":
            return nodeid.partition("[")[0]
        return str(path if path.parent.name in ("tests", "live") else path.parent)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis, which lives as long as the tests."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


# Coverage is measured on fakeredis alone: it doubles the time of a test, and the bodies are the same.
@pytest.fixture(params=["fakeredis", pytest.param("redis", marks=pytest.mark.no_cover)])
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


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set options of the section, and as ``redis`` a client for all that connect."""
    return partial(deployment.deploy, monkeypatch)
