"""The sweeper: what it takes and finishes, and what it finds; on fakeredis and on a real Redis."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from dag_retry import (
    ApiUnanswered,
    ApiUnusable,
    AttemptCounter,
    ConfigError,
    CounterError,
    DagRetry,
    DagRetryError,
    RunRecord,
    Status,
)
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback.holder import process_name
from dag_retry._defaults import MAX_ATTEMPTS
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry._redis.overview import Overview
from dag_retry.sweeper.sweeper import Sweeper, sweeper
from tests.contexts import dag_failed, task_failed
from tests.servers import free_port
from tests.stub_api import StubApi, answer, before

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
    return lambda seconds=15, **options: Sweeper(client, Airflow(Deadline(seconds)), **options)


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


def also_due(client: Any, run_id: str, score: int = 2) -> None:
    """Another run is due, of which Airflow knows nothing."""
    AttemptCounter(client).claim("daily_load", run_id, generation=0, max_attempts=2, delays=[HOUR])
    client.hset(f"{{dag-retry}}:v1:run:daily_load:{run_id}", "due_at", "1")
    client.zadd("{dag-retry}:v1:active", {f"daily_load:{run_id}": score})


def hook_of_section(patch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Give the section a hook, and return the list of what it is told."""
    told: list[Any] = []
    module: Any = ModuleType("our_alerts")
    module.tell = told.append
    patch.setitem(sys.modules, "our_alerts", module)
    patch.setenv(f"AIRFLOW__DAG_RETRY__{name.upper()}", "our_alerts:tell")
    return told


def heartbeat(client: Any) -> Heartbeat:
    found = Overview(client).heartbeat()
    assert found is not None
    return found


def status(retry: DagRetry, run_id: str) -> Status:
    found = retry.read("daily_load", run_id)
    assert found is not None
    return found.status


def minutes(wait: timedelta | None) -> int:
    assert wait is not None
    return round(wait / timedelta(minutes=1))


def failed_since(stub: StubApi, age: timedelta = HOUR, **run: Any) -> None:
    ended = (datetime.now(timezone.utc) - age).isoformat()
    defaults = {"dag_id": "daily_load", "dag_run_id": "run", "state": "failed", "queued_at": ended, "end_date": ended}
    stub.runs.append(defaults | run)


