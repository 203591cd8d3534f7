"""What an operator reads, on fakeredis and on a real Redis; with 100,000 records, in time."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, get_args

import pytest
import redis

from dag_retry import AttemptCounter, Claim, CounterError, FailedTry, RunRecord, Status
from dag_retry._redis.health import Health
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import List, Overview
from dag_retry._redis.views import Event, Page, Sizes, Unreadable
from tests import servers
from tests.crowd import crowd

KEYS = Keys("dag-retry")
ODD_RUN = "a:b+c/d 'e' \"f\" <g>&\t%" + "h" * 230


def fail(counter: AttemptCounter, dag_id: str, run_id: str, generation: int = 0, cap: int = 1) -> Claim:
    return counter.claim(dag_id, run_id, generation=generation, max_attempts=cap, failed_try=FailedTry("load"))


def exhaust(counter: AttemptCounter, dag_id: str, run_id: str) -> None:
    counter.confirm(fail(counter, dag_id, run_id))
    counter.acknowledge(fail(counter, dag_id, run_id, generation=1))


def succeed(counter: AttemptCounter, dag_id: str, run_id: str) -> None:
    counter.confirm(fail(counter, dag_id, run_id))
    counter.succeed(dag_id, run_id)


def beat(client: Any, **fields: Any) -> None:
    """Write what a sweeper says of itself."""
    client.hset(KEYS.sweeper(), mapping=fields)
    client.pexpire(KEYS.sweeper(), 60_000)


def later(client: Any, than: tuple[int, int]) -> bool:
    now = client.time()
    return bool((now[0], now[1] // 1000) > (than[0], than[1] // 1000))


@pytest.fixture
def overview(client: Any) -> Overview:
    return Overview(client)


@pytest.fixture
def filled(counter: AttemptCounter, client: Any) -> None:
    """Six runs of three Dags, each change in a later ms."""
    for make, dag_id, run_id in (
        (fail, "orders", "run-1"),
        (exhaust, "orders", "run-2"),
        (succeed, "orders", "run-3"),
        (exhaust, "stock", "run-1"),
        (succeed, "stock", "run-2"),
        (fail, "sto", ODD_RUN),
    ):
        make(counter, dag_id, run_id)
        now = client.time()
        servers.until(partial(later, client, now))


def ids(runs: list[RunRecord | Unreadable]) -> list[tuple[str, str]]:
    return [(run.dag_id, run.run_id) for run in runs]


@pytest.mark.usefixtures("filled")
class TestRuns:
    def test_newest_first(self, overview: Overview) -> None:
        page = overview.runs("recent")
        assert ids(page.runs) == [
            ("sto", ODD_RUN), ("stock", "run-2"), ("stock", "run-1"), ("orders", "run-3"), ("orders", "run-2"),
            ("orders", "run-1"),
        ]  # fmt: skip
        assert page.offset is None
        assert ids(overview.runs("attention").runs) == [("stock", "run-1"), ("orders", "run-2")]

    def test_recent_is_by_events_and_a_loser_changes_nothing(
        self, overview: Overview, counter: AttemptCounter, client: Any
    ) -> None:
        before = ids(overview.runs("recent").runs)
        fail(counter, "orders", "run-2", generation=1)
        assert ids(overview.runs("recent").runs) == before
        Interventions(client).reset("orders", "run-2")
        before.remove(("orders", "run-2"))
        assert ids(overview.runs("recent").runs) == [("orders", "run-2"), *before]

    def test_active_is_due_soonest_first(self, overview: Overview, counter: AttemptCounter) -> None:
        """Those that are retried come last: it is their record's end that they wait for."""
        counter.confirm(fail(counter, "sto", "retried"))
        counter.claim("sto", "waiting", generation=0, max_attempts=1, delays=[timedelta(hours=1)])
        counter.claim("sto", "untold", generation=0, max_attempts=1, skip="disabled")
        assert ids(overview.runs("active").runs) == [
            ("orders", "run-1"), ("sto", ODD_RUN), ("sto", "untold"), ("sto", "waiting"), ("sto", "retried")
        ]  # fmt: skip
        assert overview.runs("overdue").runs == []

    def test_overdue_longest_first(self, overview: Overview, client: Any) -> None:
        quick = AttemptCounter(client, lease=timedelta(milliseconds=1))
        for run_id in ("first", "second", "third"):
            fail(quick, "late", run_id)
            servers.until(partial(later, client, client.time()))
        servers.until(lambda: overview.sizes().overdue == 3)
        late = [("late", "first"), ("late", "second"), ("late", "third")]
        assert ids(overview.runs("overdue").runs) == late
        assert ids(overview.runs("active").runs) == [*late, ("orders", "run-1"), ("sto", ODD_RUN)]
        first = overview.runs("overdue", limit=1)
        assert (ids(first.runs), first.offset) == (late[:1], 1)
        assert ids(overview.runs("overdue", offset=1).runs) == late[1:]
        assert overview.runs("overdue", dag_ids=["sto"]).runs == []

    def test_filters(self, overview: Overview) -> None:
        assert ids(overview.runs("recent", dag_ids={"stock"}).runs) == [("stock", "run-2"), ("stock", "run-1")]
        assert overview.runs("recent", dag_ids=[]).runs == []
        assert ids(overview.runs("recent", statuses={"succeeded"}, dag_ids={"orders", "sto"}).runs) == [
            ("orders", "run-3")
        ]
        middle = overview.runs("recent", dag_ids={"stock"}).runs[1]
        assert isinstance(middle, RunRecord)
        assert len(overview.runs("recent", since=middle.updated_at).runs) == 3
        assert len(overview.runs("recent", until=middle.updated_at).runs) == 4
        assert len(overview.runs("recent", since=middle.updated_at, until=middle.updated_at).runs) == 1

    def test_filters_of_an_index(self, overview: Overview) -> None:
        newer, older = overview.runs("attention").runs
        assert isinstance(newer, RunRecord)
        assert isinstance(older, RunRecord)
        assert overview.runs("attention", since=newer.updated_at).runs == [newer]
        assert overview.runs("attention", until=older.updated_at) == Page([older], None)
        assert overview.runs("attention", until=older.updated_at - 1).runs == []
        first, second = overview.runs("active").runs
        assert isinstance(second, RunRecord)
        assert overview.runs("active", since=second.updated_at).runs == [second]
        assert overview.runs("active", until=second.updated_at - 1).runs == [first]
        assert overview.runs("active", statuses={"waiting"}).runs == []

    def test_a_change_without_an_event_is_a_change(
        self, overview: Overview, counter: AttemptCounter, client: Any
    ) -> None:
        """An ending is acknowledged seconds after its event, when its hooks have run."""
        skipped = counter.claim("late", "run", generation=0, max_attempts=1, skip="disabled")
        servers.until(partial(later, client, client.time()))
        counter.acknowledge(skipped)
        changed = overview.run("late", "run")
        assert isinstance(changed, RunRecord)
        assert changed.updated_at > overview.events(limit=1)[0].at
        assert overview.runs("recent", since=changed.updated_at).runs == [changed]
        assert overview.runs("recent", since=changed.updated_at + 1).runs == []

    def test_pages(self, overview: Overview) -> None:
        whole = overview.runs("recent").runs
        for limit in (1, 2, 5, 6):
            paged: list[RunRecord | Unreadable] = []
            offset: int | None = 0
            while offset is not None:
                page = overview.runs("recent", limit=limit, offset=offset)
                assert len(page.runs) <= limit
                paged += page.runs
                offset = page.offset
            assert paged == whole

    def test_expired_records_are_left_out(self, overview: Overview, client: Any) -> None:
        client.delete(KEYS.run("stock", "run-2"))
        assert ("stock", "run-2") not in ids(overview.runs("recent").runs)
        assert overview.run("stock", "run-2") is None

    def test_sizes_and_sums(self, overview: Overview) -> None:
        sizes = overview.sizes()
        assert sizes == Sizes(sizes.now, attention=2, active=2, overdue=0)
        assert overview.stats() == {"won": 6, "cleared": 4, "exhausted": 2, "succeeded": 2}
        assert overview.stats_of(["stock", "none", None])[:2] == [
            {"won": 2, "cleared": 2, "exhausted": 1, "succeeded": 1},
            {},
        ]
        assert overview.outcomes(since=0) == {
            "orders": Counter(claimed=1, exhausted=1, succeeded=1),
            "stock": Counter(exhausted=1, succeeded=1),
            "sto": Counter(claimed=1),
        }
        assert overview.outcomes(since=0, dag_ids=["sto"]) == {"sto": Counter(claimed=1)}
        assert overview.outcomes(since=sizes.now + 1000) == {}
        assert overview.dag_ids() == {"orders", "stock", "sto"}


