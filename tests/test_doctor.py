"""``dag-retry doctor`` at set-ups that are broken in one way each: it names that fault, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dag_retry import AttemptCounter
from dag_retry._airflow.tested import TESTED
from dag_retry._airflow.ways.atomic import ROUTE
from dag_retry._redis.keys import Keys
from dag_retry.cli import main
from dag_retry.cli.doctor.dag import of_file
from dag_retry.sweeper.advice import DAG_FILE
from tests import stub_dag
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
SWEEPER = Keys("dag-retry").sweeper()


@dataclass
class Airflow(StubApi):
    """A stand-in that also answers what a doctor asks."""

    version: str = "3.3.2"
    clock: timedelta = timedelta(0)
    scheduler: str = "healthy"
    may_clear: bool = True
    details: dict[str, Any] = field(default_factory=dict)
    backfills: list[dict[str, Any]] = field(default_factory=list)
    import_errors: dict[str, str] = field(default_factory=dict)
    sweeper_dag: dict[str, Any] | None = None
    forbidden: str = ""
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
            what = request.path.removeprefix("/api/v2/").replace(f"dags/{self.dag_id}/", "")
            if what == self.forbidden:
                return answer(403, {"detail": "Forbidden"})
            if what == "details":
                return answer(200, stub_dag.details(self.dag_id) | self.details)
            if what == "tasks":
                return answer(200, {"tasks": stub_dag.tasks(self.dag_id)})
            if what == "assets":
                return answer(200, {"assets": stub_dag.assets(request.args["dag_ids"])})
            if what == "importErrors":
                errors = [{"filename": file, "stack_trace": error} for file, error in self.import_errors.items()]
                return answer(200, {"import_errors": errors})
            if what == "dags/dag_retry_sweeper" and self.sweeper_dag:
                return answer(200, self.sweeper_dag)
            if what == "backfills":
                return answer(200, {"backfills": self.backfills})
            if request.path.endswith("/clear") and not self.may_clear:
                return answer(403, {"detail": "Forbidden"})
        return super().act(request)


def beat(client: Any, ago: int = 0, **says: Any) -> None:
    """Say what a sweeper said, so many ms ago."""
    now = client.time()[0] * 1000
    client.hset(SWEEPER, mapping={"at": now - ago, "holder": "host:1", **says})


class Doctor:
    """A healthy set-up, to be broken, and what the doctor finds of it."""

    def __init__(self, stack: ExitStack, folder: Path, server: HTTPServer, monkeypatch: Any, capsys: Any) -> None:
        self._stack = stack
        self._folder = folder
        self._capsys = capsys
        self.monkeypatch = monkeypatch
        self.airflow = Airflow(server)
        self.set(api_url=self.airflow.url, api_username="retry", api_password="s3cret")
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", stub_dag.BUNDLES)
        monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "false")

    def set(self, **options: str | None) -> None:
        for name, value in options.items():
            if value is None:
                self.monkeypatch.delenv(PREFIX + name.upper())
            else:
                self.monkeypatch.setenv(PREFIX + name.upper(), value)

    def redis(self, *lines: str, sweeps: bool = True) -> RedisServer:
        server = self._stack.enter_context(RedisServer(self._folder / f"redis-{free_port()}", *lines))
        self.set(redis_url=server.url)
        if sweeps:
            # One that refuses this has a fault that its test is about.
            with server.client() as client, suppress(redis.RedisError):
                beat(client)
        return server

    def find(self, dag_id: str = "daily_load") -> tuple[int, dict[str, Any]]:
        """Return the exit code, and what is not well.

        :param dag_id: the Dag; empty for none.
        """
        code = main(["doctor", *filter(None, [dag_id]), "--json"])
        found = json.loads(self._capsys.readouterr().out)
        assert all(set(finding) == {"check", "grade", "found", "remedy"} for finding in found)
        assert all(bool(finding["remedy"]) == (finding["grade"] != "ok") for finding in found)
        # Without a Dag nobody can say whether its runs may be cleared.
        asks_for_a_dag = "permission to clear" if not dag_id else ""
        not_well = [each for each in found if each["grade"] != "ok" and each["check"] != asks_for_a_dag]
        by_check = {finding["check"]: finding for finding in not_well}
        assert len(by_check) == len(not_well), not_well
        return code, by_check

    def ok(self, check: str) -> str:
        """Return what was found where all is well."""
        assert main(["doctor", "daily_load", "--json"]) == 0
        found = {finding["check"]: finding for finding in json.loads(self._capsys.readouterr().out)}
        assert found[check]["grade"] == "ok"
        return str(found[check]["found"])

    def only(self, check: str, grade: str = "fault", dag_id: str = "daily_load") -> Any:
        """Return the one finding that is not ok."""
        code, found = self.find(dag_id)
        assert list(found) == [check], found
        assert found[check]["grade"] == grade
        assert code == (1 if grade == "fault" else 0)
        return found[check]


@pytest.fixture(scope="session", autouse=True)
def parsed() -> None:
    """Parse the Dags, here and once: Airflow's loggers keep the stdout that they first saw, not that of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{PREFIX}API_TOKEN", "needed for scope 'failed'")
        stub_dag.dags()


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
        until(lambda: list(client.scan_iter()) == [SWEEPER])


