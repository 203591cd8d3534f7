"""The flow, from a callback's context to the cleared run: on fakeredis and on a real Redis."""

from __future__ import annotations

import copy
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.bases.notifier import BaseNotifier
from pytest_httpserver import HTTPServer

from dag_retry import (
    ApiRefused,
    ApiUnanswered,
    ApiUnusable,
    AttemptCounter,
    ConfigError,
    ContextError,
    CounterError,
    DagRetry,
    Outcome,
    RunRecord,
    Status,
    recipe,
)
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback.failure import Failure
from dag_retry._redis.interventions import Interventions
from dag_retry.sweeper.sweeper import Sweeper
from tests.contexts import NOW, dag_failed, dag_run, dag_succeeded, heartbeat_timeout, task_failed, ti, without_run
from tests.servers import free_port
from tests.stub_api import Fault, StubApi, after, before


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def told() -> list[tuple[str, Outcome]]:
    return []


@pytest.fixture
def api(stub: StubApi) -> str:
    return stub.url.replace("http://", "http://retry:s3cret@")


@pytest.fixture
def make(client: Any, api: str, told: list[tuple[str, Outcome]], deploy: Any) -> Callable[..., DagRetry]:
    deploy(redis=client, api_url=api)

    def hook(name: str) -> Callable[[Any], None]:
        return lambda context: told.append((name, context["dag_retry"]))

    def make(**options: Any) -> DagRetry:
        hooks = {name: hook(name) for name in ("on_retry", "on_exhausted", "on_blocked", "on_succeeded")}
        return DagRetry(**({"max_attempts": 2} | hooks | options))

    return make


@pytest.fixture
def retry(make: Callable[..., DagRetry]) -> DagRetry:
    return make()


def is_due(client: Any) -> None:
    """Let the time come at which the run is due."""
    client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", "1")
    client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1})


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dag_retry")


def nowhere() -> str:
    """Where no API answers."""
    return f"http://retry:s3cret@127.0.0.1:{free_port()}"


def record(retry: DagRetry) -> RunRecord:
    found = retry.read("daily_load", "run")
    assert found is not None
    return found


def names(told: list[tuple[str, Outcome]]) -> list[str]:
    return [name for name, _ in told]


