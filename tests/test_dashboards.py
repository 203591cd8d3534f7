"""The keys as an interface: what dashboards send, and the files that are shipped for them, against a real Redis."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dag_retry import AttemptCounter, FailedTry, RunRecord, Status
from dag_retry._redis.keys import Index, Keys
from dag_retry._redis.overview import Overview
from dag_retry._redis.scripts import text_of
from dag_retry.cli.prometheus import EVENTS, Collector
from dag_retry.cli.verbs.dashboards import FILES
from dag_retry.cli.verbs.dashboards import text_of as text_of_file
from tests.servers import unavailable, until

KEYS = Keys("dag-retry")
DASHBOARDS = [name for name in FILES if name.endswith(".json")]


@pytest.fixture(scope="module")
def seeded(redis_url: str) -> Iterator[Any]:
    """A Redis with runs in each status, one of them overdue, as a dashboard's user that may only read."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        client.flushall()
        counter = AttemptCounter(client, lease=timedelta(milliseconds=1))

        def fail(run_id: str, generation: int = 0, **options: Any) -> Any:
            failed = FailedTry("load", 3, "0199", "TimeoutError")
            return counter.claim(
                "daily_load", run_id, generation=generation, max_attempts=1, failed_try=failed, **options
            )

        fail("waiting", delays=[timedelta(hours=1)])
        counter.confirm(fail("retrying"))
        for run_id in ("exhausted", "succeeded"):
            counter.confirm(fail(run_id))
        counter.acknowledge(fail("exhausted", 1))
        fail("exhausted", 1)
        counter.succeed("daily_load", "succeeded")
        blocked = fail("blocked")
        counter.block(blocked, reason="http_403")
        counter.acknowledge(blocked)
        counter.acknowledge(fail("skipped", skip="disabled"))
        fail("overdue")
        until(lambda: Overview(client).sizes().overdue == 1)
        now = Overview(client).now()
        says = {"at": now - 60_000, "fault": "tls", "fault_at": now - 120_000, "queued": '[["daily_load", "retrying"]]'}
        client.hset(KEYS.sweeper(), mapping=says)
        yield client
        client.flushall()


class TestCommands:
    """Exactly the commands that dashboards send; no client of ours, no Lua."""

    def test_hgetall_and_hmget(self, seeded: Any) -> None:
        key = KEYS.run("daily_load", "exhausted")
        record = seeded.execute_command("HGETALL", key)
        assert record["status"] == "exhausted"
        numbers = ("generation", "base", "attempt", "max_attempts", "lost", "map_index", "budget_at", "updated_at",
                   "due_at")  # fmt: skip
        assert all(re.fullmatch(r"-?\d+", value) for value in seeded.execute_command("HMGET", key, *numbers))
        shown = ("attempt", "max_attempts", "lost", "error")
        assert seeded.execute_command("HMGET", key, *shown) == ["1", "1", "1", "TimeoutError"]

    def test_zcard(self, seeded: Any) -> None:
        sizes: dict[Index, int] = {"active": 3, "attention": 3}
        assert {name: seeded.execute_command("ZCARD", KEYS.index(name)) for name in sizes} == sizes

    def test_zcount(self, seeded: Any) -> None:
        seconds, _ = seeded.time()
        active = KEYS.index("active")
        assert seeded.execute_command("ZCOUNT", active, "-inf", seconds * 1000 + 1000) == 1
        # The waiting one in an hour, and the one that is retried when its record expires.
        assert seeded.execute_command("ZCOUNT", active, "-inf", (seconds + 3700) * 1000) == 2

    def test_zrange_withscores_and_limits(self, seeded: Any) -> None:
        rows = seeded.execute_command("ZRANGE", KEYS.index("attention"), 0, -1, "WITHSCORES")
        assert set(rows[::2]) == {"daily_load:exhausted", "daily_load:blocked", "daily_load:skipped"}
        scores = [int(score) for score in rows[1::2]]
        assert scores == sorted(scores)
        assert seeded.execute_command("ZRANGE", KEYS.index("attention"), 0, 0, "REV", "WITHSCORES") == rows[-2:]
        newest = ("+inf", "-inf", "BYSCORE", "REV", "LIMIT", 0, 2, "WITHSCORES")
        assert seeded.execute_command("ZRANGE", KEYS.index("attention"), *newest) == [*rows[-2:], *rows[-4:-2]]
        assert seeded.execute_command("ZREVRANGE", KEYS.index("attention"), 0, 1, "WITHSCORES")[0] == rows[-2]

    def test_xrevrange_has_uniform_fields(self, seeded: Any) -> None:
        entries = seeded.execute_command("XREVRANGE", KEYS.events(), "+", "-", "COUNT", 100)
        names = {tuple(fields) for _, fields in entries}
        assert names == {
            ("event", "dag_id", "run_id", "generation", "attempt", "max_attempts", "reason", "level", "holder",
             "task_id", "map_index", "error")
        }  # fmt: skip
        numbers = ("generation", "attempt", "max_attempts", "map_index")
        assert all(re.fullmatch(r"-?\d+", fields[name]) for _, fields in entries for name in numbers)
        assert {fields["event"] for _, fields in entries} <= set(EVENTS)

    def test_stats_are_numbers(self, seeded: Any) -> None:
        of_all = seeded.execute_command("HGETALL", KEYS.stats())
        assert of_all == seeded.execute_command("HGETALL", KEYS.stats("daily_load"))
        assert all(value.isdecimal() for value in of_all.values())

    def test_scan_by_pattern(self, seeded: Any) -> None:
        # In MATCH a brace is a brace; [, ], *, ? and \ are not, and no dag_id holds any.
        found: set[str] = set()
        cursor = 0
        while True:
            cursor, keys = seeded.execute_command(
                "SCAN", cursor, "MATCH", "{dag-retry}:v1:run:daily_load:*", "COUNT", 100
            )
            found.update(keys)
            if not int(cursor):
                break
        assert len(found) == 7
        assert all(seeded.execute_command("TYPE", key) == "hash" for key in found)