@pytest.mark.usefixtures("filled")
class TestEvents:
    def test_timeline_is_one_runs(self, overview: Overview, counter: AttemptCounter) -> None:
        fail(counter, "orders", "run-2", generation=0)
        told = overview.timeline("orders", "run-2")
        assert [event.event for event in told] == ["won", "cleared", "exhausted", "lost"]
        assert {(event.dag_id, event.run_id, event.task_id) for event in told} == {("orders", "run-2", "load")}
        assert [event.at for event in told] == sorted(event.at for event in told)
        assert told[-1].reason == "stale"

    def test_timeline_of_odd_ids_and_of_none(self, overview: Overview) -> None:
        assert [event.event for event in overview.timeline("sto", ODD_RUN)] == ["won"]
        assert overview.timeline("sto", "none") == []

    def test_latest_first(self, overview: Overview) -> None:
        latest = overview.events(limit=3)
        assert [(event.dag_id, event.event) for event in latest] == [
            ("sto", "won"),
            ("stock", "succeeded"),
            ("stock", "cleared"),
        ]
        assert overview.events(after=latest[1].id) == latest[:1]
        assert [event.run_id for event in overview.events(dag_ids=["sto"])] == [ODD_RUN]
        assert overview.events(dag_ids=[]) == []

    def test_stream_of_many_pages(self, overview: Overview, client: Any) -> None:
        before = ids(overview.runs("recent").runs)
        for _ in range(2100):
            client.xadd(KEYS.events(), {"event": "taken_over", "dag_id": "orders", "run_id": "run-1"})
        assert len(overview.timeline("orders", "run-1")) == 2101
        assert [event.dag_id for event in overview.events(dag_ids=["sto"])] == ["sto"]
        assert len(overview.events(limit=2100)) == 2100
        # Each run once, although each page of the stream holds events of this one.
        recent = [before[-1], *before[:-1]]
        assert ids(overview.runs("recent").runs) == recent
        assert [ids(overview.runs("recent", limit=1, offset=place).runs) for place in range(6)] == [
            [run] for run in recent
        ]
        assert overview.dag_ids() == {"orders", "stock", "sto"}

    def test_a_timeline_begins_with_the_first_failure(
        self, overview: Overview, counter: AttemptCounter, client: Any
    ) -> None:
        """Also where Redis stamped its event earlier than the script read the time (as from 7.2 on)."""
        record = overview.run("orders", "run-1")
        assert isinstance(record, RunRecord)
        client.hset(KEYS.run("orders", "run-1"), "budget_at", record.budget_at + 2)
        assert [event.event for event in overview.timeline("orders", "run-1")] == ["won"]
        counter.succeed("orders", "run-1", generation=1)
        fail(counter, "orders", "run-1", generation=2)
        told = [event.event for event in overview.timeline("orders", "run-1")]
        assert told == ["won", "succeeded", "won"]