class TestFailure:
    def test_branches_that_fail_together_clear_once(self, retry: DagRetry, stub: StubApi, told: Any) -> None:
        for branch in ("a", "b", "c"):
            retry.on_failure(task_failed(task_id=branch))
        assert stub.clears == 1
        assert names(told) == ["on_retry"]
        outcome = told[0][1]
        assert (outcome.status, outcome.attempt, outcome.max_attempts) == (Status.RETRYING, 1, 2)
        assert outcome.failed_try.error == "TimeoutError"

    def test_gives_up_at_the_cap_and_tells_it_once(
        self, retry: DagRetry, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        for generation in (0, 1, 2):
            retry.on_failure(task_failed(generation, task_id="a"))
            retry.on_failure(task_failed(generation, task_id="b"))
        retry.on_failure(dag_failed(2))
        assert stub.clears == 2
        assert names(told) == ["on_retry", "on_retry", "on_exhausted"]
        assert record(retry).acknowledged
        assert (
            "gave up on run 'run' of Dag 'daily_load' after attempt 2 of 2: every attempt of the budget failed"
            in caplog.text
        )

    def test_at_the_dag_level_alone(self, retry: DagRetry, stub: StubApi) -> None:
        retry.on_failure(dag_failed(0))
        retry.on_failure(dag_failed(0))
        assert stub.clears == 1
        assert record(retry).level == "dag"

    def test_outcome_is_left_in_the_context_for_later_callbacks(self, retry: DagRetry) -> None:
        context = task_failed()
        retry.on_failure(context)
        assert context["dag_retry"].status is Status.RETRYING

    def test_someone_else_cleared_the_run(self, retry: DagRetry, stub: StubApi) -> None:
        stub.ti_id = "cleared by hand"
        retry.on_failure(task_failed())
        assert stub.clears == 0
        assert record(retry).status is Status.RETRYING

    def test_redis_forgot_and_airflow_remembers(
        self, retry: DagRetry, client: Any, stub: StubApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        retry.on_failure(task_failed(0))
        retry.on_failure(task_failed(1))
        client.flushall()
        retry.on_failure(task_failed(2))
        assert stub.clears == 2
        assert "Airflow has cleared the run as often as attempts are allowed, by hand too" in caplog.text

    @pytest.mark.parametrize("client", ["redis"], indirect=True)
    def test_clears_before_the_first_failure_do_not_count(self, retry: DagRetry, client: Any, stub: StubApi) -> None:
        """Redis has remembered everything since the run began: it never failed, though people cleared it five times."""
        AttemptCounter(client).claim("daily_load", "another", generation=0, max_attempts=1)
        long_ago = int(NOW.timestamp() * 1000) - 60_000
        client.hset("{dag-retry}:v1:born", "at", long_ago)
        failed = task_failed(5)
        failed["dag_run"].run_after = datetime.now(timezone.utc)
        retry.on_failure(failed)
        found = record(retry)
        assert (found.status, found.attempt, found.base) == (Status.RETRYING, 1, 5)


class TestGuards:
    @pytest.mark.parametrize(
        ("context", "reason"),
        [
            (heartbeat_timeout(try_number=1, max_tries=2), "task_retries_left"),
            (task_failed() | {"task": SimpleNamespace(is_teardown=True, on_failure_fail_dagrun=False)}, "teardown"),
        ],
    )
    def test_skips(
        self,
        retry: DagRetry,
        client: Any,
        stub: StubApi,
        caplog: pytest.LogCaptureFixture,
        context: Any,
        reason: str,
    ) -> None:
        retry.on_failure(context)
        assert f"nothing to retry ({reason})" in caplog.text
        assert stub.seen == []
        assert client.keys() == []

    @pytest.mark.parametrize(
        "context",
        [
            heartbeat_timeout(max_tries=0),
            # AirflowFailException fails a task for good although it has retries left.
            task_failed(try_number=1, max_tries=2),
            task_failed() | {"task": SimpleNamespace(is_teardown=True, on_failure_fail_dagrun=True)},
        ],
    )
    def test_takes(self, retry: DagRetry, stub: StubApi, context: Any) -> None:
        retry.on_failure(context)
        assert stub.clears == 1


class TestHeartbeatTimeout:
    """A task whose worker fell silent: its callback knows the run as it is now, not as it was when it failed."""

    @pytest.mark.parametrize("state", ["running", "failed"])
    def test_still_there(self, retry: DagRetry, stub: StubApi, state: str) -> None:
        stub.ti_state = state
        retry.on_failure(heartbeat_timeout())
        assert stub.clears == 1

    @pytest.mark.parametrize(
        ("state", "try_number"), [("restarting", 1), ("up_for_retry", 1), ("queued", 2), ("running", 2), ("failed", 2)]
    )
    def test_cleared_meanwhile(
        self, retry: DagRetry, client: Any, stub: StubApi, caplog: pytest.LogCaptureFixture, state: str, try_number: int
    ) -> None:
        # Airflow has given it a new id and the new generation, so neither tells.
        stub.ti_id, stub.ti_state, stub.try_number = "try-1", state, try_number
        retry.on_failure(heartbeat_timeout(generation=1))
        assert "nothing to retry (restarting)" in caplog.text
        assert stub.clears == 0
        assert client.keys() == []

    def test_a_task_that_is_gone(self, retry: DagRetry, client: Any, stub: StubApi) -> None:
        stub.faults = [None, before(404, {"detail": "gone"})]
        retry.on_failure(heartbeat_timeout())
        assert client.keys() == []

    def test_api_away(self, retry: DagRetry, client: Any, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(api_url=nowhere())
        retry.on_failure(heartbeat_timeout())
        assert "nothing to retry (perhaps_restarting)" in caplog.text
        assert "the Dag level or a sweeper claims a failure" in caplog.text
        assert client.keys() == []


class TestTakeover:
    def test_winner_died_before_the_clear(self, retry: DagRetry, client: Any, stub: StubApi, told: Any) -> None:
        AttemptCounter(client).claim("daily_load", "run", generation=0, max_attempts=2, failed_try=of("try-0"))
        retry.on_failure(dag_failed())
        assert (stub.clears, record(retry).attempt, record(retry).status) == (1, 1, Status.RETRYING)
        assert names(told) == ["on_retry"]

    def test_winner_died_after_the_clear(self, retry: DagRetry, client: Any, stub: StubApi) -> None:
        AttemptCounter(client).claim("daily_load", "run", generation=0, max_attempts=2, failed_try=of("try-0"))
        stub.ti_id = "try-1"
        retry.on_failure(dag_failed())
        assert (stub.clears, record(retry).attempt, record(retry).status) == (0, 1, Status.RETRYING)

    def test_timed_out_run_leaves_a_task_its_claim(self, retry: DagRetry, client: Any, stub: StubApi) -> None:
        AttemptCounter(client).claim("daily_load", "run", generation=0, max_attempts=2, failed_try=of("try-0"))
        retry.on_failure(dag_failed(reason="timed_out"))
        assert stub.clears == 0
        assert record(retry).status is Status.CLAIMED

    def test_overtaken_before_the_clear(
        self, retry: DagRetry, client: Any, stub: StubApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        AttemptCounter(client).claim("daily_load", "run", generation=0, max_attempts=2, failed_try=of("try-0"))
        renew = AttemptCounter.renew

        def slowly(counter: AttemptCounter, claim: Any) -> bool:
            client.hset("{dag-retry}:v1:run:daily_load:run", "claim_id", "another")
            return renew(counter, claim)

        monkeypatch.setattr(AttemptCounter, "renew", slowly)
        retry.on_failure(dag_failed())
        assert stub.clears == 0

    @pytest.mark.parametrize("context", [task_failed(), dag_failed()])
    def test_cancelled_after_its_look(
        self, retry: DagRetry, client: Any, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture, context: Any
    ) -> None:
        def cancel(stub: StubApi, request: Any) -> None:
            assert Interventions(client).cancel("daily_load", "run", holder="ada")

        # Behind the login.
        stub.faults = [None, cancel]
        retry.on_failure(context)
        assert (stub.clears, names(told)) == (0, [])
        assert (record(retry).status, record(retry).reason) == (Status.SKIPPED, "cancelled")
        assert "not the holder of attempt 1 of 2 any more" in caplog.text

    def test_taken_over_after_its_look(self, retry: DagRetry, client: Any, stub: StubApi, told: Any) -> None:
        def take_over(stub: StubApi, request: Any) -> None:
            claim = AttemptCounter(client).claim(
                "daily_load", "run", generation=0, max_attempts=2, takeover=True, level="dag"
            )
            assert claim.reason == "taken_over"

        stub.faults = [None, take_over]
        retry.on_failure(task_failed())
        assert (stub.clears, names(told), record(retry).status) == (0, [], Status.CLAIMED)

    def test_redis_forgets_after_its_look(self, retry: DagRetry, client: Any, stub: StubApi) -> None:
        stub.faults = [None, lambda stub, request: client.flushall() and None]
        retry.on_failure(task_failed())
        assert stub.clears == 0

    def test_untold_exhaustion_is_told_by_the_dag_level(self, make: Any, client: Any, told: Any) -> None:
        def die(context: Any) -> None:
            raise KeyboardInterrupt

        retry = make(max_attempts=1)
        retry.on_failure(task_failed(0))
        with pytest.raises(KeyboardInterrupt):
            make(max_attempts=1, on_exhausted=die).on_failure(task_failed(1))
        retry.on_failure(dag_failed(1))
        retry.on_failure(dag_failed(1))
        assert names(told) == ["on_retry", "on_exhausted"]


class TestWeather:
    """What an API can do to a clear: the cases behind the conditional clear (G4)."""

    def test_done_but_500(self, retry: DagRetry, stub: StubApi) -> None:
        stub.faults = [None, None, after(500)]
        retry.on_failure(task_failed())
        assert (stub.clears, record(retry).status) == (1, Status.RETRYING)

    @pytest.mark.parametrize("status", [409, 500, 503])
    def test_not_done_and_repeated(self, retry: DagRetry, stub: StubApi, status: int) -> None:
        stub.faults = [None, None, before(status)]
        retry.on_failure(task_failed())
        assert (stub.clears, record(retry).status) == (1, Status.RETRYING)

    def test_outage_leaves_the_claim_for_the_dag_level(
        self,
        retry: DagRetry,
        stub: StubApi,
        api: str,
        told: Any,
        deploy: Any,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", "2")
        deploy(api_url=nowhere())
        with pytest.raises(ApiUnanswered):
            retry.on_failure(task_failed())
        assert "attempt 1 of 2 is claimed, and it is not known whether the run was cleared" in caplog.text
        assert record(retry).status is Status.CLAIMED
        assert record(retry).due_at > record(retry).updated_at
        deploy(api_url=api)
        retry.on_failure(dag_failed())
        assert (stub.clears, names(told)) == (1, ["on_retry"])

    @pytest.mark.parametrize(
        ("ti_state", "run_state"),
        [
            (None, "failed"),
            ("up_for_retry", "failed"),
            (None, "running"),
            ("failed", "failed"),
        ],
    )
    def test_a_clear_that_came_after_the_run_had_failed(
        self,
        retry: DagRetry,
        stub: StubApi,
        api: str,
        deploy: Any,
        ti_state: str | None,
        run_state: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Airflow leaves such a run failed, with tasks that nobody schedules: it is queued, and not cleared again."""
        monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", "2")
        deploy(api_url=nowhere())
        with pytest.raises(ApiUnanswered):
            retry.on_failure(task_failed())
        deploy(api_url=api)
        stub.ti_id, stub.ti_state, stub.run_state = "try-1", ti_state, run_state
        retry.on_failure(dag_failed())
        stranded = run_state == "failed" and ti_state != "failed"
        assert stub.run_state == ("queued" if stranded else run_state)
        assert (stub.clears, record(retry).status) == (0, Status.RETRYING)

    def test_refused_is_blocked_and_told_once(
        self, retry: DagRetry, client: Any, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.faults = [None, None, before(403, {"detail": "Forbidden"})]
        with pytest.raises(ApiRefused, match="403"):
            retry.on_failure(task_failed())
        retry.on_failure(task_failed(task_id="c"))
        retry.on_failure(dag_failed())
        assert (stub.clears, names(told)) == (0, ["on_blocked"])
        assert (record(retry).status, record(retry).reason) == (Status.BLOCKED, "http_403")
        assert "is blocked (http_403)" in caplog.text
        assert client.zrange("{dag-retry}:v1:attention", 0, -1) == ["daily_load:run"]

    def test_no_credentials_is_a_fault_of_the_way(
        self, retry: DagRetry, stub: StubApi, told: Any, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        deploy(api_url=stub.url)
        with pytest.raises(ApiUnusable, match="api_token"):
            retry.on_failure(task_failed())
        assert (stub.clears, names(told)) == (0, ["on_retry"])
        assert (record(retry).status, record(retry).reason) == (Status.WAITING, "config")
        assert "nothing need be cleared by hand" in caplog.text

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (before(401, {"detail": "Invalid credentials"}), "login"),
            (before(403, {"detail": "Forbidden"}), "login"),
            (before(404, "<html>nginx"), "not_airflow"),
            (before(302, "", Location="/login"), "redirect"),
            (before(200, "<html>"), "not_airflow"),
        ],
    )
    def test_a_fault_of_the_way_is_not_booked_on_the_run(
        self, retry: DagRetry, client: Any, stub: StubApi, told: Any, fault: Fault, reason: str
    ) -> None:
        """The run waits. Once the way is mended, a sweeper clears it, and nobody need do anything."""
        stub.faults = [fault] * 2
        for failed in (task_failed(), dag_failed()):
            with suppress(ApiUnusable):
                retry.on_failure(failed)
        assert (record(retry).status, record(retry).reason, names(told)) == (Status.WAITING, reason, ["on_retry"])
        assert client.zcard("{dag-retry}:v1:attention") == 0
        stub.faults = []
        is_due(client)
        Sweeper(client, Airflow(Deadline(15))).sweep()
        assert (record(retry).status, record(retry).attempt, stub.clears) == (Status.RETRYING, 1, 1)

    def test_a_longer_wait_than_a_callback_has_is_left_to_others(self, retry: DagRetry, stub: StubApi) -> None:
        stub.faults = [before(503, "", **{"Retry-After": "60"})]
        with pytest.raises(ApiUnanswered):
            retry.on_failure(task_failed())
        assert stub.seen == [("POST", "/auth/token")]
        assert record(retry).status is Status.CLAIMED

    def test_a_slow_clear_is_left_to_a_sweeper(
        self, retry: DagRetry, stub: StubApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        # Behind the login and the look.
        stub.faults = [None, None, before(504, "<html>")]
        retry.on_failure(task_failed())
        assert (record(retry).status, record(retry).reason) == (Status.WAITING, "clear_in_progress")
        retry.on_failure(dag_failed())
        assert stub.clears == 0
        assert "a sweeper looks again in 60 s: the clear was sent" in caplog.text

    def test_a_deleted_run_is_forgotten(
        self, retry: DagRetry, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub.run_id = "another"
        retry.on_failure(task_failed())
        assert (retry.read("daily_load", "run"), names(told), stub.clears) == (None, [], 0)
        assert "run 'run' of Dag 'daily_load' was deleted" in caplog.text

    @pytest.mark.parametrize(("run_state", "ti_state"), [("failed", "failed"), ("success", "success")])
    def test_what_a_person_decided_is_not_undone(
        self, make: Any, stub: StubApi, told: Any, run_state: str, ti_state: str
    ) -> None:
        """Somebody set the state of the run, and its task failed while Airflow stopped it."""
        retry = make(on_skipped=lambda context: told.append(("on_skipped", context["dag_retry"])))
        stub.run_state, stub.ti_state = run_state, ti_state
        retry.on_failure(task_failed())
        assert (names(told), told[0][1].reason, stub.clears) == (["on_skipped"], "settled_by_hand", 0)
        retry.on_failure(dag_failed())
        assert (len(told), stub.clears) == (1, 0)


class TestRedisAway:
    def url(self) -> str:
        return f"redis://:s3cret@127.0.0.1:{free_port()}/0"

    def test_nothing_is_cleared_and_the_log_says_so(
        self, retry: DagRetry, stub: StubApi, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        deploy(redis=self.url())
        with pytest.raises(CounterError, match="ConnectionError"):
            retry.on_failure(task_failed())
        assert stub.seen == []
        assert "run 'run' of Dag 'daily_load' failed and was NOT retried, nothing was cleared" in caplog.text
        assert "s3cret" not in caplog.text

    def test_a_sweeper_retries_the_run_later(
        self, retry: DagRetry, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """If the section has what a sweeper needs for that (``test_sweeper.py``)."""
        deploy(redis=self.url(), max_attempts=5)
        with pytest.raises(CounterError):
            retry.on_failure(task_failed())
        assert "A sweeper retries the run some minutes after Redis works again." in caplog.text
        assert "by hand" not in caplog.text

    @pytest.mark.parametrize(
        ("options", "lacks"),
        [
            ({}, "[dag_retry] max_attempts (AIRFLOW__DAG_RETRY__MAX_ATTEMPTS)"),
            ({"max_attempts": 5, "api_url": None}, "a login for Airflow's API"),
        ],
    )
    def test_nobody_retries_the_run_later(
        self, retry: DagRetry, deploy: Any, caplog: pytest.LogCaptureFixture, options: Any, lacks: str
    ) -> None:
        deploy(redis=self.url(), **options)
        with pytest.raises(CounterError):
            retry.on_failure(task_failed())
        assert (
            f"Fix the cause, then clear the run by hand. With {lacks} set, a sweeper retries such a run." in caplog.text
        )

    def test_ids_that_look_like_a_format(self, retry: DagRetry, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(redis=self.url())
        context = task_failed() | {"dag_run": dag_run(run_id="100 %s %d %(x)s {0}")}
        with pytest.raises(CounterError):
            retry.on_failure(context)
        assert "run '100 %s %d %(x)s {0}' of Dag 'daily_load' failed and was NOT retried" in caplog.text

    def test_silent(self, retry: DagRetry, stub: StubApi, deploy: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            deploy(redis=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
            with pytest.raises(CounterError, match="TimeoutError"):
                retry.on_failure(task_failed())
        assert stub.seen == []

    def test_at_success_is_a_warning(self, retry: DagRetry, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(redis=self.url())
        retry.on_success(dag_succeeded())
        assert [entry.levelname for entry in caplog.records if entry.name.startswith("dag_retry")] == ["WARNING"]

    def test_unset(self, retry: DagRetry, stub: StubApi, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(redis=None)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__REDIS_URL.* is not set"):
            retry.on_failure(task_failed())
        assert stub.seen == []
        assert "NOT retried" in caplog.text
        assert caplog.messages[-1].endswith("Fix the cause, then clear the run by hand.")

    def test_wrong_password(
        self, retry: DagRetry, redis_url: str, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        deploy(redis=redis_url.replace("redis://", "redis://nobody:s3cret@"))
        with pytest.raises(CounterError, match="AuthenticationError"):
            retry.on_failure(task_failed())
        assert "s3cret" not in caplog.text


class TestNamedConnections:
    """A Connection that is named, and can't be had, is said so; the section is not asked in its place."""

    def test_of_redis(self, retry: DagRetry, stub: StubApi, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(redis=None, redis_conn_id="nobodys")
        with pytest.raises(CounterError, match="the Airflow Connection 'nobodys' was not found: make it, correct .*"):
            retry.on_failure(task_failed())
        assert stub.seen == []
        assert "NOT retried, nothing was cleared: the Airflow Connection 'nobodys' was not found" in caplog.text

    def test_of_the_api_leaves_the_claim_due(
        self, retry: DagRetry, client: Any, stub: StubApi, api: str, told: Any, deploy: Any, monkeypatch: Any
    ) -> None:
        """Airflow's SDK can't tell a Connection that is missing from an API server that is away."""
        deploy(api_url=None, api_conn_id="late")
        with pytest.raises(ApiUnusable, match="the Airflow Connection 'late' was not found"):
            retry.on_failure(task_failed())
        assert (stub.seen, names(told)) == ([], ["on_retry"])
        assert (record(retry).status, record(retry).reason) == (Status.WAITING, "connection")
        monkeypatch.setenv("AIRFLOW_CONN_LATE", api)
        is_due(client)
        Sweeper(client, Airflow(Deadline(15))).sweep()
        assert stub.clears == 1

    def test_work(
        self, make: Any, redis_url: str, stub: StubApi, api: str, deploy: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import redis

        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        monkeypatch.setenv("AIRFLOW_CONN_COUNTER", redis_url)
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW", api)
        deploy(redis=None, redis_conn_id="counter", api_url=None, api_conn_id="airflow")
        retry = make()
        retry.on_failure(task_failed())
        assert (stub.clears, record(retry).status) == (1, Status.RETRYING)


class TestSuccess:
    def test_after_a_failure(self, retry: DagRetry, told: Any, caplog: pytest.LogCaptureFixture) -> None:
        retry.on_failure(task_failed(0))
        retry.on_success(dag_succeeded(1))
        assert names(told) == ["on_retry", "on_succeeded"]
        assert record(retry).status is Status.SUCCEEDED
        assert "succeeded on attempt 1 of 2" in caplog.text

    def test_without_a_failure(self, retry: DagRetry, client: Any, told: Any) -> None:
        retry.on_success(dag_succeeded())
        assert client.keys() == []
        assert told == []

    def test_without_a_run_in_the_context(self, retry: DagRetry) -> None:
        retry.on_failure(task_failed(0))
        retry.on_success(without_run("success"))
        assert (record(retry).status, record(retry).generation) == (Status.SUCCEEDED, 1)

    @pytest.mark.parametrize("context", [task_failed(), dag_failed()])
    def test_of_anything_else_changes_nothing(
        self, retry: DagRetry, client: Any, caplog: pytest.LogCaptureFixture, context: Any
    ) -> None:
        retry.on_success(context)
        assert "on_success is for the on_success_callback of a Dag" in caplog.text
        assert client.keys() == []


class TestHooks:
    def test_notifiers_render_the_outcome(self, make: Any) -> None:
        sent: list[str] = []

        class Notifier(BaseNotifier):
            template_fields = ("message",)

            def __init__(self) -> None:
                super().__init__()
                self.message = "{{ dag_retry.attempt }}/{{ dag_retry.max_attempts }} {{ dag_retry.failed_try.task_id }}"

            def notify(self, context: Any) -> None:
                sent.append(self.message)

        context = task_failed()
        context["dag"] = DAG("daily_load")
        make(on_retry=Notifier()).on_failure(context)
        assert sent == ["1/2 branch_b"]

    def test_all_are_called_and_a_failing_one_is_told_again(self, make: Any, caplog: pytest.LogCaptureFixture) -> None:
        told: list[str] = []

        def fails_once(context: Any) -> None:
            told.append("first")
            if len(told) == 1:
                raise RuntimeError("no Slack")

        retry = make(max_attempts=1, on_exhausted=[fails_once, lambda context: told.append("second")])
        retry.on_failure(task_failed(0))
        with pytest.raises(RuntimeError, match="no Slack"):
            retry.on_failure(task_failed(1))
        assert told == ["first", "second"]
        assert not record(retry).acknowledged
        assert "and a hook for this failed" in caplog.text
        retry.on_failure(dag_failed(1))
        assert told == ["first", "second"] * 2
        assert record(retry).acknowledged


class TestMetrics:
    def test_counted_with_tags_and_by_name(self, retry: DagRetry, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.observability.stats import Stats

        sent: list[Any] = []
        monkeypatch.setattr(Stats, "incr", lambda name, **options: sent.append((name, options)))
        retry.on_failure(task_failed())
        retry.on_failure(task_failed())
        assert sent == [
            (f"dag_retry.{event}{suffix}", options)
            for event in ("won", "cleared", "lost")
            for suffix, options in (("", {"tags": {"dag_id": "daily_load"}}), (".daily_load", {}))
        ]

    def test_claim_and_clear_are_timed(self, retry: DagRetry, stub: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.observability.stats import Stats

        sent: list[Any] = []
        monkeypatch.setattr(Stats, "timing", lambda name, took, **options: sent.append((name, took, options)))
        retry.on_failure(task_failed())
        retry.on_failure(task_failed())
        stub.faults = [None, before(403)]
        with pytest.raises(ApiRefused):
            retry.on_failure(task_failed(1))
        assert [(name, options) for name, _, options in sent] == [
            (f"dag_retry.{what}_duration{suffix}", options)
            for what in ("claim", "clear", "claim", "claim", "clear")
            for suffix, options in (("", {"tags": {"dag_id": "daily_load"}}), (".daily_load", {}))
        ]
        assert all(isinstance(took, timedelta) and took > timedelta(0) for _, took, _ in sent)

    def test_a_run_that_is_not_retried_is_counted(
        self, retry: DagRetry, deploy: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow.sdk.observability.stats import Stats

        sent: list[str] = []
        monkeypatch.setattr(Stats, "incr", lambda name, **options: sent.append(name))
        deploy(redis=f"redis://127.0.0.1:{free_port()}/0")
        with pytest.raises(CounterError):
            retry.on_failure(task_failed())
        assert sent == ["dag_retry.not_retried", "dag_retry.not_retried.daily_load"]

    def test_none_stands_in_a_retrys_way(
        self, retry: DagRetry, stub: StubApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from airflow.sdk.observability.stats import Stats

        def fail(name: str, **options: Any) -> None:
            raise OSError("no StatsD")

        monkeypatch.setattr(Stats, "incr", fail)
        retry.on_failure(task_failed())
        assert stub.clears == 1
        assert "the metric dag_retry.won of Dag 'daily_load' was not sent" in caplog.text


class TestContext:
    @pytest.mark.parametrize(
        "context",
        [
            {},
            None,
            {"run_id": "run"},
            task_failed() | {"ti": None},
            task_failed() | {"dag_run": SimpleNamespace(dag_id="d", run_id="r")},
            task_failed() | {"dag_run": SimpleNamespace(dag_id="d", run_id="r", clear_number=None)},
        ],
    )
    def test_without_what_the_fence_needs(
        self, retry: DagRetry, client: Any, stub: StubApi, caplog: pytest.LogCaptureFixture, context: Any
    ) -> None:
        with pytest.raises(ContextError, match="by hand|attach it"):
            retry.on_failure(context)
        assert "context has no" in caplog.text
        assert stub.seen == []
        assert client.keys() == []

    def test_names_the_run(self, retry: DagRetry) -> None:
        with pytest.raises(ContextError, match="'run'.*'daily_load'"):
            retry.on_failure(task_failed() | {"ti": None})

    def test_tells_when_the_run_began(self) -> None:
        context = task_failed()
        assert Failure.of(context).run_started is None
        context["dag_run"].start_date = NOW
        assert Failure.of(context).run_started == NOW


class TestDagArgs:
    def mine(self, context: Any) -> None: ...

    def test_both_levels(self) -> None:
        retry = DagRetry()
        arguments = retry.dag_args(schedule="@daily", default_args={"retries": 0})
        assert arguments == {
            "schedule": "@daily",
            "default_args": {
                "retries": 0,
                "retry_delay": timedelta(0),
                "on_failure_callback": [retry.on_failure],
            },
            "on_failure_callback": [retry.on_failure],
            "on_success_callback": [retry.on_success],
            "tags": ["dag-retry"],
        }

    @pytest.mark.parametrize(("level", "scope"), [("dag", "run"), ("both", "failed"), ("dag", "failed")])
    def test_at_the_dag_level_tasks_only_judge(self, deploy: Any, level: Any, scope: Any) -> None:
        deploy(api_token="t")
        retry = DagRetry(scope=scope)
        assert retry.dag_args(level=level, default_args={"retries": 2}, tags=["sales", "dag-retry"]) == {
            "default_args": {"retries": 2, "on_failure_callback": [retry.judge]},
            "on_failure_callback": [retry.on_failure],
            "on_success_callback": [retry.on_success],
            "tags": ["sales", "dag-retry"],
        }

    def test_without_credentials_only_whole_runs_are_cleared(self) -> None:
        with pytest.raises(ConfigError, match="scope 'failed' and skip_if_newer_run: .* api_token"):
            DagRetry(scope="failed", skip_if_newer_run=True)

    def test_failed_tasks_alone_are_not_for_the_task_level(self, deploy: Any) -> None:
        deploy(api_token="t")
        with pytest.raises(ConfigError, match="use level 'both' or 'dag'"):
            DagRetry(scope="failed").dag_args(level="task")

    def test_task_level(self) -> None:
        retry = DagRetry()
        arguments = retry.dag_args(level="task")
        assert "on_failure_callback" not in arguments
        assert arguments["default_args"]["on_failure_callback"] == [retry.on_failure]
        assert arguments["on_success_callback"] == [retry.on_success]

    def test_callbacks_that_were_there_are_kept(self) -> None:
        retry = DagRetry()
        arguments = retry.dag_args(
            default_args={"on_failure_callback": self.mine, "retry_delay": timedelta(minutes=1)},
            on_failure_callback=[self.mine, retry.on_failure],
            on_success_callback=self.mine,
        )
        assert arguments["default_args"]["on_failure_callback"] == [retry.on_failure, self.mine]
        assert arguments["default_args"]["retry_delay"] == timedelta(minutes=1)
        assert arguments["on_failure_callback"] == [retry.on_failure, self.mine]
        assert arguments["on_success_callback"] == [retry.on_success, self.mine]

    def test_the_callers_arguments_are_not_changed(self) -> None:
        defaults: dict[str, Any] = {"retries": 0}
        DagRetry().dag_args(default_args=defaults)
        assert defaults == {"retries": 0}

    def test_a_dag_takes_them(self, redis_url: str) -> None:
        import redis

        # Airflow copies default_args, and a hook that holds a client can't be copied.
        with redis.Redis.from_url(redis_url) as client:
            retry = DagRetry(on_retry=client.ping)
            with pytest.raises(TypeError, match="cannot pickle"):
                copy.deepcopy(client.ping)
            with DAG("daily_load", **retry.dag_args()) as dag:

                @task
                def branch() -> None: ...

                branch()
            assert copy.deepcopy(retry) is retry
        assert dag.get_task("branch").on_failure_callback == [retry.on_failure]
        assert dag.has_on_failure_callback
        assert dag.has_on_success_callback

    def test_unknown_level(self) -> None:
        with pytest.raises(ConfigError, match="level is 'all': use 'both' or 'dag' or 'task'"):
            DagRetry().dag_args(level="all")  # type: ignore[arg-type]

    def test_something_that_is_no_callback(self) -> None:
        with pytest.raises(ConfigError, match="on_failure_callback is 'mail me'"):
            DagRetry().dag_args(on_failure_callback="mail me")


class TestRecipe:
    def test_counts_and_stops(
        self, redis_url: str, stub: StubApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        import redis

        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL", redis_url)
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__API_URL", stub.url + "/api/v2")
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__API_USERNAME", "retry")
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__API_PASSWORD", "s3cret")
        assert recipe.read_attempts("daily_load", "run") == 0
        for generation in range(5):
            for branch in ("a", "b", "c"):
                recipe.clear_dag_run_on_failure(task_failed(generation if generation < 3 else 3, task_id=branch))
            # Users of the how-to call it when they give up, too; that must not begin a new series.
            recipe.cleanup_attempts(dag_failed(3))
        assert stub.clears == 3
        assert recipe.read_attempts("daily_load", "run") == 3
        assert caplog.text.count("gave up") == 1


def of(ti_id: str) -> Any:
    from dag_retry import FailedTry

    return FailedTry("branch_b", -1, ti_id)


def test_contexts_are_like_airflows() -> None:
    """What our contexts stand for has the attributes that we read."""
    from airflow.sdk.api.datamodels._generated import DagRun
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    assert {"dag_id", "run_id", "clear_number"} <= set(DagRun.model_fields)
    assert set(vars(ti())) <= set(RuntimeTaskInstance.model_fields) | {"id", "task_id", "map_index", "try_number"}