class TestNumbers:
    """What redis_exporter does with ``--script``: EVAL without keys, and a list of names and numerals."""

    def test_only_numbers(self, seeded: Any) -> None:
        flat = seeded.execute_command("EVAL", text_of("numbers"), 0)
        numbers = dict(zip(flat[::2], map(float, flat[1::2]), strict=True))
        sizes = Overview(seeded).sizes()
        for name in ("active", "attention", "overdue"):
            assert numbers[name] == getattr(sizes, name)
        assert numbers["overdue"] == 1
        (longest,) = Overview(seeded).runs("overdue").runs
        assert isinstance(longest, RunRecord)
        assert 0 <= numbers["overdue_seconds"] <= (sizes.now - longest.due_at) / 1000
        assert set(numbers) == {"active", "attention", "overdue", "overdue_seconds", "events"} | {
            f"event_{event}" for event in Overview(seeded).stats()
        }
        assert numbers["events"] == seeded.xlen(KEYS.events())
        stats = {f"event_{event}": count for event, count in Overview(seeded).stats().items()}
        assert {name: numbers[name] for name in numbers if name.startswith("event_")} == stats

    def test_read_only(self, seeded: Any) -> None:
        sha = seeded.script_load(text_of("numbers"))
        assert seeded.execute_command("EVALSHA_RO", sha, 0, "dag-retry") == seeded.execute_command("EVALSHA", sha, 0)

    def test_another_namespace(self, seeded: Any) -> None:
        flat = seeded.execute_command("EVAL_RO", text_of("numbers"), 0, "other")
        assert set(flat[1::2]) == {"0"}


@pytest.fixture
def dashboard(request: pytest.FixtureRequest) -> Any:
    return json.loads(text_of_file(request.param))


def panels(dashboard: Any) -> list[Any]:
    return list(dashboard["panels"])


@pytest.mark.parametrize("dashboard", DASHBOARDS, indirect=True)
class TestDashboards:
    def test_grafanas_types_hold_it_without_loss(self, dashboard: Any) -> None:
        """Their models drop what they don't know; each panel's and query's own options are of its plugin."""
        pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk needs Python 3.11")
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.models.dashboard import Dashboard

        held = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))

        def lost(ours: Any, theirs: Any, path: str) -> Iterator[str]:
            if isinstance(ours, dict) and isinstance(theirs, dict):
                for name, value in ours.items():
                    if name not in theirs and value not in (None, False, "", [], {}):
                        yield f"{path}.{name}"
                    elif name in theirs:
                        yield from lost(value, theirs[name], f"{path}.{name}")
            elif isinstance(ours, list) and isinstance(theirs, list):
                assert len(ours) == len(theirs), path
                for number, pair in enumerate(zip(ours, theirs, strict=True)):
                    yield from lost(*pair, f"{path}[{number}]")
            elif ours != theirs:
                yield f"{path}: {ours!r} is {theirs!r}"

        assert list(lost(dashboard, held, "")) == []

    def test_panels_have_room(self, dashboard: Any) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in panels(dashboard):
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken
            taken |= cells
        ids = [panel["id"] for panel in panels(dashboard)]
        assert len(set(ids)) == len(ids)
        assert all(panel["description"] for panel in panels(dashboard))