def test_people_see_it_too(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.redis(*AOF)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "append-only file" in shown
    assert "name one: dag-retry doctor DAG_ID" in shown


class TestSettings:
    """The section is examined with a Dag and without one, and whatever else is wrong."""

    @pytest.fixture(autouse=True)
    def redis(self, doctor: Doctor) -> None:
        doctor.redis(*AOF)

    @pytest.mark.parametrize(
        ("typed", "remedy"),
        [
            ("AIRFLOW__DAG_RETRY__MAX_ATEMPTS", "did you mean AIRFLOW__DAG_RETRY__MAX_ATTEMPTS?"),
            ("AIRFLOW__DAG_RETRY__max_attempts", "did you mean AIRFLOW__DAG_RETRY__MAX_ATTEMPTS?"),
            ("AIRFLOW__DAG_RETRY_MAX_ATTEMPTS", "did you mean AIRFLOW__DAG_RETRY__MAX_ATTEMPTS?"),
            ("AIRFLOW__DAGRETRY__REDIS_URL_CMD", "did you mean AIRFLOW__DAG_RETRY__REDIS_URL_CMD?"),
            ("AIRFLOW__DAG_RETRY__REDIS_URL_COMMAND", "did you mean AIRFLOW__DAG_RETRY__REDIS_URL_CMD?"),
            ("AIRFLOW__DAG_RETRY__API_TIMEOUT_SECRET", "set AIRFLOW__DAG_RETRY__API_TIMEOUT: _CMD and _SECRET are for"),
            ("AIRFLOW__DAG_RETRY__COLOUR", "remove AIRFLOW__DAG_RETRY__COLOUR"),
        ],
    )
    def test_nothing_reads_it(self, doctor: Doctor, typed: str, remedy: str) -> None:
        doctor.monkeypatch.setenv(typed, "s3cret")
        for dag_id in ("daily_load", ""):
            finding = doctor.only(typed, dag_id=dag_id)
            assert finding["found"] == "no option has this name, so nothing reads the setting"
            assert finding["remedy"].startswith(remedy)
            assert "s3cret" not in str(finding)

    @pytest.mark.parametrize("typed", ["AIRFLOW_DAG_RETRY_HOME", "AIRFLOW__CORE__DAG_RETRY"])
    def test_somebody_elses(self, doctor: Doctor, typed: str) -> None:
        doctor.monkeypatch.setenv(typed, "5")
        assert doctor.find() == (0, {})

    def test_in_the_file(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.configuration import conf

        of_file = {"max_atempts": "5", "delay_cmd": "echo 5", "redis_url_cmd": "echo", "max_attempts": "3"}
        for section, options in {"dag_retry": of_file, "dag-retry": {"delay": "5"}}.items():
            monkeypatch.setitem(conf._sections, section, options)
        assert {check: found["remedy"].partition(":")[0] for check, found in doctor.find()[1].items()} == {
            "[dag_retry] max_atempts": "did you mean [dag_retry] max_attempts?",
            "[dag_retry] delay_cmd": "set [dag_retry] delay",
            "[dag-retry] delay": "did you mean [dag_retry] delay?",
        }

    @pytest.mark.parametrize(
        ("name", "value", "remedy"),
        [
            ("max_attempts", "five", "is 'five': use a whole number of 1 or more"),
            ("max_attempts", "30", "is 30, and [dag_retry] max_attempts_limit"),
            ("delay", "5 min", "is 5 min: use e.g. 60"),
            ("retry_on", "TimoutError", "has 'TimoutError', which is no exception"),
            ("reasons", "timeout", "has 'timeout': use task_failure"),
            ("on_exhausted", "our_alerts.page", "use module:function"),
        ],
    )
    def test_a_wrong_value(self, doctor: Doctor, name: str, value: str, remedy: str) -> None:
        doctor.set(**{name: value})
        assert remedy in doctor.only(f"[dag_retry] {name}", dag_id="")["remedy"]

    def test_several(self, doctor: Doctor) -> None:
        """Each is named, though one of them leaves no client of Redis."""
        doctor.set(max_attempts="five", jitter="-1", namespace="a b", scope="all")
        code, found = doctor.find("")
        assert code == 1
        names = ("max_attempts", "jitter", "scope", "namespace")
        assert list(found) == [*(f"[dag_retry] {name}" for name in names), "Redis"]

    def test_a_command_that_fails(self, doctor: Doctor) -> None:
        doctor.monkeypatch.setenv(f"{PREFIX}API_TOKEN_CMD", "sh -c 'echo s3cret; exit 3'")
        finding = doctor.find("")[1]["[dag_retry] api_token"]
        assert "can't be read" in finding["remedy"]
        assert "s3cret" not in str(finding)


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
        with doctor.redis(*AOF, sweeps=False).client() as client:
            counter = AttemptCounter(client)
            counter.claim("daily_load", "run", generation=0, max_attempts=1, delays=[timedelta(hours=1)])
            yield client

    def test_none_has_ever_run(self, doctor: Doctor, client: Any) -> None:
        finding = doctor.only("sweeper")
        assert finding["found"] == "none has ever run; 1 run waits for one"
        assert "dag-retry sweep" in finding["remedy"]

    def test_none_has_ever_run_and_none_is_needed_yet(self, doctor: Doctor) -> None:
        doctor.redis(*AOF, sweeps=False)
        finding = doctor.only("sweeper", "warning")
        assert finding["found"] == "none has ever run; no run waits for one now"
        assert "unpause" not in finding["remedy"]

    @pytest.mark.parametrize(
        ("sweeper_dag", "remedy"),
        [
            (None, f"start the service `dag-retry sweep`, or put a file among your Dags: `{DAG_FILE}`"),
            ({"is_paused": True}, "unpause the Dag dag_retry_sweeper"),
            ({"is_paused": False}, "see why the Dag dag_retry_sweeper does not run"),
        ],
    )
    def test_how_to_start_one(
        self, doctor: Doctor, client: Any, sweeper_dag: dict[str, Any] | None, remedy: str
    ) -> None:
        doctor.airflow.sweeper_dag = sweeper_dag
        assert doctor.only("sweeper")["remedy"] == remedy

    def test_how_to_start_one_without_credentials(self, doctor: Doctor, client: Any) -> None:
        """The service would refuse to start, and the Dag is there only if somebody made its file."""
        doctor.set(api_url=None, api_username=None, api_password=None)
        remedy = doctor.find("")[1]["sweeper"]["remedy"]
        assert remedy.startswith(f"put a file with `{DAG_FILE}` among your Dags. (")
        assert "needs a login: api_username and api_password" in remedy
        assert "unpause" not in remedy

    def test_none_for_minutes(self, doctor: Doctor, client: Any) -> None:
        beat(client, 420_000)
        assert doctor.only("sweeper")["found"] == "the last sweep was 7 min ago, by host:1; 1 run waits for one"

    def test_it_lives(self, doctor: Doctor, client: Any) -> None:
        beat(client, 60_000, api=doctor.airflow.url)
        assert doctor.find() == (0, {})

    def test_a_holder_that_is_dead(self, doctor: Doctor) -> None:
        with doctor.redis(*AOF, sweeps=False).client() as client:
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
        beat(client, fault=fault, fault_text="it says why", fault_at=since)
        finding = doctor.only("way of the sweepers")
        assert finding["found"] == f"broken for 12 min ({fault}): it says why"
        assert remedy in finding["remedy"]

    def test_a_fault_that_nobody_has_seen_lately(self, doctor: Doctor, client: Any) -> None:
        beat(client, 420_000, fault="tls", fault_text="it said why", fault_at=1)
        doctor.only("sweeper")

    def test_two_airflows_on_one_redis(self, doctor: Doctor, client: Any) -> None:
        beat(client, api="http://another:8080")
        finding = doctor.only("namespace")
        assert "http://another:8080" in finding["found"]
        assert doctor.airflow.url in finding["found"]
        assert "give each its namespace" in finding["remedy"]

    def test_a_sweeper_without_credentials(self, doctor: Doctor, client: Any) -> None:
        beat(client, api="")
        assert doctor.find() == (0, {})


class TestAirflow:
    @pytest.fixture(autouse=True)
    def redis(self, doctor: Doctor) -> None:
        doctor.redis(*AOF)

    def test_no_route(self, doctor: Doctor) -> None:
        doctor.airflow.route_says = None
        assert "install airflow-dag-retry where the API server runs" in doctor.only("way to clear", "warning")["remedy"]

    def test_a_route_that_does_not_know_this_airflow(self, doctor: Doctor) -> None:
        doctor.airflow.route_says = {"ready": False, "why_not": "clear_dag_run has moved"}
        assert "clear_dag_run has moved" in doctor.only("way to clear", "warning")["found"]

    def test_no_credentials(self, doctor: Doctor) -> None:
        doctor.set(api_username=None, api_password=None)
        remedy = doctor.only("way to clear", "warning", dag_id="")["remedy"]
        assert "dag_retry.sweeper.sweeper_dag()" in remedy
        assert "set AIRFLOW__DAG_RETRY__API_USERNAME and AIRFLOW__DAG_RETRY__API_PASSWORD" in remedy

    def test_3_1(self, doctor: Doctor) -> None:
        doctor.airflow.version = "3.1.8"
        finding = doctor.only("Airflow version")
        assert finding["found"] == "3.1.8"
        assert "upgrade" in finding["remedy"]

    @pytest.mark.parametrize(("version", "how"), [("3.2.1", "older"), ("3.4.0", "newer"), ("3.5.1", "newer")])
    def test_an_airflow_that_was_not_tested(self, doctor: Doctor, version: str, how: str) -> None:
        doctor.airflow.version = version
        finding = doctor.only("Airflow version", "warning")
        assert finding["found"] == f"{version}, {how} than all that were tested"
        assert "3.2.2, 3.3.2 and 3.4.0b2" in finding["remedy"]

    @pytest.mark.parametrize("version", [*TESTED, "3.3.2-vendor.7", "3.4.0b2+vendor"])
    def test_an_airflow_that_was_tested(self, doctor: Doctor, version: str) -> None:
        doctor.airflow.version = version
        assert doctor.find() == (0, {})

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
        finding = doctor.only("Dag daily_load")
        assert "404" in finding["found"]
        for way in ("correct the id", "airflow dags list-import-errors", "is not parsed yet"):
            assert way in finding["remedy"]

    @pytest.mark.parametrize(
        ("errors", "found"),
        [
            ({"etl.py": "dag_retry.ConfigError: no", "daily_load.py": "SyntaxError"}, "daily_load.py: SyntaxError"),
            ({"etl.py": "lines\ndag_retry.ConfigError: no\n", "a.py": "KeyError"}, "etl.py: dag_retry.ConfigError: no"),
            ({"a.py": "KeyError"}, ""),
        ],
    )
    def test_no_such_dag_and_a_file_that_airflow_cannot_import(
        self, doctor: Doctor, errors: dict[str, str], found: str
    ) -> None:
        doctor.airflow.dag_id = "another"
        doctor.airflow.import_errors = errors
        finding = doctor.only("Dag daily_load")
        assert finding["found"].endswith(f". Airflow can't import {found}" if found else "was not found")
        doctor.airflow.forbidden = "importErrors"
        assert "Airflow can't import" not in doctor.only("Dag daily_load")["found"]

    def test_a_file_that_airflow_can_no_longer_import(self, doctor: Doctor) -> None:
        doctor.airflow.details = {"has_import_errors": True}
        assert "airflow dags list-import-errors" in doctor.only("import error")["remedy"]

    @pytest.mark.parametrize(("hours", "way"), [(1, "ahead of"), (-1, "behind")])
    def test_clock_off(self, doctor: Doctor, hours: int, way: str) -> None:
        doctor.airflow.clock = timedelta(hours=hours)
        assert way in doctor.only("clocks")["found"]

    def test_no_scheduler(self, doctor: Doctor) -> None:
        doctor.airflow.scheduler = "unhealthy"
        doctor.only("scheduler", "warning")

    def test_not_attached(self, doctor: Doctor) -> None:
        doctor.airflow.details = {"relative_fileloc": "elsewhere.py", "tags": []}
        finding = doctor.find()[1]["callbacks"]
        assert finding["grade"] == "unknown"
        assert "by hand" in finding["remedy"]
        doctor.airflow.details["default_args"] = {}
        finding = doctor.find()[1]["callbacks"]
        assert finding["grade"] == "warning"
        assert "dag_args" in finding["remedy"]

    def test_who_attached_them(self, doctor: Doctor) -> None:
        made, attached = "made with dag_args", "attached by the section: [dag_retry] attach_to_owners"
        assert doctor.ok("callbacks").startswith(made)
        doctor.airflow.details = {"owners": ["etl"]}
        doctor.set(attach_to_tags="nightly", attach_to_owners="etl")
        assert doctor.ok("callbacks").startswith(f"{made} (tag dag-retry), or {attached}")
        doctor.airflow.details["default_args"] = {}
        assert doctor.ok("callbacks").startswith(attached)

    def test_selected_and_not_attached(self, doctor: Doctor) -> None:
        doctor.airflow.details = {
            "relative_fileloc": "elsewhere.py",
            "tags": [{"name": "nightly"}],
            "default_args": {},
        }
        doctor.set(attach_to_tags="nightly")
        finding = doctor.find()[1]["callbacks"]
        assert finding["grade"] == "warning"
        assert "attach_to_tags (AIRFLOW__DAG_RETRY__ATTACH_TO_TAGS) selects daily_load here" in finding["found"]
        assert "wherever Dag files are parsed" in finding["remedy"]

    def test_selected_and_a_setting_is_wrong(self, doctor: Doctor) -> None:
        doctor.set(attach_to_tags="*", max_attempts="many")
        code, found = doctor.find()
        assert (code, list(found)) == (1, ["[dag_retry] max_attempts", "callbacks"])
        assert "max_attempts (AIRFLOW__DAG_RETRY__MAX_ATTEMPTS) is 'many'" in found["callbacks"]["remedy"]

    @pytest.mark.parametrize(("limit", "grade"), [("1", "fault"), ("10", "warning")])
    def test_no_time_for_a_callback(self, doctor: Doctor, limit: str, grade: str) -> None:
        doctor.monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", limit)
        assert "TASK_SUCCESS_OVERTIME" in doctor.only("a callback's time", grade)["remedy"]


class TestDag:
    """Dags that meet one hazard each, as their file stands in ``tests/live/cases``."""

    @pytest.fixture(autouse=True)
    def client(self, doctor: Doctor) -> Iterator[Any]:
        with doctor.redis(*AOF).client() as client:
            yield client

    @pytest.fixture
    def only(self, doctor: Doctor) -> Callable[[str, str, str], str]:
        """Return cause and remedy of the one finding that a Dag gets."""

        def only(dag_id: str, check: str, grade: str) -> str:
            doctor.airflow.dag_id = dag_id
            finding = doctor.only(check, grade, dag_id)
            return f"{finding['found']}. {finding['remedy']}"

        return only

    def test_runs_that_wait_for_each_other(self, only: Any) -> None:
        said = only("after_the_last", "depends_on_past", "warning")
        assert "a run cleared after its end and the next run wait for each other" in said
        assert "set max_active_runs to 2 or more" in said

    @pytest.mark.parametrize(
        ("backfill", "run_state", "found"),
        [
            ({"is_paused": True, "completed_at": None}, "failed", "backfill 7 is paused"),
            ({"is_paused": True, "completed_at": "2026-01-01T00:00:00Z"}, "running", "backfill 7 is cancelled"),
        ],
    )
    def test_backfills(self, doctor: Doctor, only: Any, backfill: Any, run_state: str, found: str) -> None:
        doctor.airflow.backfills = [{"id": 7, **backfill}]
        doctor.airflow.runs = [self.run("in_backfills", run_state, run_type="backfill")]
        assert found in only("in_backfills", "backfills", "warning")

    @pytest.mark.parametrize("is_paused", [True, False])
    def test_backfills_that_are_over(self, doctor: Doctor, is_paused: bool) -> None:
        """One was cancelled, the other has completed, and Airflow does not pause such a one."""
        doctor.airflow.dag_id = "in_backfills"
        doctor.airflow.backfills = [{"id": 7, "is_paused": is_paused, "completed_at": "2026-01-01T00:00:00Z"}]
        doctor.airflow.runs = [self.run("in_backfills", "failed", run_type="backfill")]
        assert doctor.find("in_backfills") == (0, {})

    @pytest.mark.skipif(version("apache-airflow-task-sdk") < "1.3", reason="ResumableJobMixin is new in Airflow 3.3")
    def test_a_job_that_is_resumed(self, only: Any) -> None:
        said = only("resuming", "task state", "warning")
        assert said.startswith("submit resumes its job")
        assert "set durable=False, or add dag_run.clear_number" in said

    def test_a_task_that_counts_its_tries(self, only: Any) -> None:
        said = only("counting", "try_number", "note")
        assert said.startswith("skip_when_tried reads try_number")
        assert "dag_run.clear_number" in said

    def test_several_tasks(self, doctor: Doctor) -> None:
        doctor.airflow.dag_id = "in_twos"
        found = doctor.find("in_twos")[1]
        assert found["try_number"]["found"].startswith("skip_1, skip_2 read try_number")
        assert found["retries"]["found"].startswith("skip_1, skip_2: tries of their own come first")

    @pytest.mark.parametrize(
        ("dag_id", "grade", "found", "remedy"),
        [
            ("same_child", "warning", "(trigger_run_id): it exists, so the attempts fail", "set reset_dag_run=True"),
            ("skipped_child", "warning", "(logical_date): it exists, so the task is skipped", "set reset_dag_run=True"),
            ("more_children", "note", "trigger triggers one more run of reader in each attempt", "set trigger_run_id"),
        ],
    )
    def test_children(self, only: Any, dag_id: str, grade: str, found: str, remedy: str) -> None:
        said = only(dag_id, "child Dags", grade)
        assert found in said
        assert remedy in said

    def test_an_asset_that_is_updated_again(self, only: Any) -> None:
        said = only("producer", "assets", "warning")
        assert said.startswith("extract may succeed in a run that fails")
        assert "reader runs each time" in said

    def test_an_asset_that_no_attempt_updates(self, doctor: Doctor) -> None:
        """With scope "failed" what has succeeded does not run again."""
        doctor.airflow.dag_id = "producer_alone"
        assert doctor.find("producer_alone") == (0, {})

    @pytest.mark.parametrize(
        ("dag_id", "grade", "found", "remedy"),
        [
            ("ends_in_clean_up_both", "note", "clean_up (all_done) may end the run well although optional failed: then "
             "nothing is retried", "make clean_up a teardown, or add a leaf that needs optional"),
            ("ends_in_clean_up_task", "warning", 'level="task" clears the run all the same', 'attach level="both"'),
            ("fails_fast", "note", "fail_fast may end the run well although first failed", "leave out"),
        ],
    )  # fmt: skip
    def test_leaves(self, only: Any, dag_id: str, grade: str, found: str, remedy: str) -> None:
        said = only(dag_id, "leaves", grade)
        assert found in said
        assert remedy in said

    @pytest.mark.parametrize(
        ("dag_id", "found", "remedy"),
        [
            ("leaves_its_cluster", "clears the run before take_down has run", "they wait for teardowns"),
            ("works_without_its_cluster", 'scope "failed" does not clear make_cluster', 'set scope to "run"'),
        ],
    )
    def test_teardowns(self, only: Any, dag_id: str, found: str, remedy: str) -> None:
        said = only(dag_id, "teardowns", "warning")
        assert found in said
        assert remedy in said

    @pytest.mark.parametrize("state", ["running", "failed"])
    def test_params_that_no_longer_fit(self, doctor: Doctor, only: Any, state: str) -> None:
        doctor.airflow.runs = [self.run("tightened", state, conf={"number": 50})]
        said = only("tightened", "Params", "warning")
        assert said.startswith("number=50 of run old does not fit")

    def test_params_of_a_run_that_is_long_over(self, doctor: Doctor) -> None:
        doctor.airflow.dag_id = "tightened"
        over = self.run("tightened", "failed", conf={"number": 50}) | {"end_date": "2026-01-01T00:00:00Z"}
        doctor.airflow.runs = [over, self.run("tightened", "running", conf={"number": 5})]
        assert doctor.find("tightened") == (0, {})

    def test_limits_that_are_wrong(self, only: Any) -> None:
        assert "params['dag_retry']['max_attempts'] is 0" in only("limited", "params['dag_retry']", "fault")

    def test_branches_that_fail_one_after_another(self, doctor: Doctor, only: Any) -> None:
        assert "3 tasks side by side and runs 2 at once" in only("narrow_both", "max_active_tasks", "warning")
        doctor.airflow.dag_id = "narrow_dag"
        assert doctor.find("narrow_dag") == (0, {})

    @pytest.mark.parametrize(
        ("dag_id", "grade", "found"),
        [("delayed", "fault", "attempts have a delay"), ("level_task", "warning", "whose task was killed")],
    )
    def test_no_sweeper(self, doctor: Doctor, client: Any, only: Any, dag_id: str, grade: str, found: str) -> None:
        client.delete(SWEEPER)
        assert found in only(dag_id, "sweeper", grade)
        beat(client)
        assert doctor.find(dag_id) == (0, {})

    def test_tasks_that_retry_themselves(self, only: Any) -> None:
        said = only("tries_itself", "retries", "note")
        assert "load: tries of its own come first in each attempt; those of load without a pause" in said

    def test_a_task_that_waits_before_it_starts_again(self, doctor: Doctor, only: Any) -> None:
        assert "load starts up to 5 min late" in only("late", "retry_delay", "warning")
        doctor.airflow.version = "3.4.0b2"
        assert doctor.find("late") == (0, {})

    @pytest.mark.parametrize(
        ("dag_id", "check", "grade", "found"),
        [
            ("without_callbacks", "callbacks", "warning", "not made with dag_args"),
            ("half_attached", "on_success_callback", "warning", "attach on_success_callback=retry.on_success"),
            ("untagged", "tag", "warning", 'add tags=["dag-retry"]'),
            ("with_its_own", "callbacks", "note", "load has no callback of ours"),
        ],
    )
    def test_callbacks(self, only: Any, dag_id: str, check: str, grade: str, found: str) -> None:
        assert found in only(dag_id, check, grade)

    def test_paused(self, doctor: Doctor, only: Any) -> None:
        doctor.airflow.details = {"is_paused": True}
        only("daily_load", "paused", "warning")

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ({"relative_fileloc": "elsewhere.py"}, "elsewhere.py is not here"),
            ({"relative_fileloc": "../conftest.py"}, "conftest.py is not here"),
            ({"bundle_name": "of_others"}, "of_others"),
            ({"relative_fileloc": "trigger.py"}, "trigger.py holds no daily_load here"),
        ],
    )
    def test_a_file_that_is_not_here(self, doctor: Doctor, only: Any, where: Any, found: str) -> None:
        """What Airflow's API tells is checked all the same."""
        doctor.airflow.details = where
        assert found in only("daily_load", "Dag file", "unknown")
        doctor.airflow.dag_id = "after_the_last"
        assert set(doctor.find("after_the_last")[1]) == {"Dag file", "depends_on_past"}

    def test_a_file_that_does_not_parse_here(self, doctor: Doctor, only: Any) -> None:
        doctor.set(max_attempts_limit="1")
        said = only("daily_load", "Dag file", "fault")
        assert "can't be parsed here: dag_retry.ConfigError: max_attempts is 2" in said
        assert "correct what the message names" in said

    @pytest.mark.parametrize(("what", "check"), [("assets", "assets"), ("backfills", "backfills")])
    def test_a_user_who_may_not_read_all(self, doctor: Doctor, only: Any, what: str, check: str) -> None:
        doctor.airflow.forbidden = what
        only("daily_load", check, "unknown")

    def run(self, dag_id: str, state: str, **more: Any) -> dict[str, Any]:
        end = datetime.now(timezone.utc).isoformat() if state == "failed" else None
        return {"dag_id": dag_id, "dag_run_id": "old", "state": state, "end_date": end, "conf": {}, **more}