def before_that() -> int:
    """Return a moment before the end of a run that failed an hour ago, in ms."""
    return int((datetime.now(timezone.utc) - 2 * HOUR).timestamp() * 1000)


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
        told = hook_of_section(monkeypatch, "on_exhausted")

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
        """Its ending is told later, after longer and longer; the others are finished."""
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_SKIPPED", "no_such_module:page")
        stub.run_state = "success"
        retry.on_failure(task_failed())
        for pause in (1, 2, 4):
            is_due(client)
            assert minutes(new().sweep()) == pause
            found = record(retry)
            assert (found.status, found.reason, found.acknowledged) == (Status.SKIPPED, "settled_by_hand", False)
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_SKIPPED", "builtins:dict")
        is_due(client)
        new().sweep()
        assert (record(retry).acknowledged, record(retry).faults) == (True, 0)

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
        retry.on_failure(task_failed())
        is_due(client)
        also_due(client, "another")
        deploy(api_url=f"http://retry:s3cret@127.0.0.1:{free_port()}")
        for _ in range(3):
            with pytest.raises(ApiUnanswered):
                new(seconds=1.2).sweep()
            found = record(retry)
            # No run is to blame: its pause does not grow.
            assert (found.status, found.reason, found.faults) == (Status.WAITING, "api_away", 0)
            assert found.due_at - found.updated_at == 60_000
            is_due(client)
        assert status(retry, "another") is Status.WAITING
        heart = heartbeat(client)
        assert (heart.fault, heart.fault_at > 0, "Connection refused" in heart.fault_text) == ("api_away", True, True)

    def test_one_run_that_is_never_answered_stops_no_other(
        self, retry: DagRetry, new: Any, client: Any, stub: StubApi
    ) -> None:
        """Airflow answers 500 for it, for ever: its turn comes ever later, and each sweep does the others."""
        retry.on_failure(task_failed())
        for number, pause in enumerate((1, 2, 4), 1):
            is_due(client)
            also_due(client, f"settled-{number}")
            stub.broken_runs = ["run"]
            assert minutes(new(seconds=1.2).sweep()) == pause
            found = record(retry)
            assert (found.status, found.attempt, found.faults) == (Status.WAITING, 1, number)
            assert found.reason in ("http_500", "unanswered")
            # Airflow does not know the other, so nothing remains of it.
            assert retry.read("daily_load", f"settled-{number}") is None
        stub.broken_runs = []
        is_due(client)
        new().sweep()
        assert (record(retry).status, record(retry).faults, stub.clears) == (Status.RETRYING, 0, 1)

    def test_a_record_that_cant_be_read_stops_no_other(
        self, retry: DagRetry, new: Any, client: Any, stub: StubApi, caplog: Any
    ) -> None:
        for run_id in ("foreign", "lacking"):
            also_due(client, run_id, score=1)
        client.delete("{dag-retry}:v1:run:daily_load:foreign")
        client.set("{dag-retry}:v1:run:daily_load:foreign", "?", ex=100_000)
        client.hdel("{dag-retry}:v1:run:daily_load:lacking", "base")
        retry.on_failure(task_failed())
        is_due(client)
        assert timedelta(minutes=59) < new().sweep() <= HOUR
        assert (record(retry).status, stub.clears) == (Status.RETRYING, 1)
        assert {run.run_id for run in Overview(client).runs("attention").runs} == {"foreign", "lacking"}
        assert caplog.text.count("its record in Redis can't be read") == 2
        assert "Delete or repair the record" in caplog.text

    def test_redis_that_refuses_stops_it(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        """Here the index of all runs is not ours: no run is to blame."""
        retry.on_failure(task_failed())
        is_due(client)
        client.delete("{dag-retry}:v1:stats")
        client.set("{dag-retry}:v1:stats", "?", ex=100_000)
        client.hset("{dag-retry}:v1:run:daily_load:run", "status", "claimed")
        with pytest.raises(CounterError, match="a key under one of our names is not ours"):
            new().sweep()
        assert client.zcard("{dag-retry}:v1:attention") == 0

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
        assert new().look() == 1
        found = record(retry)
        assert (found.status, found.reason) == (Status.UNCLAIMED, "no_callback")
        assert "dag-retry retry daily_load run" in caplog.text
        # It is known now.
        assert new().look() == 0

    def test_it_is_claimed_where_the_section_has_a_policy(
        self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any
    ) -> None:
        deploy(max_attempts=2)
        stub.tagged = ["daily_load"]
        stub.run_state = stub.ti_state = "failed"
        failed_since(stub)
        assert new().look() == 1
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
        assert new(grace=timedelta(0)).look() == 1
        found = record(retry)
        assert (found.status, found.attempt, found.generation, stub.clears) == (Status.RETRYING, 2, 1, 2)

    def test_the_very_default_may_be_set(self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any) -> None:
        deploy(max_attempts=MAX_ATTEMPTS)
        stub.tagged = ["daily_load"]
        stub.run_state = stub.ti_state = "failed"
        failed_since(stub)
        assert new().look() == 1
        assert (record(retry).attempt, record(retry).max_attempts) == (1, MAX_ATTEMPTS)

    @pytest.mark.parametrize(
        ("clears", "status", "attempt"), [(1, Status.RETRYING, 2), (2, Status.EXHAUSTED, 2), (5, Status.EXHAUSTED, 2)]
    )
    def test_clears_that_redis_has_forgotten_count(
        self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any, *, clears: int, status: Status, attempt: int
    ) -> None:
        """Redis lost its data. The route tells the generation, and clears no failure of another."""
        deploy(max_attempts=2)
        stub.tagged, stub.clear_number = ["daily_load"], clears
        stub.run_state = stub.ti_state = "failed"

        def clear(asked: Any) -> Response:
            outcome = "cleared" if asked["generation"] == clears else "already_cleared"
            return answer(200, {"outcome": outcome, "reason": outcome, "attempt": 0})

        stub.route = clear
        failed_since(stub)
        assert new().look() == 1
        found = record(retry)
        assert (found.status, found.generation, found.attempt) == (status, clears, attempt)

    def test_a_run_that_a_person_ended_is_left_alone(
        self, new: Any, stub: StubApi, retry: DagRetry, deploy: Any, caplog: Any
    ) -> None:
        deploy(max_attempts=2)
        stub.tagged = ["daily_load"]
        said = {"event": "patch_dag_run", "extra": '{"state": "failed"}', "when": "2026-11-27T08:00:00Z"}
        stub.audit_log = [said]
        failed_since(stub)
        assert new().look() == 0
        assert (retry.read("daily_load", "run"), stub.clears, "Dag retry" in caplog.text) == (None, 0, False)

    def test_a_late_callback_is_let_through(self, new: Any, stub: StubApi, retry: DagRetry) -> None:
        stub.tagged = ["daily_load"]
        failed_since(stub)
        new().look()
        retry.on_failure(dag_failed())
        assert record(retry).status is Status.WAITING

    def test_the_dags_that_failed_before_are_ours(self, new: Any, stub: StubApi, retry: DagRetry) -> None:
        retry.on_failure(task_failed())
        failed_since(stub, dag_run_id="another")
        assert new(grace=timedelta(0)).look() == 1

    def test_runs_of_other_dags_are_not(self, new: Any, stub: StubApi) -> None:
        for number in range(3):
            failed_since(stub, dag_id=f"others_{number}")
        assert new().look() == 0
        assert stub.asked_for("/api/v2/dags") == 1

    def test_what_is_asked_for(self, new: Any, stub: StubApi) -> None:
        """No Dag is named, so thousands of them cost nothing."""
        stub.tagged = [f"dag_{number:04}" for number in range(5000)]
        now = datetime.now(timezone.utc)
        new(look_back=timedelta(days=2)).look()
        (query,) = stub.queries
        assert (query["states"], "dag_ids" in query, query["order_by"]) == (["failed"], False, "end_date")
        since, until = (datetime.fromisoformat(query[name]) for name in ("end_date_gte", "end_date_lte"))
        assert abs(now - timedelta(days=2, minutes=5) - since) < timedelta(seconds=10)
        assert abs(now - timedelta(minutes=5) - until) < timedelta(seconds=10)
        assert stub.asked_for("/api/v2/dags") == 0

    def test_another_sweeper_goes_on_from_there(self, new: Any, stub: StubApi) -> None:
        """Also the sweeper's Dag, which makes one for each of its runs."""
        new().look()
        new().look()
        first, second = stub.queries
        until = datetime.fromisoformat(first["end_date_lte"]) - timedelta(minutes=1)
        assert abs(datetime.fromisoformat(second["end_date_gte"]) - until) < timedelta(milliseconds=1)

    def test_pages(self, new: Any, stub: StubApi) -> None:
        stub.tagged = ["daily_load"]
        for number in range(250):
            failed_since(stub, HOUR - number * timedelta(seconds=1), dag_run_id=f"run-{number}")
        assert new().look() == 250
        assert [query["page_offset"] for query in stub.queries] == [0, 0, 0]

    def test_pages_of_one_and_the_same_moment(self, new: Any, stub: StubApi) -> None:
        stub.tagged = ["daily_load"]
        ended = (datetime.now(timezone.utc) - HOUR).isoformat()
        for number in range(250):
            failed_since(stub, dag_run_id=f"run-{number}", end_date=ended)
        assert new().look() == 250
        assert [query["page_offset"] for query in stub.queries] == [0, 0, 100, 200]

    def test_a_run_that_leaves_the_list_hides_no_other(self, new: Any, stub: StubApi, deploy: Any) -> None:
        """Runs that are cleared are failed no more, while the look goes on."""
        stub.tagged = ["daily_load"]
        for number in range(150):
            failed_since(stub, HOUR - number * timedelta(seconds=1), dag_run_id=f"run-{number}")
        gone = stub.runs[:50]

        def leave(query: Any) -> None:
            if len(stub.queries) == 2:
                for run in gone:
                    stub.runs.remove(run)

        stub.before_page = leave
        assert new().look() == 150

    def test_a_look_has_a_budget(self, new: Any, stub: StubApi, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next look goes on from there."""
        monkeypatch.setattr("dag_retry.sweeper.sweeper._LOOK", 0.0)
        stub.tagged = ["daily_load"]
        for number in range(5):
            failed_since(stub, HOUR - number * timedelta(minutes=1), dag_run_id=f"run-{number}")
        since = (datetime.now(timezone.utc) - HOUR).timestamp() * 1000
        looked = []
        for _ in range(5):
            assert new().look() == 1
            looked.append(round((heartbeat(client).looked_until - since) / 60_000))
        assert looked == [0, 1, 2, 3, 4]
        assert new().look() == 0

    def test_a_run_that_airflow_tells_nothing_of_stops_no_look(
        self, new: Any, stub: StubApi, client: Any, retry: DagRetry
    ) -> None:
        """Later looks ask again. After an hour a human must look."""
        stub.tagged = ["daily_load"]
        stub.broken_runs = ["run"]
        failed_since(stub, timedelta(minutes=50))
        failed_since(stub, timedelta(minutes=40), dag_run_id="another")
        assert new().look() == 1
        assert retry.read(*RUN) is None
        assert status(retry, "another") is Status.UNCLAIMED
        age = datetime.now(timezone.utc).timestamp() * 1000 - heartbeat(client).looked_until
        assert round(age / 60_000) == 50
        stub.runs[0]["end_date"] = (datetime.now(timezone.utc) - timedelta(minutes=70)).isoformat()
        client.delete("{dag-retry}:v1:sweeper")
        assert new().look() == 1
        assert record(retry).status is Status.UNCLAIMED
        assert new().look() == 0

    def test_a_poisoned_record_stops_no_look(self, new: Any, stub: StubApi, client: Any, retry: DagRetry) -> None:
        stub.tagged = ["daily_load"]
        client.set("{dag-retry}:v1:run:daily_load:run", "?", ex=100_000)
        failed_since(stub)
        failed_since(stub, dag_run_id="another")
        assert new().look() == 1


class TestRetrying:
    """What has become of the runs that were cleared."""

    @pytest.fixture
    def retrying(self, retry: DagRetry, new: Any, client: Any) -> DagRetry:
        retry.on_failure(task_failed())
        is_due(client)
        new().sweep()
        assert record(retry).status is Status.RETRYING
        return retry

    def test_a_lost_success(
        self, retrying: DagRetry, new: Any, stub: StubApi, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        told = hook_of_section(monkeypatch, "on_succeeded")
        failed_since(stub, state="success")
        new().look()
        found = record(retrying)
        assert (found.status, found.generation, found.attempt) == (Status.SUCCEEDED, 1, 1)
        assert [(context["run_id"], context["dag_retry"].status) for context in told] == [("run", Status.SUCCEEDED)]
        assert "succeeded on attempt 1 of 2. Its callback did not say so." in caplog.text
        assert stub.note == "Dag retry: recovered on attempt 1"
        new().look()
        assert len(told) == 1

    def test_a_callback_may_still_come(self, retrying: DagRetry, new: Any, stub: StubApi) -> None:
        failed_since(stub, timedelta(minutes=4), state="success")
        new().look()
        assert record(retrying).status is Status.RETRYING

    @pytest.mark.parametrize("state", ["failed", "success"])
    def test_an_end_that_a_look_has_passed_over(
        self, retry: DagRetry, new: Any, client: Any, stub: StubApi, deploy: Any, state: str
    ) -> None:
        """Airflow cleared the run and never said so. The run has ended again before Airflow answers once more."""
        deploy(max_attempts=2)

        def cleared(asked: Any) -> Response:
            outcome = "cleared" if asked["generation"] == 1 else "already_cleared"
            return answer(200, {"outcome": outcome, "reason": outcome, "attempt": 0})

        stub.route = cleared
        retry.on_failure(task_failed())
        stub.broken_runs = ["run"]
        is_due(client)
        new(seconds=2).sweep()
        stub.ti_id, stub.ti_state = "try-1", state
        failed_since(stub, state=state, start_date="2026-01-01T00:00:00Z")
        client.hset("{dag-retry}:v1:run:daily_load:run", "budget_at", before_that())
        new().look()
        stub.broken_runs = []
        is_due(client)
        new().sweep()
        assert record(retry).status is Status.RETRYING
        new().look()
        found = record(retry)
        expected = (Status.RETRYING, 1, 2) if state == "failed" else (Status.SUCCEEDED, 1, 1)
        assert (found.status, found.generation, found.attempt) == expected

    def test_such_an_end_without_a_failed_task(self, retry: DagRetry, new: Any, client: Any, stub: StubApi) -> None:
        """A run timed out, say. Nobody can claim that, but a human must know once no callback is on its way."""
        stub.route = lambda asked: answer(
            200, {"outcome": "already_cleared", "reason": "already_cleared", "attempt": 0}
        )
        retry.on_failure(task_failed())
        stub.ti_id, stub.ti_state = "try-1", "skipped"
        failed_since(stub)
        client.hset("{dag-retry}:v1:run:daily_load:run", "budget_at", before_that())
        new().look()
        is_due(client)
        new().sweep()
        new().look()
        assert record(retry).status is Status.RETRYING
        client.hset("{dag-retry}:v1:run:daily_load:run", "updated_at", before_that())
        new().look()
        assert record(retry).status is Status.UNCLAIMED

    def test_a_look_in_between_does_not_hide_such_an_end(self, new: Any, client: Any) -> None:
        """One sweeper looks while another one learns that somebody has cleared a run."""
        way = new().way
        way.looked(0, 50, [])
        way.look_from(20)
        way.look_from(30)
        way.looked(50, 60, [])
        assert heartbeat(client).looked_until == 20
        way.looked(20, 60, [])
        assert heartbeat(client).looked_until == 60

    def test_a_hook_that_fails(
        self, retrying: DagRetry, new: Any, stub: StubApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_SUCCEEDED", "no_such_module:cheer")
        failed_since(stub, state="success")
        new().look()
        assert record(retrying).status is Status.SUCCEEDED

    def test_only_dags_that_are_retried_are_asked_for(self, retrying: DagRetry, new: Any, stub: StubApi) -> None:
        new().look()
        assert [(query["states"], query.get("dag_ids")) for query in stub.queries] == [
            (["failed"], None),
            (["success"], ["daily_load"]),
            (["queued"], ["daily_load"]),
        ]

    def test_what_stays_queued(self, retrying: DagRetry, new: Any, stub: StubApi, client: Any) -> None:
        now = datetime.now(timezone.utc)
        for run_id, minutes in (("run", 6), ("not retried", 60)):
            queued_at = (now - timedelta(minutes=minutes)).isoformat()
            failed_since(stub, state="queued", dag_run_id=run_id, queued_at=queued_at, end_date=None)
        new().look()
        assert heartbeat(client).queued == {RUN}
        stub.runs[0]["queued_at"] = now.isoformat()
        new().look()
        assert heartbeat(client).queued == frozenset()


class TestHeartbeat:
    def test_says_who_lives_and_when(self, new: Any, client: Any, stub: StubApi) -> None:
        assert Overview(client).heartbeat() is None
        made = new()
        made.way.check()
        found = heartbeat(client)
        assert (found.holder, found.api) == (process_name(), stub.url)
        assert abs(Overview(client).now() - found.at) < 10_000
        assert (found.looked_until, found.fault, found.fault_at, found.queued) == (0, "", 0, frozenset())
        made.look()
        assert heartbeat(client).looked_until > 0

    def test_says_since_when_the_way_is_broken(self, new: Any, client: Any, stub: StubApi) -> None:
        # Logins are refused.
        stub.token_path = "/elsewhere"
        since = set()
        for _ in range(3):
            with pytest.raises(DagRetryError):
                new().way.check()
            found = heartbeat(client)
            since.add(found.fault_at)
        assert (found.fault, found.at > found.fault_at > 0, len(since)) == ("login", True, 1)
        stub.token_path = "/auth/token"
        new().way.check()
        assert heartbeat(client)[4:7] == ("", "", 0)

    def test_a_setting_that_turns_wrong_is_a_fault_of_a_sweeper_that_runs(
        self, new: Any, client: Any, deploy: Any
    ) -> None:
        deploy(api_token="of another kind")
        with pytest.raises(ConfigError, match="keep one"):
            new().way.check()
        assert Overview(client).heartbeat() is None
        deploy(api_token=None)
        made = new()
        made.way.check()
        deploy(api_token="of another kind")
        for running in (made, new(begun=True)):
            client.hset("{dag-retry}:v1:sweeper", "fault", "")
            with pytest.raises(ConfigError, match="keep one"):
                running.way.check()
            assert heartbeat(client).fault == "config"

    def test_is_not_written_at_each_run(self, new: Any, client: Any) -> None:
        made = new()
        made.way.check()
        client.hset("{dag-retry}:v1:sweeper", "holder", "nobody")
        made.way.beat()
        assert heartbeat(client).holder == "nobody"

    def test_two_airflows(self, new: Any, client: Any, deploy: Any, httpserver: HTTPServer, retry: DagRetry) -> None:
        new().way.check()
        retry.on_failure(task_failed())
        is_due(client)
        deploy(api_url=httpserver.url_for("").rstrip("/").replace("http://localhost", "http://retry:s3cret@127.0.0.1"))
        with pytest.raises(ConfigError, match="Give each Airflow a namespace of its own"):
            new().way.check()
        # The other has been silent for five minutes.
        client.hincrby("{dag-retry}:v1:sweeper", "at", -300_000)
        new().way.check()

    def test_what_somebody_else_wrote(self, client: Any) -> None:
        client.hset("{dag-retry}:v1:sweeper", mapping={"at": "now", "queued": "[1]"})
        client.expire("{dag-retry}:v1:sweeper", 100)
        assert Overview(client).heartbeat() is None


class TestMade:
    """From the settings, once Airflow lets it in: else it would find every run that is due refused."""

    @pytest.fixture(autouse=True)
    def settings(self, stub: StubApi, deploy: Any) -> None:
        deploy(api_url=stub.url, api_username="retry", api_password="s3cret", redis=f"redis://127.0.0.1:{free_port()}")

    def test_redis_away(self) -> None:
        with pytest.raises(CounterError, match="unreachable"), sweeper():
            pass

    def test_wrong_password(self, deploy: Any) -> None:
        deploy(api_password="wrong")
        with pytest.raises(ApiUnusable, match="401"), sweeper():
            pass

    def test_no_credentials(self, deploy: Any) -> None:
        deploy(api_username=None, api_password=None)
        with pytest.raises(ConfigError, match="`dag-retry sweep` needs a login"), sweeper():
            pass
