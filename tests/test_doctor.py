"""``dag-retry doctor`` at set-ups that are broken in one way each: it names that fault, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dag_retry import AttemptCounter
from dag_retry._airflow.ways.atomic import ROUTE
from dag_retry._redis.keys import Keys
from dag_retry.cli import main
from tests.servers import AOF, RedisServer, free_port, until
from tests.stub_api import StubApi, answer

PREFIX = "AIRFLOW__DAG_RETRY__"
RIGHTS = (
    "+hello +eval +evalsha +time +exists +hgetall +hmget +hset +hincrby +pexpire +pttl +zadd +zrem +zremrangebyscore "
    "+xadd +zrangebyscore +xrevrange"
)
"""Of the package's user, as lua/README.md gives them; a sweeper's with them."""
READS = "+zcard +zcount +zrange +hget +xrange"
"""Of the command line's and the page's, beside those."""


@dataclass
class Airflow(StubApi):
    """A stand-in that also answers what a doctor asks."""

    version: str = "3.3.2"
    clock: timedelta = timedelta(0)
    scheduler: str = "healthy"
    may_clear: bool = True
    is_paused: bool = False
    most_tasks: int = 16
    most_runs: int = 16
    tags: tuple[str, ...] = ("dag-retry",)
    callback_in_defaults: bool = True
    route_says: dict[str, Any] | None = field(default_factory=lambda: {"ready": True, "why_not": ""})

    def beside(self, request: Request) -> Response | None:
        if request.path == ROUTE and request.method == "GET":
            return answer(200, self.route_says) if self.route_says else answer(404, {"detail": "Not Found"})
        return super().beside(request)

    def act(self, request: Request) -> Response:
        if request.path == "/api/v2/version":
            return answer(200, {"version": self.version, "git_version": None})
        if request.path == "/api/v2/monitor/health":
            now = (datetime.now(timezone.utc) + self.clock).isoformat()
            scheduler = {"status": self.scheduler, "latest_scheduler_heartbeat": now}
            return answer(200, {"scheduler": scheduler, "dag_processor": {"status": "healthy"}})
        if request.headers.get("Authorization") == f"Bearer {self.token}":
            if request.path == f"/api/v2/dags/{self.dag_id}/details":
                return answer(
                    200,
                    {
                        "dag_id": self.dag_id,
                        "is_paused": self.is_paused,
                        "max_consecutive_failed_dag_runs": 0,
                        "max_active_tasks": self.most_tasks,
                        "max_active_runs": self.most_runs,
                        "tags": [{"name": tag, "dag_id": self.dag_id} for tag in self.tags],
                        "owners": ["etl"],
                        "default_args": {"has_on_failure_callback": True} if self.callback_in_defaults else {},
                    },
                )
            if request.path == f"/api/v2/dags/{self.dag_id}/tasks":
                return answer(200, {"tasks": [{"task_id": name, "depends_on_past": True} for name in "abc"]})
            if request.path.endswith("/clear") and not self.may_clear:
                return answer(403, {"detail": "Forbidden"})
        return super().act(request)


class Doctor:
    """A healthy set-up, to be broken, and what the doctor finds of it."""

    def __init__(self, stack: ExitStack, folder: Path, server: HTTPServer, monkeypatch: Any, capsys: Any) -> None:
        self._stack = stack
        self._folder = folder
        self._capsys = capsys
        self.monkeypatch = monkeypatch
        self.airflow = Airflow(server)
        self.set(api_url=self.airflow.url, api_username="retry", api_password="s3cret")

    def set(self, **options: str | None) -> None:
        for name, value in options.items():
            if value is None:
                self.monkeypatch.delenv(PREFIX + name.upper())
            else:
                self.monkeypatch.setenv(PREFIX + name.upper(), value)

    def redis(self, *lines: str) -> RedisServer:
        server = self._stack.enter_context(RedisServer(self._folder / f"redis-{free_port()}", *lines))
        self.set(redis_url=server.url)
        return server

    def find(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code, and what is not well."""
        code = main(["doctor", "daily_load", "--json", *arguments])
        found = json.loads(self._capsys.readouterr().out)
        assert all(set(finding) == {"check", "grade", "found", "remedy"} for finding in found)
        assert all(bool(finding["remedy"]) == (finding["grade"] != "ok") for finding in found)
        return code, {finding["check"]: finding for finding in found if finding["grade"] != "ok"}

    def ok(self, check: str) -> str:
        """Return what was found where all is well."""
        assert main(["doctor", "daily_load", "--json"]) == 0
        found = {finding["check"]: finding for finding in json.loads(self._capsys.readouterr().out)}
        assert found[check]["grade"] == "ok"
        return str(found[check]["found"])

    def only(self, check: str, grade: str = "fault") -> Any:
        """Return the one finding that is not ok."""
        code, found = self.find()
        assert list(found) == [check], found
        assert found[check]["grade"] == grade
        assert code == (1 if grade == "fault" else 0)
        return found[check]