@pytest.mark.usefixtures("filled")
class TestForeign:
    """Whatever stands under our names, the rest is read, and this is shown as what it is."""

    @pytest.mark.parametrize(
        ("write", "why"),
        [
            (lambda client, key: (client.delete(key), client.hset(key, "my", "own"), client.expire(key, 60)), "status"),
            (lambda client, key: client.hdel(key, "attempt", "status"), "status"),
            (lambda client, key: client.hdel(key, "lost"), "lost"),
            (lambda client, key: client.hset(key, "attempt", "<b>many</b>"), "many"),
            (lambda client, key: client.hset(key, "status", "unheard of"), "unheard of"),
            (lambda client, key: (client.delete(key), client.set(key, "a text", ex=60)), "something else"),
        ],
        ids=["foreign", "half-written", "a field is missing", "no number", "no status", "no hash"],
    )
    def test_unreadable(self, overview: Overview, client: Any, write: Callable[[Any, str], object], why: str) -> None:
        write(client, KEYS.run("stock", "run-1"))
        seen = overview.runs("recent").runs
        assert len(seen) == 6
        (unreadable,) = (run for run in seen if isinstance(run, Unreadable))
        assert (unreadable.dag_id, unreadable.run_id) == ("stock", "run-1")
        assert why in unreadable.why
        assert unreadable.why.startswith(("not of schema v1: ", "its key holds something else: "))
        assert overview.run("stock", "run-1") == unreadable
        assert [event.event for event in overview.timeline("stock", "run-1")] == ["won", "cleared", "exhausted"]
        # It counts where it has a status, whatever else it lacks.
        key = KEYS.run("stock", "run-1")
        status = client.hget(key, "status") if client.type(key) == "hash" else None
        outcomes = overview.outcomes(since=0)
        assert sum(sum(found.values()) for found in outcomes.values()) == (6 if status else 5)
        assert outcomes["stock"][status or ""] == (1 if status else 0)

    def test_events(self, overview: Overview, client: Any) -> None:
        client.xadd(KEYS.events(), {"dag_id": "stock", "attempt": "x"})
        client.xadd(KEYS.events(), {"anything": "else"})
        other, half = overview.events(limit=2)
        assert (other.event, other.dag_id, other.map_index) == ("", "", -1)
        assert (half.dag_id, half.attempt) == ("stock", 0)
        assert overview.events(dag_ids=["stock"], limit=1) == [half]

    @pytest.mark.parametrize(
        ("which", "key"),
        [
            ("attention", KEYS.index("attention")),
            ("active", KEYS.index("active")),
            ("overdue", KEYS.index("active")),
            ("recent", KEYS.events()),
        ],
    )
    def test_list_of_another_type(self, overview: Overview, client: Any, which: Any, key: str) -> None:
        client.delete(key)
        client.set(key, "a text", ex=60)
        with pytest.raises(CounterError, match="not ours"):
            overview.runs(which)

    def test_member_without_a_run(self, overview: Overview, client: Any) -> None:
        client.zadd(KEYS.index("attention"), {"nonsense": 1, "": 2})
        assert len(overview.runs("attention").runs) == 2
        client.xadd(KEYS.events(), {"event": "won"})
        assert len(overview.runs("recent").runs) == 6

    # fakeredis keeps no bytes that are no text in a client that decodes.
    @pytest.mark.parametrize("client", ["redis"], indirect=True)
    def test_no_text(self, client: Any, redis_url: str) -> None:
        client.hset(KEYS.run("stock", "run-1"), "error", b"\xff\xfe")
        with pytest.raises(CounterError, match="none of ours"):
            Overview(client).runs("recent")
        with redis.Redis.from_url(redis_url) as raw:
            record = Overview(raw).run("stock", "run-1")
            assert isinstance(record, RunRecord)
            assert record.failed_try.error == "\\xff\\xfe"
            assert len(Overview(raw).runs("recent").runs) == 6


