"""A run that Redis does not know has never failed, or Redis has forgotten it: `born` tells which.

INFO is not there in fakeredis's scripts, so what is remembered is shown on real servers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis

from dag_retry import AttemptCounter
from dag_retry._redis.keys import Keys
from tests.claims import RUN, claim, record, told
from tests.servers import AOF, RedisServer

BORN = Keys("dag-retry").born()
FRESH = ("won", "claimed", 1)
COUNTED = ("exhausted", "generation", 2)
"""What becomes of a run that people have cleared five times before its first failure, under a cap of two."""

HOUR, MINUTE, MS = timedelta(hours=1), timedelta(minutes=1), timedelta(milliseconds=1)

real = pytest.mark.parametrize("client", ["redis"], indirect=True)


def now(client: Any) -> datetime:
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds, timezone.utc) + timedelta(microseconds=micros)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def age(client: Any, by: timedelta = HOUR) -> datetime:
    """Let this namespace have been there for so long; return since when."""
    since = now(client) - by
    assert client.hset(BORN, "at", str(ms(since))) == 0
    return since


def cleared_by_hand(counter: AttemptCounter, run_after: datetime | None, **options: Any) -> Any:
    return told(claim(counter, 5, 2, run_after=run_after, **options))


@pytest.fixture
def old(counter: AttemptCounter, client: Any) -> datetime:
    """Since when the namespace is there: an hour ago the first run failed."""
    counter.claim("other", "run", generation=0, max_attempts=1)
    return age(client)


@real
class TestRemembered:
    def test_no_clear_counts(self, counter: AttemptCounter, client: Any, old: datetime) -> None:
        assert cleared_by_hand(counter, old + 30 * MINUTE) == FRESH
        assert record(counter).base == 5
        assert told(claim(counter, 6, 2)) == ("won", "claimed", 2)
        assert told(claim(counter, 7, 2)) == ("exhausted", "max_attempts", 2)

    def test_clocks_may_differ_by_a_minute(self, counter: AttemptCounter, client: Any, old: datetime) -> None:
        assert cleared_by_hand(counter, old + MINUTE - MS) == COUNTED
        client.delete(Keys("dag-retry").run(*RUN))
        assert cleared_by_hand(counter, old + MINUTE + MS) == FRESH

    def test_what_lay_there_longer_than_a_record_lives_is_forgotten(self, client: Any) -> None:
        counter = AttemptCounter(client, ttl=HOUR)
        counter.claim("other", "run", generation=0, max_attempts=1)
        old = age(client, 3 * HOUR)
        assert cleared_by_hand(counter, old + 2 * HOUR - MINUTE) == COUNTED
        client.delete(Keys("dag-retry").run(*RUN))
        assert cleared_by_hand(counter, old + 2 * HOUR + MINUTE) == FRESH

    def test_a_run_that_began_before(self, counter: AttemptCounter, old: datetime) -> None:
        assert cleared_by_hand(counter, old - HOUR) == COUNTED

    def test_who_does_not_say_when_the_run_began(self, counter: AttemptCounter, old: datetime) -> None:
        assert cleared_by_hand(counter, None) == COUNTED

    def test_another_counters_attempts_count_all_the_same(self, counter: AttemptCounter, old: datetime) -> None:
        assert cleared_by_hand(counter, old + 30 * MINUTE, on_missing_record=1) == ("won", "claimed", 2)
        assert record(counter).base == 4

    def test_a_record_is_what_counts(self, counter: AttemptCounter, old: datetime) -> None:
        counter.confirm(claim(counter, 0, 2))
        assert cleared_by_hand(counter, old + 30 * MINUTE) == ("exhausted", "generation", 2)

    def test_it_is_there_from_the_first_event_on_and_stays(self, counter: AttemptCounter, client: Any) -> None:
        begin = now(client)
        claim(counter)
        born = client.hgetall(BORN)
        assert begin - MS <= datetime.fromtimestamp(int(born["at"]) / 1000, timezone.utc) <= now(client)
        assert born == {"at": born["at"], "replication_id": client.info("replication")["master_replid"]}
        # It is tidied with the other keys, and begins anew with none of them.
        client.pexpire(Keys("dag-retry").stats(RUN[0]), MINUTE)
        client.pexpire(BORN, MINUTE)
        claim(counter)
        assert client.hgetall(BORN) == born
        assert client.ttl(BORN) > 29 * 24 * 3600

    def test_a_first_failure_asks_for_none_of_it(self, counter: AttemptCounter, client: Any, old: datetime) -> None:
        client.config_resetstat()
        assert told(claim(counter, 0, run_after=old + 30 * MINUTE)) == FRESH
        asked = set(client.info("commandstats"))
        assert "cmdstat_evalsha" in asked
        assert not {"cmdstat_hmget", "cmdstat_info"} & asked


class TestForgotten:
    @real
    def test_flushed(self, counter: AttemptCounter, client: Any, old: datetime) -> None:
        client.flushall()
        assert cleared_by_hand(counter, old + 30 * MINUTE) == COUNTED
        assert int(client.hget(BORN, "at")) >= ms(old + HOUR)

    def test_a_namespace_that_was_not_there(self, counter: AttemptCounter, client: Any) -> None:
        assert cleared_by_hand(counter, now(client)) == COUNTED
        assert client.pttl(BORN) > 0

    @pytest.mark.parametrize("client", ["fakeredis"], indirect=True)
    def test_a_server_that_does_not_tell_who_it_is(self, counter: AttemptCounter, client: Any, old: datetime) -> None:
        assert client.hget(BORN, "replication_id") == ""
        assert cleared_by_hand(counter, old + 30 * MINUTE) == COUNTED

    @pytest.mark.parametrize(
        ("lines", "save"),
        [(AOF, lambda client: None), ((), lambda client: client.save())],
        ids=["append-only file", "snapshot"],
    )
    def test_a_restart(self, tmp_path: Path, lines: tuple[str, ...], save: Callable[[Any], object]) -> None:
        """It may have forgotten the last writes. From then on Redis remembers again."""
        with RedisServer(tmp_path, *lines) as server, server.client() as client:
            counter = AttemptCounter(client)
            counter.claim("other", "run", generation=0, max_attempts=1)
            old = age(client)
            before = client.hgetall(BORN)
            save(client)
            server.kill()
            server.start().ready()
            client.connection_pool.disconnect()
            assert client.hgetall(BORN) == before
            restarted = now(client)
            assert cleared_by_hand(counter, old + 30 * MINUTE) == COUNTED
            born = client.hgetall(BORN)
            assert int(born["at"]) >= ms(restarted)
            assert born["replication_id"] == client.info("replication")["master_replid"] != before["replication_id"]
            assert client.pttl(BORN) > 0
            # A run that began after the restart, an hour later.
            client.delete(Keys("dag-retry").run(*RUN))
            assert cleared_by_hand(counter, age(client) + 30 * MINUTE) == FRESH

    @real
    def test_a_user_who_may_not_ask(self, counter: AttemptCounter, client: Any, redis_url: str) -> None:
        """The rights that lua/README.md gives are without INFO."""
        client.acl_setuser(
            "few", enabled=True, passwords=["+pa55"], keys=["*"], categories=["+@all"], commands=["-info"]
        )
        try:
            with redis.Redis.from_url(redis_url.replace("//", "//few:pa55@"), decode_responses=True) as few:
                theirs = AttemptCounter(few)
                theirs.claim("other", "run", generation=0, max_attempts=1)
                assert client.hget(BORN, "replication_id") == ""
                old = age(client)
                assert cleared_by_hand(theirs, old + 30 * MINUTE) == COUNTED
                assert int(client.hget(BORN, "at")) == ms(old)
                client.delete(Keys("dag-retry").run(*RUN))
                # For who may ask, memory begins then; and the other takes none of it.
                assert cleared_by_hand(counter, old + 30 * MINUTE) == COUNTED
                assert client.hget(BORN, "replication_id") == client.info("replication")["master_replid"]
                old = age(client)
                for who, answer in ((theirs, COUNTED), (counter, FRESH)):
                    client.delete(Keys("dag-retry").run(*RUN))
                    assert cleared_by_hand(who, old + 30 * MINUTE) == answer
        finally:
            client.acl_deluser("few")