class TestWithoutCredentials:
    """The Dag's file is looked for in the Dag bundles that are here."""

    WAY = "way to clear"
    UNASKED = "paused, assets, backfills, Params"

    @pytest.fixture(autouse=True)
    def client(self, doctor: Doctor) -> Iterator[Any]:
        doctor.set(api_url=None, api_username=None, api_password=None)
        with doctor.redis(*AOF).client() as client:
            yield client

    @pytest.fixture(autouse=True)
    def dags(self, doctor: Doctor, tmp_path: Path) -> Path:
        """The folder of Dag files, with one in it."""
        folder = tmp_path / "dags"
        folder.mkdir()
        bundle = {"name": "mine", "classpath": stub_dag.LOCAL_BUNDLE, "kwargs": {"path": str(folder)}}
        doctor.monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        write(folder / "my_load.py", "my_load", "DagRetry(2).dag_args(default_args={'retries': 0})")
        return folder

    def test_all_is_well(self, doctor: Doctor) -> None:
        code, found = doctor.find("my_load")
        assert (code, list(found)) == (0, [self.WAY, self.UNASKED])
        assert found[self.UNASKED]["grade"] == "unknown"

    def test_no_database_is_asked_and_nothing_is_printed(self, doctor: Doctor, dags: Path) -> None:
        (dags / "a_broken_one.py").write_text("print('my_load, a dag of airflow')\nimport nothing\n")
        nowhere = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://me:s3cret@127.0.0.1:{free_port()}/none"
        }
        command = [sys.executable, "-m", "dag_retry.cli", "doctor", "my_load", "--json"]
        done = subprocess.run(command, env=os.environ | nowhere, capture_output=True, text=True, check=False)
        assert "my_load" not in done.stderr
        assert "Traceback" not in done.stderr
        [file] = [each for each in json.loads(done.stdout) if each["check"] == "Dag file"]
        assert (done.returncode, file["grade"]) == (0, "ok")
        assert file["found"].endswith("my_load.py")

    def test_its_structure_is_examined(self, doctor: Doctor, dags: Path) -> None:
        write(dags / "narrow.py", "narrow", "DagRetry(2).dag_args()", "a", "b", more="max_active_tasks=1")
        assert "2 tasks side by side and runs 1 at once" in doctor.find("narrow")[1]["max_active_tasks"]["found"]

    def test_an_id_that_the_file_puts_together(self, doctor: Doctor, dags: Path) -> None:
        write(dags / "factory.py", "load_' 'orders", "DagRetry(2).dag_args()")
        assert list(doctor.find("load_orders")[1]) == [self.WAY, self.UNASKED]

    def test_the_wrong_id(self, doctor: Doctor, dags: Path) -> None:
        finding = self.fault(doctor, "my_laod")
        assert finding["found"] == f"no Dag file here holds my_laod ({dags})"
        assert finding["remedy"] == "did you mean my_load?"
        assert "AIRFLOW__DAG_RETRY__API_USERNAME" in self.fault(doctor, "another")["remedy"]

    def fault(self, doctor: Doctor, dag_id: str) -> Any:
        code, found = doctor.find(dag_id)
        assert (code, list(found)) == (1, [self.WAY, f"Dag {dag_id}"])
        return found[f"Dag {dag_id}"]

    def test_a_file_that_is_not_here(self, doctor: Doctor, dags: Path) -> None:
        (dags / "my_load.py").unlink()
        for found in (f"no Dag file here holds my_load ({dags})", "a Dag bundle can't be had here"):
            assert found in self.unchecked(doctor)
            doctor.monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", '[{"name": "mine"}]')

    def test_airflow_is_not_here(self, doctor: Doctor) -> None:
        doctor.monkeypatch.setitem(sys.modules, "airflow.dag_processing.dagbag", None)
        assert "Airflow itself is not installed here" in self.unchecked(doctor)

    def test_another_file_is_broken(self, doctor: Doctor, dags: Path) -> None:
        (dags / "broken.py").write_text("import nothing  # a dag of airflow\n")
        assert list(doctor.find("my_load")[1]) == [self.WAY, self.UNASKED]
        said = f"; 1 can't be imported, first {dags / 'broken.py'}: ModuleNotFoundError"
        assert said in self.unchecked(doctor, "another")
        finding = self.fault(doctor, "my_laod")
        assert said in finding["found"]
        assert finding["remedy"] == "did you mean my_load?"

    def unchecked(self, doctor: Doctor, dag_id: str = "my_load") -> str:
        code, found = doctor.find(dag_id)
        assert (code, list(found)) == (0, [self.WAY, f"Dag {dag_id}"])
        finding = found[f"Dag {dag_id}"]
        assert finding["grade"] == "unknown"
        assert finding["found"].startswith("not checked: ")
        assert "set AIRFLOW__DAG_RETRY__API_USERNAME and AIRFLOW__DAG_RETRY__API_PASSWORD" in finding["remedy"]
        return str(finding["found"])

    @pytest.mark.parametrize(
        ("retry", "grade", "found"),
        [
            ("DagRetry(0).dag_args()", "fault", "dag_retry.ConfigError: max_attempts is 0"),
            ("nothing.dag_args()", "unknown", "NameError: name 'nothing' is not defined"),
        ],
    )
    def test_its_file_is_broken(self, doctor: Doctor, dags: Path, retry: str, grade: str, found: str) -> None:
        write(dags / "broken.py", "broken", retry)
        finding = doctor.find("broken")[1]["Dag file"]
        assert finding["grade"] == grade
        assert f"{dags / 'broken.py'} can't be parsed here: {found}" in finding["found"]

    def test_level_dag_needs_the_sweepers_dag(self, doctor: Doctor, client: Any, dags: Path) -> None:
        write(dags / "late.py", "late", "DagRetry(2).dag_args(level='dag')")
        assert "sweeper" not in doctor.find("late")[1]
        client.delete(SWEEPER)
        finding = doctor.find("late")[1]["sweeper"]
        assert finding["grade"] == "fault"
        assert "needs one for each clear" in finding["found"]
        assert finding["remedy"].startswith("put a file with `from dag_retry.sweeper")