def test_empty(overview: Overview) -> None:
    assert overview.runs("recent").runs == []
    assert overview.events() == []
    assert overview.stats() == {}
    assert overview.outcomes(since=0) == {}
    assert overview.sizes()[1:] == (0, 0, 0)
    assert overview.dag_ids() == set()
    assert all(overview.runs(which) == Page([], None) for which in get_args(List))


def test_away() -> None:
    with redis.Redis(port=1) as nobody, pytest.raises(CounterError, match="unreachable"):
        Overview(nobody).runs("recent")


def test_an_event_is_the_streams(overview: Overview, counter: AttemptCounter, client: Any) -> None:
    fail(counter, "orders", "run")
    ((entry_id, fields),) = client.xrange(KEYS.events())
    (event,) = overview.events()
    assert event == Event.of(entry_id, fields)
    assert {name: str(getattr(event, name)) for name in fields} == fields


class TestHealth:
    """Runs that wait for a sweeper, and endings that nobody was told of."""

    def test_nothing_waits(self, overview: Overview, counter: AttemptCounter) -> None:
        exhaust(counter, "orders", "told")
        counter.confirm(fail(counter, "orders", "retrying"))
        fail(counter, "orders", "claimed")
        health = overview.health()
        assert health == Health(health.now, None, 0, 0)
        assert (health.missing, health.broken, health.queued) == (False, None, frozenset())

    def test_delays_and_dead_holders_wait(self, overview: Overview, counter: AttemptCounter, client: Any) -> None:
        counter.claim("orders", "delayed", generation=0, max_attempts=1, delays=[timedelta(hours=1)])
        quick = AttemptCounter(client, lease=timedelta(milliseconds=1))
        fail(quick, "orders", "dead")
        quick.claim("stock", "untold", generation=0, max_attempts=1, skip="disabled")
        servers.until(lambda: overview.sizes().overdue == 2)
        counter.confirm(fail(counter, "orders", "retrying"))
        client.zadd(KEYS.index("active"), {"orders:retrying": 1, "orders:expired": 1})
        assert overview.health().waiting == 3
        assert overview.health(dag_ids=["stock"]).waiting == 1
        assert overview.health(dag_ids=[]).waiting == 0

    def test_a_missing_sweeper(self, overview: Overview, counter: AttemptCounter, client: Any) -> None:
        counter.claim("orders", "delayed", generation=0, max_attempts=1, delays=[timedelta(hours=1)])
        assert overview.health().missing
        beat(client, at=overview.now(), fault="login", fault_text="no", fault_at=1, queued='[["orders", "run"]]')
        health = overview.health()
        assert not health.missing
        assert health.broken == health.heartbeat == overview.heartbeat()
        assert health.queued == {("orders", "run")}
        beat(client, at=overview.now() - 300_000)
        stopped = overview.health()
        assert stopped.missing
        # Nobody knows whether what it said still holds.
        assert (stopped.broken, stopped.queued) == (None, frozenset())

    @pytest.mark.parametrize(
        ("due", "faults", "untold"),
        [(-121_000, 0, 1), (-119_000, 0, 0), (60_000, 0, 0), (3_600_000, 1, 1)],
        ids=["long due", "due", "not due", "its hook fails"],
    )
    def test_untold(
        self, overview: Overview, counter: AttemptCounter, client: Any, due: int, faults: int, untold: int
    ) -> None:
        exhaust(counter, "orders", "told")
        counter.confirm(fail(counter, "orders", "run"))
        fail(counter, "orders", "run", generation=1)
        due_at = overview.now() + due
        client.hset(KEYS.run("orders", "run"), mapping={"due_at": due_at, **({"faults": faults} if faults else {})})
        client.zadd(KEYS.index("active"), {"orders:run": due_at})
        assert overview.health().untold == untold
        record = overview.run("orders", "run")
        assert isinstance(record, RunRecord)
        assert record.faults == faults
        assert record.untold(overview.now()) == bool(untold)


