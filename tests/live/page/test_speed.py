"""100,000 records: the page answers from the indexes, with a bounded number of commands."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dag_retry._redis.keys import Keys
from tests.live.page.conftest import Site

pytestmark = pytest.mark.live

RUNS, EVENTS = 100_000, 8_000
KEYS = Keys("dag-retry")
STATUSES = ("exhausted", "succeeded", "waiting", "blocked", "retrying")
READS = {"time", "zrange", "zcount", "hget", "hgetall", "evalsha", "xrange", "xrevrange"}


@pytest.fixture(scope="module")
def crowd(site: Site) -> Iterator[None]:
    """A fifth of the runs in each of five statuses, over half a year of minutes, of 20 Dags."""
    client = site.live.client
    record: dict[str, object] = {
        "generation": 1, "base": 0, "attempt": 1, "max_attempts": 2, "lost": 0, "claim_id": "c", "level": "task",
        "task_id": "t", "map_index": -1, "ti_id": "i", "error": "E", "flags": "", "reason": "max_attempts",
    }  # fmt: skip
    seconds, _ = client.time()
    made: list[str] = []
    for start in range(0, RUNS, 2000):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(start, start + 2000):
                dag_id, run_id, at = f"page_many_{number % 20}", f"run-{number:06}", seconds * 1000 - number * 25_000
                status, member = STATUSES[number // 20 % 5], f"{dag_id}:{run_id}"
                key = KEYS.run(dag_id, run_id)
                times = dict.fromkeys(("budget_at", "updated_at"), at)
                due_at = at if status == "waiting" else 0
                pipeline.hset(key, mapping={**record, **times, "status": status, "due_at": due_at})
                pipeline.pexpire(key, 600_000)
                if status in ("exhausted", "blocked"):
                    pipeline.zadd(KEYS.index("attention"), {member: at})
                if status in ("waiting", "retrying"):
                    look_at = at if status == "waiting" else at + 30 * 86_400_000
                    pipeline.zadd(KEYS.index("active"), {member: look_at})
                made.append(member)
            pipeline.execute()
    event = {"event": "won", "generation": 1, "attempt": 1, "max_attempts": 2, "reason": "claimed", "level": "task"}
    entries = []
    for start in range(EVENTS, 0, -2000):
        with client.pipeline(transaction=False) as pipeline:
            for member in reversed(made[start - 2000 : start]):
                dag_id, _, run_id = member.partition(":")
                pipeline.xadd(KEYS.events(), {"dag_id": dag_id, "run_id": run_id, **event})
            entries += pipeline.execute()
    yield
    client.xdel(KEYS.events(), *entries)
    for start in range(0, RUNS, 2000):
        members = made[start : start + 2000]
        client.delete(*(KEYS.run(*member.split(":", 1)) for member in members))
        for index in ("attention", "active"):
            client.zrem(f"{{dag-retry}}:v1:{index}", *members)


@pytest.mark.parametrize(
    ("user", "path", "rows"),
    [
        ("editor", "api/runs", 25),
        ("editor", "api/runs?limit=200", 200),
        ("editor", "api/runs?dag=many_7", 25),
        ("editor", "api/runs?dag=nothing", 0),
        ("editor", "api/runs?status=blocked", 25),
        ("editor", "api/runs?status=succeeded", 25),
        ("editor", "api/runs?status=unclaimed", 0),
        ("editor", "api/runs?dag=many_19&status=exhausted", 25),
        ("reader", "api/runs", None),
        ("editor", "api/recovery", None),
        ("editor", "api/run?dag_id=page_many_7&run_id=run-000007", None),
    ],
)
@pytest.mark.usefixtures("crowd")
def test_100_000_records(
    site: Site, user: str, path: str, rows: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    site.http("GET", "/dag-retry/api/runs", user)  # scripts and connections are there
    client = site.live.client
    client.config_resetstat()
    begin = time.perf_counter()
    answer = site.http("GET", f"/dag-retry/{path}", user)
    taken = time.perf_counter() - begin
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in client.info("commandstats").items()}
    for ours in ("config|resetstat", "info"):
        calls.pop(ours, None)
    with capsys.disabled():
        print(f" {taken * 1000:.0f} ms, {len(answer.content) / 1000:.0f} kB, {calls}", end="")

    assert answer.status_code == 200
    if rows is not None:
        assert max(map(len, answer.json()["sections"].values())) in (rows, 2 * rows)
    assert calls.keys() <= READS
    # The reason is read too of a skipped run: the other tests of the page leave a few.
    assert calls.pop("hget", 0) <= 2 * 10_000 + 20
    assert calls.pop("hgetall", 0) <= 4 * 201 + 121
    assert sum(calls.values()) <= 200
