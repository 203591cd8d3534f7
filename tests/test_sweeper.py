"""The sweeper: what it takes and finishes, and what it finds; on fakeredis and on a real Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import ApiUnanswered, ApiUnusable, ConfigError, CounterError, DagRetry, RunRecord, Status
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry.sweeper.sweeper import Sweeper, sweeper
from tests.contexts import dag_failed, task_failed
from tests.servers import free_port
from tests.stub_api import StubApi, before

HOUR = timedelta(hours=1)
RUN = ("daily_load", "run")


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def api(stub: StubApi) -> str:
    return stub.url.replace("http://", "http://retry:s3cret@")


@pytest.fixture
def deployed(client: Any, api: str, deploy: Any) -> None:
    deploy(redis=client, api_url=api)


@pytest.fixture
def retry(deployed: None) -> DagRetry:
    return DagRetry(2, delay=HOUR)


@pytest.fixture
def new(deployed: None, client: Any) -> Callable[..., Sweeper]:
    return lambda **options: Sweeper(client, Airflow(Deadline(15)), **options)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dag_retry")


def record(retry: DagRetry) -> RunRecord:
    found = retry.read(*RUN)
    assert found is not None
    return found


def is_due(client: Any) -> None:
    client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", "1")
    client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1})


def failed_since(stub: StubApi, age: timedelta = HOUR, **run: Any) -> None:
    ended = (datetime.now(timezone.utc) - age).isoformat()
    defaults = {"dag_id": "daily_load", "dag_run_id": "run", "state": "failed", "queued_at": ended, "end_date": ended}
    stub.runs.append(defaults | run)


class TestSweep:
    def test_clears_what_waited(self, retry: DagRetry, new: Any, stub: StubApi, client: Any) -> None:
        retry.on_failure(task_failed())
        wait = new().sweep()
        assert timedelta(minutes=59) < wait <= HOUR
        assert stub.clears == 0
        is_due(client)
        wait = new().sweep()
        # Next comes the end of the record itself, in 30 days.
        assert wait is not None
        assert wait > timedelta(days=29)
        assert stub.clears == 1
        found = record(retry)
        assert (found.status, found.level, found.attempt) == (Status.RETRYING, "sweeper", 1)
        assert stub.note == "Dag retry 1/2: branch_b: TimeoutError"

    def test_finishes_what_a_dead_holder_left(self, retry: DagRetry, new: Any, stub: StubApi, client: Any) -> None:
        """It was cleared already, and nobody had said so."""
        retry.on_failure(task_failed())
        is_due(client)
        stub.ti_id = "cleared"
        new().sweep()
        assert stub.clears == 0
        assert record(retry).status is Status.RETRYING

    def test_three_at_once_clear_once(self, retry: DagRetry, new: Any, stub: StubApi, client: Any) -> None:
        retry.on_failure(task_failed())
        is_due(client)
        first, second, third = new(), new(), new()
        runs, _ = second._due.read()
        assert runs == [RUN]
        first.sweep()
        assert second._due.take(*RUN, holder="second") is None
        third.sweep()
        assert stub.clears == 1

    def test_tells_an_ending_that_nobody_told(
        self, retry: DagRetry, new: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        """By the hooks of the section: those of the Dag are in its file."""
        told: list[Any] = []
        module: Any = ModuleType("our_alerts")
        module.page = told.append
        monkeypatch.setitem(__import__("sys").modules, "our_alerts", module)
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_EXHAUSTED", "our_alerts:page")

        def raises(context: Any) -> None:
            raise RuntimeError("no mail today")

        retry._hooks._hooks["on_exhausted"] = [raises]
        with pytest.raises(RuntimeError):
            retry.on_failure(task_failed(2))
        is_due(client)
        new().sweep()
        assert [(context["dag_id"], context["run_id"], context["dag_retry"].status) for context in told] == [
            (*RUN, Status.EXHAUSTED)
        ]
        assert record(retry).acknowledged
        assert "gave up on run 'run' of Dag 'daily_load'" in caplog.text

    def test_a_hook_that_fails_does_not_stop_it(
        self, retry: DagRetry, new: Any, client: Any, stub: StubApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_SKIPPED", "no_such_module:page")
        stub.run_state = "success"
        retry.on_failure(task_failed())
        is_due(client)
        new().sweep()
        found = record(retry)
        assert (found.status, found.reason, found.acknowledged) == (Status.SKIPPED, "settled_by_hand", False)

    def test_a_paused_dag_is_looked_at_again(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        stub.paused = True
        retry.on_failure(task_failed())
        is_due(client)
        assert timedelta(seconds=50) < new().sweep() <= timedelta(minutes=1)
        found = record(retry)
        assert (found.status, found.reason, stub.clears) == (Status.WAITING, "dag_paused", 0)
        stub.paused = False
        is_due(client)
        new().sweep()
        assert (record(retry).status, record(retry).attempt, stub.clears) == (Status.RETRYING, 1, 1)

    def test_a_refused_run_is_blocked(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        retry.on_failure(task_failed())
        is_due(client)
        # Behind the login.
        stub.faults = [None, before(403)]
        assert new().sweep() is None
        found = record(retry)
        assert (found.status, found.reason, found.acknowledged) == (Status.BLOCKED, "http_403", True)

    def test_nothing_more_is_taken_while_airflow_is_away(
        self, retry: DagRetry, new: Any, client: Any, deploy: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dag_retry.sweeper.sweeper._DEADLINE", 0.5)
        retry.on_failure(task_failed())
        is_due(client)
        deploy(api_url=f"http://retry:s3cret@127.0.0.1:{free_port()}")
        with pytest.raises(ApiUnanswered):
            new().sweep()
        found = record(retry)
        assert (found.status, found.level) == (Status.CLAIMED, "sweeper")
        assert found.due_at

    def test_an_index_that_disagrees_does_not_keep_it_busy(
        self, retry: DagRetry, new: Any, client: Any, stub: StubApi
    ) -> None:
        """The index calls a run due that is retried, and one of which there is no record."""
        retry.on_failure(task_failed())
        is_due(client)
        new().sweep()
        client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1, "daily_load:forgotten": 1})
        assert new().sweep() > timedelta(days=29)
        assert stub.clears == 1
        assert client.zrange("{dag-retry}:v1:active", 0, -1) == ["daily_load:run"]

    def test_stops_when_asked_to(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        retry.on_failure(task_failed())
        is_due(client)
        assert new().sweep(lambda: False) is None
        assert record(retry).status is Status.WAITING

    def test_the_next_failure_waits_again(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        for generation in (0, 1):
            retry.on_failure(task_failed(generation))
            is_due(client)
            new().sweep()
        retry.on_failure(task_failed(2))
        assert stub.clears == 2
        assert record(retry).status is Status.EXHAUSTED


class TestFindUnclaimed:
    def test_a_run_that_nobody_claimed(
        self, new: Any, stub: StubApi, client: Any, retry: DagRetry, caplog: Any
    ) -> None:
        stub.tagged = ["daily_load"]
        failed_since(stub)
        assert new().find_unclaimed() == 1
        found = record(retry)
        assert (found.status, found.reason) == (Status.UNCLAIMED, "no_callback")
        assert "dag-retry retry daily_load run" in caplog.text
        # It is known now.
        assert new().find_unclaimed() == 0

    def test_it_is_claimed_where_the_section_has_a_policy(
        self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any
    ) -> None:
        deploy(max_attempts=2)
        stub.tagged = ["daily_load"]
        stub.run_state = stub.ti_state = "failed"
        failed_since(stub)
        assert new().find_unclaimed() == 1
        found = record(retry)
        assert (found.status, found.attempt, found.max_attempts, found.level) == (Status.RETRYING, 1, 2, "sweeper")
        assert (found.failed_try.ti_id, stub.clears) == ("try-0", 1)

    def test_it_is_claimed_where_its_record_has_a_policy(
        self, new: Any, stub: StubApi, client: Any, retry: DagRetry
    ) -> None:
        """The first failure was retried. The task is killed in the attempt, and its Dag-level callback is lost."""
        retry.on_failure(task_failed())
        is_due(client)
        new().sweep()
        stub.run_state = stub.ti_state = "failed"
        failed_since(stub)
        client.hset("{dag-retry}:v1:run:daily_load:run", "ti_id", "try-0")
        assert new(grace=timedelta(0)).find_unclaimed() == 1
        found = record(retry)
        assert (found.status, found.attempt, found.generation, stub.clears) == (Status.RETRYING, 2, 1, 2)

    def test_a_run_that_a_person_ended_is_left_alone(
        self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any, caplog: Any
    ) -> None:
        deploy(max_attempts=2)
        stub.tagged = ["daily_load"]
        stub.audit_log = [{"event": "patch_dag_run", "extra": '{"state": "failed"}', "task_id": None}]
        failed_since(stub)
        assert new().find_unclaimed() == 0
        assert (retry.read("daily_load", "run"), stub.clears, "Dag retry" in caplog.text) == (None, 0, False)

    def test_a_late_callback_is_let_through(self, new: Any, stub: StubApi, retry: DagRetry) -> None:
        stub.tagged = ["daily_load"]
        failed_since(stub)
        new().find_unclaimed()
        retry.on_failure(dag_failed())
        assert record(retry).status is Status.WAITING

    def test_the_dags_that_failed_before_are_ours(self, new: Any, stub: StubApi, retry: DagRetry) -> None:
        retry.on_failure(task_failed())
        failed_since(stub, dag_run_id="another")
        assert new(grace=timedelta(0)).find_unclaimed() == 1

    def test_runs_of_other_dags_are_not(self, new: Any, stub: StubApi) -> None:
        failed_since(stub, dag_id="others")
        assert new().find_unclaimed() == 0
        assert stub.queries == []

    def test_what_is_asked_for(self, new: Any, stub: StubApi) -> None:
        stub.tagged = [f"dag_{number:03}" for number in range(250)]
        found = new(look_back=timedelta(days=2))
        now = datetime.now(timezone.utc)
        found.find_unclaimed()
        assert [len(query["dag_ids"]) for query in stub.queries] == [200, 50]
        query = stub.queries[0]
        assert query["states"] == ["failed"]
        since, until = (datetime.fromisoformat(query[name]) for name in ("end_date_gte", "end_date_lte"))
        assert abs(now - timedelta(days=2) - since) < timedelta(seconds=10)
        assert abs(now - timedelta(minutes=5) - until) < timedelta(seconds=10)
        # The next look goes on from there.
        found.find_unclaimed()
        assert datetime.fromisoformat(stub.queries[2]["end_date_gte"]) == until - timedelta(minutes=1)

    def test_pages(self, new: Any, stub: StubApi) -> None:
        stub.tagged = ["daily_load"]
        for number in range(250):
            failed_since(stub, dag_run_id=f"run-{number}")
        assert new().find_unclaimed() == 250


class TestMade:
    """From the settings, once Airflow lets it in: else it would find every run that is due refused."""

    @pytest.fixture(autouse=True)
    def settings(self, stub: StubApi, deploy: Any) -> None:
        deploy(api_url=stub.url, api_username="retry", api_password="s3cret", redis=f"redis://127.0.0.1:{free_port()}")

    def test_redis_away(self) -> None:
        with sweeper() as made, pytest.raises(CounterError, match="unreachable"):
            made.sweep()

    def test_wrong_password(self, deploy: Any) -> None:
        deploy(api_password="wrong")
        with pytest.raises(ApiUnusable, match="401"), sweeper():
            pass

    def test_no_credentials(self, deploy: Any) -> None:
        deploy(api_username=None, api_password=None)
        with pytest.raises(ConfigError, match="no credentials"), sweeper():
            pass