def test_heartbeat(overview: Overview, client: Any) -> None:
    assert overview.heartbeat() is None
    beat(client, at=5, holder="host:1", api="http://airflow", fault="login", fault_text="no", fault_at=3,
         looked_until=4, queued=json.dumps([["orders", ODD_RUN]]))  # fmt: skip
    assert overview.heartbeat() == Heartbeat(
        5, "host:1", "http://airflow", 4, "login", "no", 3, frozenset({("orders", ODD_RUN)})
    )


@pytest.mark.parametrize("queued", ["", "{", "7", '["ab"]', '[["a"]]'])
def test_heartbeat_of_another_hand(overview: Overview, client: Any, queued: str) -> None:
    beat(client, queued=queued, fault_at="soon")
    assert overview.heartbeat() is None
    beat(client, at=5)
    found = overview.heartbeat()
    assert found is not None
    assert (found.at, found.fault_at) == (5, 0)


RUNS = 100_000
CROWD = """
local dag_id, run_id, at = 'dag_' .. number % 200, 'run-' .. number, string.format('%.0f', ARGV[3] - number)
local member = dag_id .. ':' .. run_id
redis.call('COPY', 'model', '{dag-retry}:v1:run:' .. member)
redis.call('HSET', '{dag-retry}:v1:run:' .. member, 'updated_at', at, 'budget_at', at)
redis.call('ZADD', '{dag-retry}:v1:attention', at, member)
redis.call('ZADD', '{dag-retry}:v1:active', at, member)
if number < 10000 then
  redis.call('XADD', '{dag-retry}:v1:events', '*', 'event', 'exhausted', 'dag_id', dag_id, 'run_id', run_id)
end
redis.call('SET', 'foreign:' .. number, 'x')
"""