class TestNames:
    """Names in the policy of a Dag of which nothing is there."""

    @pytest.fixture(autouse=True)
    def dags(self, doctor: Doctor, tmp_path: Path) -> Path:
        doctor.redis(*AOF)
        doctor.set(api_url=None, api_username=None, api_password=None)
        bundle = {"name": "mine", "classpath": stub_dag.LOCAL_BUNDLE, "kwargs": {"path": str(tmp_path)}}
        doctor.monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        return tmp_path

    @pytest.mark.parametrize(
        ("task_ids", "found", "use"),
        [
            ("extrct", "'extrct' is no task of bad", "extract"),
            ("extract,laod,swpa", "'laod', 'swpa' are no tasks of bad", "in_group.load, in_group.swap"),
            ("nothing", "'nothing' is no task of bad", "extract, in_group.load, in_group.swap, mapped"),
            ("in_group", "'in_group' is no task of bad", "in_group.load, in_group.swap"),
            ("load", "'load' is no task of bad", "in_group.load"),
            ("mapped[1]", "'mapped[1]' is no task of bad", "mapped"),
        ],
    )
    def test_no_task(self, doctor: Doctor, dags: Path, task_ids: str, found: str, use: str) -> None:
        self.write(dags, f"task_ids={task_ids.split(',')}")
        finding = self.faults(doctor)["task_ids"]
        assert (finding["found"], finding["remedy"]) == (found, f"use one of: {use}")

    def test_tasks(self, doctor: Doctor, dags: Path) -> None:
        self.write(dags, "task_ids=['mapped', 'in_group.load']")
        assert self.faults(doctor) == {}

    def test_of_the_section(self, doctor: Doctor, dags: Path) -> None:
        """The section names tasks of all Dags, so this one need not have each, but one."""
        self.write(dags, "")
        doctor.set(task_ids="extract,somewhere_else")
        assert self.faults(doctor) == {}
        doctor.set(task_ids="extrct,somewhere_else")
        assert self.faults(doctor)["task_ids"]["found"] == "'extrct', 'somewhere_else' are no tasks of bad"

    def test_no_exception(self, doctor: Doctor, dags: Path) -> None:
        self.write(dags, "retry_on=['mailbox.NoSuchMailbox', TimeoutError], give_up_on='json.decoder.JSONDecodeError'")
        finding = self.faults(doctor)["retry_on, give_up_on"]
        assert finding["found"].startswith("retry_on has 'mailbox.NoSuchMailbox', and there is no such exception")
        assert "JSON" not in finding["found"]

    def write(self, dags: Path, arguments: str) -> None:
        """Write a file with a Dag of four tasks: one is mapped, and two are in a group."""
        (dags / "bad.py").write_text(
            "from airflow.sdk import DAG, TaskGroup, task\n"
            "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            "from dag_retry import DagRetry\n"
            f"with DAG('bad', schedule=None, **DagRetry(2, {arguments}).dag_args()):\n"
            "    EmptyOperator(task_id='extract')\n"
            "    @task\n"
            "    def mapped(number): ...\n"
            "    mapped.expand(number=[1, 2])\n"
            "    with TaskGroup('in_group'):\n"
            "        EmptyOperator(task_id='load')\n"
            "        EmptyOperator(task_id='swap')\n"
        )

    def faults(self, doctor: Doctor) -> Any:
        return {check: found for check, found in doctor.find("bad")[1].items() if found["grade"] == "fault"}


def test_a_file_tells_what_the_api_tells() -> None:
    for dag_id, dag in stub_dag.dags().items():
        told, tasks = stub_dag.details(dag_id), stub_dag.tasks(dag_id)
        for task in tasks:
            task["retry_delay"].pop("__type")
        told["params"] = {name: {"value": param["value"]} for name, param in told["params"].items()}
        of_dag = told | json.loads(json.dumps(of_file.details(dag)))
        assert stub_dag.what_matters(of_dag, of_file.tasks(dag)) == stub_dag.what_matters(told, tasks)


def write(file: Path, dag_id: str, arguments: str, *task_ids: str, more: str = "schedule=None") -> None:
    """Write a file with a Dag."""
    tasks = "".join(f"    EmptyOperator(task_id={task_id!r})\n" for task_id in task_ids or ("extract",))
    file.write_text(
        "from airflow.sdk import DAG\n"
        "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        "from dag_retry import DagRetry\n"
        f"with DAG('{dag_id}', {more}, **{arguments}):\n{tasks}"
    )


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