@pytest.fixture
def doctor(
    tmp_path: Path,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Doctor]:
    with ExitStack() as stack:
        yield Doctor(stack, tmp_path, httpserver, monkeypatch, capsys)


def test_all_is_well(doctor: Doctor) -> None:
    server = doctor.redis(*AOF)
    with server.client() as client:
        before = doctor.airflow.clears
        assert doctor.find() == (0, {})
        assert doctor.airflow.clears == before == 0
        until(lambda: list(client.scan_iter()) == [])


def test_people_see_it_too(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.redis(*AOF)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "append-only file" in shown
    assert "name one: dag-retry doctor DAG_ID" in shown


class TestRedis:
    def test_wrong_password(self, doctor: Doctor) -> None:
        server = doctor.redis(*AOF, "requirepass right")
        doctor.set(redis_url=f"redis://:wr0ng@127.0.0.1:{server.port}/0")
        finding = doctor.only("Redis")
        assert "the login is refused" in finding["remedy"]
        assert "wr0ng" not in str(finding)

    def test_unreachable(self, doctor: Doctor) -> None:
        doctor.set(redis_url=f"redis://127.0.0.1:{free_port()}/0")
        assert "unreachable" in doctor.only("Redis")["remedy"]

    def test_no_setting(self, doctor: Doctor) -> None:
        assert "[dag_retry] redis_url" in doctor.only("Redis")["remedy"]

    def test_a_connection_that_is_not_there(self, doctor: Doctor) -> None:
        doctor.set(redis_conn_id="nobodys")
        finding = doctor.only("Redis")
        assert finding["found"] == "AirflowNotFoundException"
        assert "the Airflow Connection 'nobodys' was not found: make it" in finding["remedy"]

    def test_by_a_connection(self, doctor: Doctor) -> None:
        server = doctor.redis(*AOF)
        doctor.monkeypatch.setenv("AIRFLOW_CONN_COUNTER", server.url)
        doctor.set(redis_url=None, redis_conn_id="counter")
        assert doctor.find() == (0, {})
        doctor.set(redis_url=server.url)
        assert "redis_url too: keep one" in doctor.only("Redis")["remedy"]

    @pytest.mark.parametrize("right", ["eval", "evalsha"])
    def test_acl_without_scripts(self, doctor: Doctor, right: str) -> None:
        self.as_user(doctor, f"{RIGHTS} {READS} +info -{right}")
        finding = doctor.find()[1]["scripts"]
        assert finding["grade"] == "fault"
        assert f"'{right}'" in finding["found"]
        assert "its user lacks a right" in finding["remedy"]

    @pytest.mark.parametrize("right", ["exists", "xadd", "hmget", "hset", "pexpire", "zrangebyscore"])
    def test_acl_without_a_command_of_the_scripts(self, doctor: Doctor, right: str) -> None:
        self.as_user(doctor, f"{RIGHTS} {READS} +info -{right}")
        finding = doctor.find()[1]["scripts"]
        assert finding["grade"] == "fault"
        assert finding["found"].startswith(f"ResponseError: {right.upper()}: ")
        assert "its user lacks a right" in finding["remedy"]

    def test_a_user_without_info(self, doctor: Doctor) -> None:
        self.as_user(doctor, f"{RIGHTS} {READS}")
        doctor.only("persistence, eviction, memory", "unknown")

    def test_a_user_who_may_not_look(self, doctor: Doctor) -> None:
        self.as_user(doctor, f"{RIGHTS} +info")
        assert "zcard" in doctor.only("reads of the command line and the page", "warning")["found"]

    def test_another_namespace_than_the_users(self, doctor: Doctor) -> None:
        self.as_user(doctor, f"{RIGHTS} {READS} +info")
        doctor.set(namespace="other")
        assert "the namespace is not its own" in doctor.find()[1]["scripts"]["remedy"]

    def as_user(self, doctor: Doctor, rights: str) -> None:
        server = doctor.redis(*AOF)
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "retry", "on", ">secret", "~{dag-retry}:v1:*", *rights.split())
        doctor.set(redis_url=f"redis://retry:secret@127.0.0.1:{server.port}/0")

    def test_it_evicts(self, doctor: Doctor) -> None:
        doctor.redis(*AOF, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
        assert "allkeys-lru" in doctor.only("eviction")["found"]

    def test_no_persistence(self, doctor: Doctor) -> None:
        doctor.redis()
        finding = doctor.only("persistence", "warning")
        assert finding["found"].startswith("none")
        assert "appendonly yes" in finding["remedy"]

    def test_snapshots_only(self, doctor: Doctor) -> None:
        server = doctor.redis()
        with server.client() as admin:
            admin.config_set("save", "3600 1")
        assert doctor.only("persistence", "warning")["found"].startswith("snapshots only")

    def test_memory_full(self, doctor: Doctor) -> None:
        server = doctor.redis(*AOF)
        with server.client() as admin:
            admin.config_set("maxmemory", 1000)
        code, found = doctor.find()
        assert code == 1
        assert set(found) == {"scripts", "memory"}
        assert "it is full" in found["memory"]["found"]
        assert "its memory is full" in found["scripts"]["remedy"]

    def test_a_replica(self, doctor: Doctor) -> None:
        primary = doctor.redis(*AOF)
        doctor.redis(*AOF, f"replicaof 127.0.0.1 {primary.port}")
        assert "this is a replica" in doctor.find()[1]["scripts"]["remedy"]

    def test_a_key_of_anothers(self, doctor: Doctor) -> None:
        server = doctor.redis(*AOF)
        with server.client() as client:
            client.set(Keys("dag-retry").index("attention"), "a text")
        finding = doctor.only("reads of the command line and the page", "warning")
        assert "not ours" in finding["remedy"]


class TestSweeper:
    @pytest.fixture
    def client(self, doctor: Doctor) -> Iterator[Any]:
        """Redis, with a run that waits for a sweeper."""
        with doctor.redis(*AOF).client() as client:
            counter = AttemptCounter(client)
            counter.claim("daily_load", "run", generation=0, max_attempts=1, delays=[timedelta(hours=1)])
            yield client

    def beat(self, client: Any, ago: int = 0, **says: Any) -> None:
        now = client.time()[0] * 1000
        client.hset(Keys("dag-retry").sweeper(), mapping={"at": now - ago, "holder": "host:1", **says})

    def test_none_has_ever_run(self, doctor: Doctor, client: Any) -> None:
        finding = doctor.only("sweeper")
        assert finding["found"] == "none has ever run; 1 run waits for one"
        assert "dag-retry sweep" in finding["remedy"]

    def test_none_for_minutes(self, doctor: Doctor, client: Any) -> None:
        self.beat(client, 420_000)
        assert doctor.only("sweeper")["found"] == "the last sweep was 7 min ago, by host:1; 1 run waits for one"

    def test_it_lives(self, doctor: Doctor, client: Any) -> None:
        self.beat(client, 60_000, api=doctor.airflow.url)
        assert doctor.find() == (0, {})

    def test_a_holder_that_is_dead(self, doctor: Doctor) -> None:
        with doctor.redis(*AOF).client() as client:
            counter = AttemptCounter(client, lease=timedelta(milliseconds=1))
            counter.claim("daily_load", "run", generation=0, max_attempts=1)
            active = Keys("dag-retry").index("active")
            until(lambda: client.zcount(active, "-inf", client.time()[0] * 1000))
        assert "1 run waits" in doctor.only("sweeper")["found"]

    @pytest.mark.parametrize(
        ("fault", "remedy"), [("login", "api_token"), ("tls", "api_ca_file"), ("api_away", "API server runs")]
    )
    def test_its_way_is_broken(self, doctor: Doctor, client: Any, fault: str, remedy: str) -> None:
        since = client.time()[0] * 1000 - 720_000
        self.beat(client, fault=fault, fault_text="it says why", fault_at=since)
        finding = doctor.only("way of the sweepers")
        assert finding["found"] == f"broken for 12 min ({fault}): it says why"
        assert remedy in finding["remedy"]

    def test_a_fault_that_nobody_has_seen_lately(self, doctor: Doctor, client: Any) -> None:
        self.beat(client, 420_000, fault="tls", fault_text="it said why", fault_at=1)
        doctor.only("sweeper")

    def test_two_airflows_on_one_redis(self, doctor: Doctor, client: Any) -> None:
        self.beat(client, api="http://another:8080")
        finding = doctor.only("namespace")
        assert "http://another:8080" in finding["found"]
        assert doctor.airflow.url in finding["found"]
        assert "give each its namespace" in finding["remedy"]

    def test_a_sweeper_without_credentials(self, doctor: Doctor, client: Any) -> None:
        self.beat(client, api="")
        assert doctor.find() == (0, {})


class TestAirflow:
    @pytest.fixture(autouse=True)
    def redis(self, doctor: Doctor) -> None:
        doctor.redis(*AOF)

    def test_branches_that_run_one_after_another(self, doctor: Doctor) -> None:
        doctor.airflow.most_tasks = 2
        found = doctor.only("max_active_tasks", "warning")
        assert "has 3 tasks and runs 2 at once" in found["found"]

    def test_runs_that_wait_for_each_other(self, doctor: Doctor) -> None:
        doctor.airflow.most_runs = 1
        assert "set max_active_runs to 2 or more" in doctor.only("depends_on_past", "warning")["remedy"]

    def test_no_route(self, doctor: Doctor) -> None:
        doctor.airflow.route_says = None
        assert "install airflow-dag-retry where the API server runs" in doctor.only("way to clear", "warning")["remedy"]

    def test_a_route_that_does_not_know_this_airflow(self, doctor: Doctor) -> None:
        doctor.airflow.route_says = {"ready": False, "why_not": "clear_dag_run has moved"}
        assert "clear_dag_run has moved" in doctor.only("way to clear", "warning")["found"]

    def test_no_credentials(self, doctor: Doctor) -> None:
        doctor.set(api_username=None, api_password=None)
        assert "sweeper_dag" in doctor.only("way to clear", "warning")["remedy"]

    def test_3_1(self, doctor: Doctor) -> None:
        doctor.airflow.version = "3.1.8"
        finding = doctor.only("Airflow version")
        assert finding["found"] == "3.1.8"
        assert "upgrade" in finding["remedy"]

    def test_airflow_2(self, doctor: Doctor, httpserver: HTTPServer) -> None:
        doctor.set(api_url=f"{doctor.airflow.url}/elsewhere")
        assert "older ones have no /api/v2" in doctor.only("Airflow's API")["remedy"]

    def test_unreachable(self, doctor: Doctor) -> None:
        doctor.set(api_url=f"http://127.0.0.1:{free_port()}")
        assert "see that it runs" in doctor.only("Airflow's API")["remedy"]

    def test_a_connection_that_is_not_there(self, doctor: Doctor) -> None:
        doctor.set(api_url=None, api_username=None, api_password=None, api_conn_id="nobodys")
        assert "the Airflow Connection 'nobodys' was not found" in doctor.only("Airflow's API")["remedy"]

    def test_by_a_connection(self, doctor: Doctor) -> None:
        there = doctor.airflow.url.replace("http://", "http://retry:s3cret@")
        doctor.monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW", there)
        doctor.set(api_url=None, api_username=None, api_password=None, api_conn_id="airflow")
        assert doctor.find() == (0, {})
        doctor.set(api_password="s3cret")
        assert "api_password too: keep one" in doctor.only("Airflow's API")["remedy"]

    def test_expired_token(self, doctor: Doctor) -> None:
        doctor.set(api_username=None, api_password=None, api_token="that-is-over")
        finding = doctor.only("login")
        assert "Token Expired" in finding["found"]
        assert "set a new api_token" in finding["remedy"]
        assert "that-is-over" not in str(finding)

    def test_wrong_login(self, doctor: Doctor) -> None:
        doctor.set(api_password="wr0ng")
        finding = doctor.only("login")
        assert "api_password" in finding["remedy"]
        assert "wr0ng" not in str(finding)

    def test_missing_permission(self, doctor: Doctor) -> None:
        doctor.airflow.may_clear = False
        assert "may read daily_load, but may not clear its runs" in doctor.only("permission to clear")["found"]

    def test_no_such_dag(self, doctor: Doctor) -> None:
        doctor.airflow.dag_id = "another"
        assert "404" in doctor.only("Dag daily_load")["found"]

    @pytest.mark.parametrize(("hours", "way"), [(1, "ahead of"), (-1, "behind")])
    def test_clock_off(self, doctor: Doctor, hours: int, way: str) -> None:
        doctor.airflow.clock = timedelta(hours=hours)
        assert way in doctor.only("clocks")["found"]

    def test_no_scheduler(self, doctor: Doctor) -> None:
        doctor.airflow.scheduler = "unhealthy"
        doctor.only("scheduler", "warning")

    def test_paused(self, doctor: Doctor) -> None:
        doctor.airflow.is_paused = True
        doctor.only("paused", "warning")

    def test_not_attached(self, doctor: Doctor) -> None:
        doctor.airflow.tags = ()
        assert "by hand" in doctor.only("callbacks", "unknown")["remedy"]
        doctor.airflow.callback_in_defaults = False
        assert "dag_args" in doctor.only("callbacks", "warning")["remedy"]

    def test_who_attached_them(self, doctor: Doctor) -> None:
        made, attached = "made with dag_args", "attached by the section: [dag_retry] attach_to_owners"
        assert doctor.ok("callbacks").startswith(made)
        doctor.set(attach_to_tags="nightly", attach_to_owners="etl")
        assert doctor.ok("callbacks").startswith(f"{made} (tag dag-retry), or {attached}")
        doctor.airflow.callback_in_defaults = False
        assert doctor.ok("callbacks").startswith(attached)

    def test_selected_and_not_attached(self, doctor: Doctor) -> None:
        doctor.airflow.tags, doctor.airflow.callback_in_defaults = ("nightly",), False
        doctor.set(attach_to_tags="nightly")
        finding = doctor.only("callbacks", "warning")
        assert "attach_to_tags (AIRFLOW__DAG_RETRY__ATTACH_TO_TAGS) selects daily_load here" in finding["found"]
        assert "wherever Dag files are parsed" in finding["remedy"]

    def test_selected_and_a_setting_is_wrong(self, doctor: Doctor) -> None:
        doctor.set(attach_to_tags="*", max_attempts="many")
        assert "max_attempts (AIRFLOW__DAG_RETRY__MAX_ATTEMPTS) is 'many'" in doctor.only("callbacks")["remedy"]

    @pytest.mark.parametrize(("limit", "grade"), [("1", "fault"), ("10", "warning")])
    def test_no_time_for_a_callback(self, doctor: Doctor, limit: str, grade: str) -> None:
        doctor.monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", limit)
        assert "TASK_SUCCESS_OVERTIME" in doctor.only("a callback's time", grade)["remedy"]


def test_all_at_once(doctor: Doctor) -> None:
    """Each is named, whatever else is wrong."""
    breakages: list[Callable[[], object]] = [
        lambda: doctor.redis("maxmemory 100mb", "maxmemory-policy volatile-ttl"),
        lambda: setattr(doctor.airflow, "version", "3.0.6"),
        lambda: setattr(doctor.airflow, "may_clear", False),
        lambda: setattr(doctor.airflow, "clock", timedelta(minutes=5)),
    ]
    for breakage in breakages:
        breakage()
    code, found = doctor.find()
    assert code == 1
    assert set(found) == {"persistence", "eviction", "Airflow version", "clocks", "permission to clear"}