@pytest.fixture(scope="module")
def crowded(redis_url: str) -> Iterator[Any]:
    """100,000 records, as the scripts write them: all need a human, and all are due; and other keys beside them."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        counter = AttemptCounter(client)
        exhaust(counter, "dag_0", "run-0")
        client.rename(KEYS.run("dag_0", "run-0"), "model")
        crowd(client, RUNS, CROWD, client.hget("model", "updated_at"))
        yield client
        client.flushall()


@pytest.mark.parametrize(
    "read",
    [
        lambda overview: overview.sizes(),
        lambda overview: overview.runs("attention"),
        lambda overview: overview.runs("attention", dag_ids={"dag_7", "dag_8"}),
        lambda overview: overview.runs("attention", dag_ids={"none"}),
        lambda overview: overview.runs("attention", statuses={"blocked"}),
        lambda overview: overview.runs("attention", statuses={"exhausted"}, offset=90_000),
        lambda overview: overview.runs("attention", until=overview.now() - 90_000, dag_ids={"dag_7"}),
        lambda overview: overview.runs("active", statuses={"blocked"}),
        lambda overview: overview.runs("overdue"),
        lambda overview: overview.runs("recent"),
        lambda overview: overview.runs("recent", statuses={"blocked"}),
        lambda overview: overview.run("dag_7", "run-7"),
        lambda overview: overview.timeline("dag_7", "run-7"),
        lambda overview: overview.timeline("dag_7", "none"),
        lambda overview: overview.events(),
        lambda overview: overview.events(dag_ids={"none"}),
        lambda overview: overview.stats_of(f"dag_{number}" for number in range(200)),
        lambda overview: overview.outcomes(since=0),
        lambda overview: overview.dag_ids(),
    ],
    ids=[
        "sizes", "attention", "two Dags", "a Dag without runs", "a status without runs",
        "far down", "long ago", "active", "overdue", "recent", "recent, a status without runs", "run", "timeline",
        "timeline of none", "events",
        "events of none", "stats per Dag", "outcomes", "Dags",
    ],
)  # fmt: skip
def test_100_000_records(crowded: Any, read: Callable[[Overview], Any], capsys: pytest.CaptureFixture[str]) -> None:
    crowded.config_resetstat()
    begin = time.perf_counter()
    assert read(Overview(crowded)) is not None
    taken = time.perf_counter() - begin
    with capsys.disabled():
        print(f" {taken * 1000:.0f} ms", end="")
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in crowded.info("commandstats").items()}
    # Redis 6.2 counts no subcommands.
    for harmless in ("config", "config|resetstat", "info", "client|setinfo", "hello"):
        calls.pop(harmless, None)
    assert calls.keys() <= {
        "zcard",
        "zcount",
        "zrange",
        "hget",
        "hgetall",
        "eval",
        "evalsha",
        "xrange",
        "xrevrange",
        "time",
    }
    assert calls.pop("hget", 0) <= 10_000
    assert calls.pop("hgetall", 0) <= 300
    assert calls.pop("zrange", 0) <= RUNS / 1000
    assert sum(calls.values()) <= 60


def test_statuses_without_runs_end_in_time_and_go_on(crowded: Any) -> None:
    page = Overview(crowded).runs("attention", statuses={"blocked"})
    assert (page.runs, page.offset) == ([], 10_000)
    assert crowded.zcard(KEYS.index("attention")) == RUNS
    assert Status.BLOCKED.value == "blocked"


@pytest.mark.parametrize("dag_ids", [None, {"dag_7"}, {"none"}], ids=["all", "a Dag", "none"])
def test_health_of_100_000_records(crowded: Any, dag_ids: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All are endings, of which no hook was told: the worst case."""
    crowded.config_resetstat()
    begin = time.perf_counter()
    health = Overview(crowded).health(dag_ids=dag_ids)
    taken = time.perf_counter() - begin
    with capsys.disabled():
        print(f" {taken * 1000:.0f} ms", end="")
    assert (health.waiting > 0) == (dag_ids != {"none"})
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in crowded.info("commandstats").items()}
    assert calls.get("hget", 0) <= 10_000
    assert calls["hgetall"] <= 1001