def command_of(target: Any) -> list[str]:
    """Return what the Redis data source sends for a query (its ``redis-zset.go``, ``redis-stream.go``, ``…``)."""
    # A variable of the dashboard, and one of Grafana's own: the end of the time range, in ms.
    variables = {"${namespace}": "dag-retry", "${__to}": str(time.time_ns() // 10**6 + 60_000)}
    for variable, value in variables.items():
        target = {name: str(of).replace(variable, value) for name, of in target.items()}
    if target["type"] == "cli":
        return shlex.split(target["query"])
    command, key = target["command"].upper(), target["keyName"]
    if command == "HGETALL":
        return [command, key]
    if command == "ZRANGE":
        return [command, key, target["min"], target["max"], *filter(None, [target["zrangeQuery"]]), "WITHSCORES"]
    assert command == "XREVRANGE"
    return [command, key, target["end"], target["start"], "COUNT", target["count"]]


REDIS_QUERIES = [
    pytest.param(target, id=panel["title"])
    for panel in panels(json.loads(text_of_file("grafana-redis.json")))
    for target in panel["targets"]
]


@pytest.mark.parametrize("target", REDIS_QUERIES)
def test_redis_queries(seeded: Any, target: Any) -> None:
    command = command_of(target)
    assert not any("$" in word for word in command)
    assert seeded.execute_command(*command)


def served(client: Any) -> dict[str, Any]:
    """Return the samples that ``dag-retry metrics`` serves, by name and labels."""
    registry = CollectorRegistry()
    registry.register(Collector(Overview(client)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {sample.name: {} for sample in samples} | {
        name: {tuple(s.labels.values()): s.value for s in samples if s.name == name}
        for name in {s.name for s in samples}
    }


def found_promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        unavailable("promtool (Debian: prometheus)")
        raise AssertionError
    return found


def queries() -> dict[str, str]:
    of_panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels(json.loads(text_of_file("grafana-prometheus.json")))
        for target in panel["targets"]
    }
    rules = yaml.safe_load(text_of_file("prometheus-alerts.yml"))["groups"][0]["rules"]
    return of_panels | {rule["alert"]: rule["expr"] for rule in rules}


class TestPrometheus:
    def test_metrics(self, seeded: Any) -> None:
        metrics = served(seeded)
        assert metrics["dag_retry_up"] == {(): 1}
        sizes = Overview(seeded).sizes()
        for name in ("active", "attention", "overdue"):
            assert metrics[f"dag_retry_{name}_runs"] == {(): getattr(sizes, name)}
        assert {name for name in metrics if name.endswith("_runs")} == {
            "dag_retry_active_runs", "dag_retry_attention_runs", "dag_retry_overdue_runs", "dag_retry_dag_runs",
            "dag_retry_waiting_runs", "dag_retry_queued_runs", "dag_retry_untold_runs",
        }  # fmt: skip
        assert metrics["dag_retry_overdue_seconds"][()] > 0
        runs = {("daily_load", status.value): int(status is not Status.UNCLAIMED) for status in Status}
        assert metrics["dag_retry_dag_runs"] == runs
        events = {event: count for (event,), count in metrics["dag_retry_events_total"].items()}
        assert events == dict.fromkeys(EVENTS, 0) | Overview(seeded).stats()
        assert metrics["dag_retry_dag_events_total"] == {
            ("daily_load", event): count for event, count in events.items()
        }

    def test_sweepers(self, seeded: Any) -> None:
        metrics = served(seeded)
        assert 60 <= metrics["dag_retry_sweeper_age_seconds"][()] < 200
        assert metrics["dag_retry_api_fault"] == {("tls",): 1}
        assert 120 <= metrics["dag_retry_api_fault_seconds"][()] < 260
        assert metrics["dag_retry_queued_runs"] == {(): 1}
        # The one with a delay, and the one whose holder is dead.
        assert metrics["dag_retry_waiting_runs"] == {(): 2}
        assert metrics["dag_retry_untold_runs"] == {(): 0}

    def test_no_sweeper_has_ever_run(self, seeded: Any) -> None:
        says = seeded.hgetall(KEYS.sweeper())
        seeded.delete(KEYS.sweeper())
        try:
            metrics = served(seeded)
        finally:
            seeded.hset(KEYS.sweeper(), mapping=says)
        assert metrics["dag_retry_sweeper_age_seconds"] == {(): float("inf")}
        assert metrics["dag_retry_api_fault"] == {("",): 0}
        assert metrics["dag_retry_api_fault_seconds"] == metrics["dag_retry_queued_runs"] == {(): 0}

    def test_untold(self, seeded: Any) -> None:
        key = KEYS.run("daily_load", "untold")
        seeded.copy(KEYS.run("daily_load", "exhausted"), key)
        seeded.hset(key, "due_at", 1)
        seeded.zadd(KEYS.index("active"), {"daily_load:untold": 1})
        try:
            assert served(seeded)["dag_retry_untold_runs"] == {(): 1}
        finally:
            seeded.delete(key)
            seeded.zrem(KEYS.index("active"), "daily_load:untold")

    def test_away(self, capsys: pytest.CaptureFixture[str]) -> None:
        with redis.Redis(port=1) as nobody:
            assert served(nobody) == {"dag_retry_up": {(): 0}}
        assert "unreachable" in capsys.readouterr().out

    @pytest.mark.parametrize("expr", queries().values(), ids=queries())
    def test_queries_name_what_is_served(self, seeded: Any, expr: str) -> None:
        metrics = served(seeded)
        names = set(re.findall(r"\bdag_retry_\w+", expr))
        assert names
        assert names <= metrics.keys()
        events = {event for (event,) in metrics["dag_retry_events_total"]}
        for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]+)"', expr):
            known = events if label == "event" else {status.value for status in Status}
            assert label in ("event", "status")
            assert set(value.split("|") if operator == "=~" else [value]) <= known

    def test_promtool(self, tmp_path: Path) -> None:
        """Grafana's queries are put into rules of their own: promtool parses those as well."""
        promtool = found_promtool()
        rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries().values())]
        (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
        (tmp_path / "alerts.yml").write_text(text_of_file("prometheus-alerts.yml"))
        for name in ("alerts.yml", "queries.yml"):
            subprocess.run([promtool, "check", "rules", name], cwd=tmp_path, check=True, capture_output=True)

    def test_alerts_fire(self, tmp_path: Path) -> None:
        """A day of samples for each alert, by promtool's own engine."""
        promtool = found_promtool()
        (tmp_path / "alerts.yml").write_text(text_of_file("prometheus-alerts.yml"))
        of_dag = 'dag_retry_dag_events_total{dag_id="d",event="%s"}'
        fires = {
            "DagRetryExhausted": (of_dag % "exhausted", "0x1430 1x20"),
            "DagRetryBlocked": (of_dag % "blocked", "0x1430 1x20"),
            "DagRetryUnclaimed": (of_dag % "unclaimed", "0x1430 1x20"),
            "DagRetryNewDagNeedsHuman": ('dag_retry_dag_runs{dag_id="d",status="unclaimed"}', "_x1430 1x20"),
            "DagRetryOverdue": ("dag_retry_overdue_seconds", "0x1430 301x20"),
            "DagRetryNoSweeper": ("dag_retry_sweeper_age_seconds", "30x1430" + " Inf" * 20),
            "DagRetryApiUnusable": ('dag_retry_api_fault{reason="tls"}', "_x1430 1x20"),
            "DagRetryUntold": ("dag_retry_untold_runs", "0x1430 1x20"),
            "DagRetryStillQueued": ("dag_retry_queued_runs", "0x1420 1x30"),
            "DagRetryDuplicates": ('dag_retry_events_total{event="lost"}', "0x1430 100x20"),
            "DagRetryRedisAway": ("dag_retry_up", "1x1430 0x20"),
        }
        beside = {
            "DagRetryNoSweeper": ("dag_retry_waiting_runs", "3x1450"),
            "DagRetryApiUnusable": ("dag_retry_api_fault_seconds", "0x1430 301x20"),
        }
        rules = yaml.safe_load(text_of_file("prometheus-alerts.yml"))["groups"][0]["rules"]
        assert {rule["alert"] for rule in rules} == fires.keys()
        tests = []
        for alert, (series, values) in fires.items():
            quiet = {"eval_time": "23h", "alertname": alert, "exp_alerts": []}
            loud = {"eval_time": "1440m", "alertname": alert, "exp_alerts": [{}]}
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": name, "values": samples}
                        for name, samples in [(series, values), *([beside[alert]] if alert in beside else [])]
                    ],
                    "alert_rule_test": [quiet, loud],
                }
            )
        (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": tests}))
        done = subprocess.run(
            [promtool, "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        # What is expected has no labels here: what it fired is read from the report.
        fired = re.findall(r"alertname: (\w+), time: (\w+)", done.stdout + done.stderr)
        assert fired == [(alert, "1d") for alert in fires], done.stdout + done.stderr
        assert not re.search(r"got:\[\s*\]", done.stdout + done.stderr)
