"""What Redis refuses: the error says what to do, and nothing is half-written."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dag_retry import AttemptCounter, CounterError, Verdict
from dag_retry._redis.connection import connect
from dag_retry._redis.keys import Keys
from tests.servers import RedisServer, until

RUN = ("daily", "run")
KEYS = Keys("dag-retry")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), "repl-diskless-sync-delay 0") as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> Iterator[RedisServer]:
    """An empty server; what a test sets is set back."""
    with shared.client() as client:
        client.flushall()
        yield shared
        for name, value in (("maxmemory", "0"), ("requirepass", ""), ("maxclients", "1000")):
            client.config_set(name, value)


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        client.ping()  # connected, whatever is set after this
        yield client


def refusal(url: str, generation: int = 0, max_attempts: int = 3, **options: Any) -> str:
    """Claim, and return what is said of it, at the top and in the whole traceback without the password."""
    with pytest.raises(CounterError) as error, closing(connect(url)) as client:
        AttemptCounter(client).claim(*RUN, generation=generation, max_attempts=max_attempts, **options)
    assert "pa55" not in "".join(traceback.format_exception(error.value))
    return str(error.value)


def dump(client: Any) -> dict[str, Any]:
    return {key: client.dump(key) for key in client.scan_iter()}


class TestLogin:
    def test_wrong_password(self, server: RedisServer) -> None:
        text = refusal(f"redis://nobody:pa55word@127.0.0.1:{server.port}")
        assert f"Redis at 127.0.0.1:{server.port}: the login is refused: correct user and password" in text

    def test_no_password(self, server: RedisServer, admin: Any) -> None:
        admin.config_set("requirepass", "pa55word")
        # Redis cuts a connection that sends much before its login, with or without an answer that comes through.
        assert "correct user and password in redis_url" in refusal(server.url)

    def test_a_right_is_lacking(self, server: RedisServer, admin: Any) -> None:
        admin.acl_setuser("half", enabled=True, passwords=["+pa55word"], keys=["*"], commands=["+eval"])
        text = refusal(f"redis://half:pa55word@127.0.0.1:{server.port}")
        assert "grant the rights of `ACL SETUSER retry` in lua/README.md" in text

    def test_a_key_is_not_allowed(self, server: RedisServer, admin: Any) -> None:
        admin.acl_setuser("team", enabled=True, passwords=["+pa55word"], keys=["{team}:v1:*"], categories=["+@all"])
        url = f"redis://team:pa55word@127.0.0.1:{server.port}"
        assert "the namespace is not its own" in refusal(url)


class TestState:
    def test_replica(self, server: RedisServer, tmp_path: Path) -> None:
        with RedisServer(tmp_path, f"replicaof 127.0.0.1 {server.port}") as replica:
            with replica.client() as client:
                until(lambda: client.info("replication")["master_link_status"] == "up")
            text = refusal(replica.url)
            assert "this is a replica, or has become one: point redis_url at the primary" in text
            with closing(connect(replica.url)) as client:
                assert AttemptCounter(client).read(*RUN) is None

    def test_memory_is_full(self, server: RedisServer, admin: Any) -> None:
        counter = AttemptCounter(admin)
        won = counter.claim(*RUN, generation=0, max_attempts=3)
        counter.confirm(won)
        before = dump(admin)
        assert len(before) == 6
        admin.config_set("maxmemory", "1mb")
        text = refusal(server.url, generation=1)
        assert "its memory is full (maxmemory)" in text
        assert "allkeys-lru" in text
        assert dump(admin) == before
        admin.config_set("maxmemory", "0")
        assert counter.claim(*RUN, generation=1, max_attempts=3).attempt == 2

    def test_snapshots_fail(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path) as server, server.client() as client:
            (tmp_path / "dump.rdb").mkdir()  # so that it can't be put there
            client.config_set("save", "3600 1")
            client.bgsave()
            until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
            assert "can't save its snapshots and so refuses writes (MISCONF)" in refusal(server.url)

    def test_loading(self, tmp_path: Path) -> None:
        """A server that was restarted answers so until it has all its data: then the claim is won."""
        with RedisServer(tmp_path, "loading-process-events-interval-bytes 1024", "rdbcompression no") as server:
            with server.client() as client:
                AttemptCounter(client).claim(*RUN, generation=0, max_attempts=3)
                client.mset({f"other:{number}": "x" * 1000 for number in range(100)})
                client.save()
            server.kill()
            server.lines.append("key-load-delay 20000")  # μs for each key
            server.start()
            assert "it has just started and loads its data (LOADING)" in refusal(server.url)
            with server.client() as client:
                until(lambda: client.config_set("key-load-delay", "0"))
            server.ready()
            with closing(connect(server.url)) as client:
                assert AttemptCounter(client).claim(*RUN, generation=1, max_attempts=3).attempt == 2

    def test_too_many_clients(self, server: RedisServer, admin: Any) -> None:
        admin.config_set("maxclients", "1")
        assert "raise its maxclients" in refusal(server.url)

    def test_restarted_between_calls(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path, "appendonly yes") as server, closing(connect(server.url)) as client:
            counter = AttemptCounter(client)
            won = counter.claim(*RUN, generation=0, max_attempts=3)
            server.kill()
            server.start().ready()
            assert counter.confirm(won)

    def test_scripts_are_flushed_between_calls(self, server: RedisServer, admin: Any) -> None:
        with closing(connect(server.url)) as client:
            counter = AttemptCounter(client)
            won = counter.claim(*RUN, generation=0, max_attempts=3)
            admin.script_flush()
            assert counter.claim(*RUN, generation=0, max_attempts=3).verdict is Verdict.LOST
            admin.script_flush()
            assert counter.confirm(won)


class TestForeignKeys:
    @pytest.mark.parametrize("position", range(6))
    @pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
    def test_nothing_is_claimed(self, server: RedisServer, admin: Any, position: int, first: bool) -> None:
        """A key of ours that somebody else made: of a run's first claim, and of one that has a record."""
        key = KEYS.of(*RUN)[position]
        # A claim that is won for a run that needed no human has nothing to do with that index.
        max_attempts = 1 if key == KEYS.index("attention") else 3
        counter = AttemptCounter(admin)
        if not first:
            counter.confirm(counter.claim(*RUN, generation=0, max_attempts=3))
            admin.delete(key)
        admin.set(key, "mine")
        record = admin.dump(KEYS.run(*RUN))
        text = refusal(server.url, generation=0 if first else 1, max_attempts=max_attempts)
        assert "WRONGTYPE" in text
        assert "a key under one of our names is not ours" in text
        assert admin.get(key) == "mine"
        assert admin.dump(KEYS.run(*RUN)) == record

    def test_since_when_redis_remembers(self, server: RedisServer, admin: Any) -> None:
        """Read only where there is no record of a run that was cleared."""
        admin.set(KEYS.born(), "mine")
        text = refusal(server.url, generation=1, run_after=datetime.now(timezone.utc))
        assert "WRONGTYPE" in text
        assert "a key under one of our names is not ours" in text
        assert admin.keys() == [KEYS.born()]
        assert AttemptCounter(admin).claim(*RUN, generation=0, max_attempts=3).verdict is Verdict.WON
        assert admin.get(KEYS.born()) == "mine"


class TestWrongKind:
    def test_not_a_sentinel(self, server: RedisServer) -> None:
        text = refusal(f"redis+sentinel://127.0.0.1:{server.port}/mymaster")
        assert "this is a Redis, and not a sentinel" in text

    def test_not_a_cluster(self, server: RedisServer) -> None:
        text = refusal(f"redis+cluster://127.0.0.1:{server.port}")
        assert f"Redis Cluster of 127.0.0.1:{server.port}: this is no node of a Cluster" in text

    def test_a_client_of_ones_own(self, tmp_path: Path) -> None:
        client = redis.Redis(unix_socket_path=str(tmp_path / "none.sock"), retry=Retry(NoBackoff(), 0))
        with client, pytest.raises(CounterError, match=f"Redis at {tmp_path}/none.sock: unreachable"):
            AttemptCounter(client).read(*RUN)
