"""The flow of a policy: skips, delays, what a winner finds, notes; on fakeredis and on a real Redis."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from pytest_httpserver import HTTPServer

from dag_retry import ConfigError, DagRetry, Outcome, RunRecord, Status, recipe
from tests.contexts import dag_failed, dag_succeeded, heartbeat_timeout, task_failed
from tests.stub_api import StubApi, before

HOUR = timedelta(hours=1)


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def told() -> list[Outcome]:
    return []


@pytest.fixture
def make(client: Any, stub: StubApi, told: list[Outcome], deploy: Any) -> Callable[..., DagRetry]:
    deploy(redis=client, api_url=stub.url.replace("http://", "http://retry:s3cret@"))

    def hook(context: Any) -> None:
        told.append(context["dag_retry"])

    def make(**options: Any) -> DagRetry:
        names = ("on_retry", "on_exhausted", "on_blocked", "on_skipped", "on_succeeded")
        return DagRetry(**({"max_attempts": 2} | dict.fromkeys(names, hook) | options))

    return make


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dag_retry")


def record(retry: DagRetry) -> RunRecord | None:
    return retry.read("daily_load", "run")


def statuses(told: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.status.value, outcome.reason) for outcome in told]


def hopeless(generation: int = 0) -> dict[str, Any]:
    return task_failed(generation) | {"exception": AirflowFailException("no use")}


class TestSkip:
    def test_the_dag_level_does_not_retry_what_a_task_declared_hopeless(
        self, make: Any, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        retry = make()
        retry.on_failure(hopeless())
        retry.on_failure(dag_failed())
        assert stub.clears == 0
        assert statuses(told) == [("skipped", "exception_not_retryable")]
        assert (
            "failed, and is not retried (exception_not_retryable): retry_on or give_up_on excludes the exception"
            in caplog.text
        )
        found = record(retry)
        assert found
        assert (found.status, found.acknowledged) == (Status.SKIPPED, True)

    def test_nor_where_tasks_only_judge(self, make: Any, stub: StubApi, told: Any) -> None:
        retry = make()
        retry.judge(task_failed())
        retry.judge(hopeless())
        retry.on_failure(dag_failed())
        assert stub.clears == 0
        assert statuses(told) == [("skipped", "exception_not_retryable")]

    def test_a_judge_leaves_the_rest_to_the_dag_level(self, make: Any, stub: StubApi) -> None:
        retry = make()
        retry.judge(task_failed())
        retry.judge(heartbeat_timeout())
        assert record(retry) is None
        assert stub.seen == []
        retry.on_failure(dag_failed())
        assert stub.clears == 1

    def test_a_clear_by_hand_begins_a_fresh_budget(self, make: Any, stub: StubApi) -> None:
        retry = make()
        retry.on_failure(hopeless(0))
        stub.clear({"dry_run": False})
        retry.on_failure(task_failed(1))
        assert stub.clears == 2
        found = record(retry)
        assert found
        assert (found.attempt, found.reason) == (1, "fresh_budget")

    def test_one_that_failed_to_be_told_is_told_again(self, make: Any) -> None:
        def raises(context: Any) -> None:
            raise RuntimeError("no mail today")

        told_again: list[str] = []
        with pytest.raises(RuntimeError):
            make(on_skipped=raises).on_failure(hopeless())
        make(on_skipped=lambda context: told_again.append(context["dag_retry"].reason)).on_failure(dag_failed())
        assert told_again == ["exception_not_retryable"]

    def test_a_disabled_run(self, make: Any, stub: StubApi, told: Any) -> None:
        context = task_failed()
        context["dag_run"].conf = {"dag_retry": {"enabled": False}}
        make().on_failure(context)
        assert stub.clears == 0
        assert statuses(told) == [("skipped", "disabled")]

    @pytest.mark.parametrize(
        ("options", "conf"),
        [
            ({}, {"dag_retry": {"max_attempts": "many"}}),
            ({"retry_if": lambda context: context["nothing"]}, {}),
            ({"delay": lambda attempt: 1 // 0}, {}),
            ({"delay": lambda attempt: timedelta(days=31)}, {}),
            ({}, {"dag_retry": {"delay": 10**9}}),
        ],
    )
    def test_a_policy_that_is_not_usable(
        self, make: Any, stub: StubApi, told: Any, options: Any, conf: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing is cleared; the log says why, and so does the record."""
        context = task_failed()
        context["dag_run"].conf = conf
        with pytest.raises(ConfigError):
            make(**options).on_failure(context)
        assert stub.clears == 0
        assert statuses(told) == [("skipped", "config")]
        assert "not usable. Correct it, then clear the run by hand." in caplog.text


class TestOverrides:
    def test_a_run_with_other_limits(self, make: Any, stub: StubApi) -> None:
        retry = make()
        for generation in range(4):
            context = task_failed(generation)
            context["dag_run"].conf = {"dag_retry": {"max_attempts": 3}}
            retry.on_failure(context)
        assert stub.clears == 3

    def test_a_dag_with_other_limits(self, make: Any, stub: StubApi) -> None:
        retry = make()
        for generation in range(3):
            retry.on_failure(task_failed(generation) | {"params": {"dag_retry": {"max_attempts": 1}}})
        assert stub.clears == 1


class TestDelay:
    def test_who_wins_does_not_wait(self, make: Any, stub: StubApi, told: Any, caplog: Any) -> None:
        retry = make(delay=HOUR)
        for branch in ("a", "b"):
            retry.on_failure(task_failed(task_id=branch))
        retry.on_failure(dag_failed())
        assert stub.clears == 0
        assert statuses(told) == [("waiting", "claimed")]
        found = record(retry)
        assert found
        assert (found.status, found.due_at) == (Status.WAITING, told[0].due_at)
        at = datetime.fromtimestamp(found.due_at / 1000, tz=timezone.utc).isoformat(timespec="seconds")
        assert f"attempt 1 of 2 begins at {at}" in caplog.text
        assert "there is no Dag 'dag_retry_sweeper': `dag-retry sweep` must run as a service" in caplog.text

    def test_asks_the_sweepers_dag_for_that_time(self, make: Any, stub: StubApi) -> None:
        stub.dags = {"dag_retry_sweeper"}
        retry = make(delay=HOUR)
        retry.on_failure(task_failed())
        found = record(retry)
        assert found
        (asked,) = stub.triggered
        due_at = datetime.fromisoformat(asked["run_after"]).timestamp() * 1000
        assert found.due_at <= due_at < found.due_at + 1000
        assert asked["dag_run_id"] == f"due__{asked['run_after']}"
        assert asked["logical_date"] is None

    def test_one_run_of_it_serves_all_that_are_due_then(self, make: Any, stub: StubApi, caplog: Any) -> None:
        stub.dags = {"dag_retry_sweeper"}
        stub.runs = [{"dag_id": "dag_retry_sweeper"}]
        # Behind the login.
        stub.faults = [None, before(409, {"detail": "Conflict"})]
        make(delay=HOUR).on_failure(task_failed())
        assert "no run of Dag" not in caplog.text

    @pytest.mark.parametrize("status", [403, 503])
    def test_goes_on_without_it(self, make: Any, stub: StubApi, told: Any, status: int, caplog: Any) -> None:
        stub.faults = [None, before(status)]
        make(delay=HOUR).on_failure(task_failed())
        assert statuses(told) == [("waiting", "claimed")]
        assert "no run of Dag 'dag_retry_sweeper' was made for that" in caplog.text

    def test_a_dag_level_callback_clears_what_is_due_by_then(self, make: Any, stub: StubApi, client: Any) -> None:
        retry = make(delay=HOUR)
        retry.on_failure(task_failed())
        client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", "1")
        retry.on_failure(dag_failed())
        assert stub.clears == 1


class TestAwareness:
    def test_a_paused_dag(self, make: Any, stub: StubApi, told: Any, caplog: pytest.LogCaptureFixture) -> None:
        stub.paused = True
        make().on_failure(task_failed())
        assert stub.clears == 0
        assert statuses(told) == [("waiting", "dag_paused")]
        assert "a sweeper looks again in 60 s: the Dag is paused" in caplog.text

    @pytest.mark.parametrize(("states", "by_failures"), [("ff", True), ("fs", False)])
    def test_one_that_airflow_paused(self, make: Any, stub: StubApi, told: Any, states: str, by_failures: bool) -> None:
        stub.paused, stub.most_failures = True, 2
        stub.runs = [{"state": {"f": "failed", "s": "success"}[state]} for state in states]
        make().on_failure(dag_failed())
        assert statuses(told) == [("waiting", "dag_paused_by_failures" if by_failures else "dag_paused")]
        assert stub.queries == [{"dag_ids": ["daily_load"], "order_by": "-run_after", "page_limit": 2}]

    def test_a_newer_run(self, make: Any, stub: StubApi, told: Any) -> None:
        stub.runs = [{"state": "success"}]
        make(skip_if_newer_run=True).on_failure(task_failed())
        assert stub.clears == 0
        assert statuses(told) == [("skipped", "newer_run_succeeded")]
        assert stub.queries[0]["run_after_gt"] == stub.run_after

    def test_no_newer_run(self, make: Any, stub: StubApi) -> None:
        make(skip_if_newer_run=True).on_failure(task_failed())
        assert stub.clears == 1

    def test_is_not_asked_unless_wanted(self, make: Any, stub: StubApi) -> None:
        stub.runs = [{"state": "success"}]
        make().on_failure(task_failed())
        assert stub.clears == 1
        assert stub.queries == []


class TestScope:
    def test_what_is_sent(self, make: Any, stub: StubApi) -> None:
        retry = make(scope="failed", run_on_latest_version=True)
        retry.on_failure(task_failed())
        assert stub.clears == 0
        retry.on_failure(dag_failed())
        assert stub.clear_bodies == [{"dry_run": False, "only_failed": True, "run_on_latest_version": True}]

    def test_of_a_run_that_timed_out_all_is_cleared(self, make: Any, stub: StubApi) -> None:
        make(scope="failed").on_failure(dag_failed(reason="timed_out"))
        assert stub.clear_bodies == [{"dry_run": False}]

    def test_who_takes_over_clears_as_the_first_holder_would(self, make: Any, stub: StubApi, client: Any) -> None:
        stub.faults = [None, before(403)]
        with pytest.raises(ZeroDivisionError):
            make(run_on_latest_version=True, on_blocked=lambda context: 1 / 0).on_failure(task_failed())
        make().on_failure(dag_failed())
        assert stub.clear_bodies == [{"dry_run": False, "run_on_latest_version": True}]


class TestNote:
    def test_says_how_it_stands(self, make: Any, stub: StubApi) -> None:
        retry = make()
        retry.on_failure(task_failed(0))
        retry.on_failure(task_failed(1, map_index=3))
        retry.on_success(dag_succeeded(2))
        assert stub.notes == [
            "Dag retry 1/2: branch_b: TimeoutError",
            "Dag retry 2/2: branch_b[3]: TimeoutError",
            "Dag retry: recovered on attempt 2",
        ]

    def test_says_that_it_gave_up(self, make: Any, stub: StubApi) -> None:
        retry = make(max_attempts=1)
        retry.on_failure(task_failed(0))
        retry.on_failure(task_failed(1))
        assert stub.note == "Dag retry: gave up after 1: branch_b: TimeoutError"

    def test_says_why_it_was_not_retried(self, make: Any, stub: StubApi) -> None:
        make().on_failure(hopeless())
        assert stub.note == "Dag retry: not retried (exception_not_retryable): branch_b: AirflowFailException"

    def test_says_that_it_waits(self, make: Any, stub: StubApi) -> None:
        make(delay=HOUR).on_failure(task_failed())
        assert stub.note == "Dag retry 1/2: branch_b: TimeoutError"

    def test_stands_behind_what_a_person_wrote(self, make: Any, stub: StubApi) -> None:
        stub.note = "Ticket 4711\nAsk Ada."
        retry = make()
        retry.on_failure(task_failed(0))
        retry.on_failure(task_failed(1))
        assert stub.note == "Ticket 4711\nAsk Ada.\nDag retry 2/2: branch_b: TimeoutError"

    def test_never_over_it(self, make: Any, stub: StubApi) -> None:
        stub.note = "x" * 990
        make().on_failure(task_failed(0))
        assert stub.note == "x" * 990
        assert stub.clears == 1

    @pytest.mark.parametrize("status", [403, 404, 503])
    def test_one_that_is_refused_costs_nothing(self, make: Any, stub: StubApi, told: Any, status: int) -> None:
        stub.notes_status = status
        make().on_failure(task_failed(0))
        assert statuses(told) == [("retrying", "claimed")]
        assert stub.note is None


def test_hooks_of_the_section(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are imported when they are called."""
    monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_SKIPPED", "our_alerts:page, our_alerts:page")
    retry = make(on_skipped=None)
    paged: list[str] = []
    module: Any = ModuleType("our_alerts")
    module.page = lambda context: paged.append(context["dag_retry"].run_id)
    monkeypatch.setitem(sys.modules, "our_alerts", module)
    retry.on_failure(hopeless())
    assert paged == ["run", "run"]
    # What is given goes before.
    make(on_skipped=[]).on_failure(hopeless(1))
    assert paged == ["run", "run"]


def test_a_hook_of_the_section_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_RETRY__ON_EXHAUSTED", "our_alerts.page")
    with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__ON_EXHAUSTED.* use module:function"):
        DagRetry()


class TestRecipe:
    """The attempts that the how-to's Variable holds for a run in flight are taken over, once."""

    @pytest.fixture
    def variables(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        variables: dict[str, str] = {}

        class Variable:
            get = staticmethod(lambda name, default=None: variables.get(name, default))
            delete = staticmethod(lambda name: variables.pop(name, None))

        import airflow.sdk

        # What a Variable is outside of a task's process asks for a server; the live tests have one.
        monkeypatch.setattr(airflow.sdk, "Variable", Variable)
        return variables

    @pytest.fixture
    def retry(self, client: Any, stub: StubApi, deploy: Any) -> DagRetry:
        deploy(redis=client, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
        return recipe._AfterTheRecipe(2)

    def test_taken_over_once(self, retry: DagRetry, stub: StubApi, variables: dict[str, str]) -> None:
        # Cleared four times, by hand too; the Variable says once.
        variables["dag_run_attempts::daily_load::run"] = "1"
        stub.ti_id = "try-4"
        retry.on_failure(task_failed(4))
        found = record(retry)
        assert found
        assert (found.attempt, found.base) == (2, 3)
        assert stub.clears == 1
        assert variables == {}

    def test_is_kept_while_redis_is_away(self, retry: DagRetry, variables: dict[str, str], deploy: Any) -> None:
        variables["dag_run_attempts::daily_load::run"] = "1"
        deploy(redis="redis://127.0.0.1:1")
        with pytest.raises(Exception, match="unreachable"):
            retry.on_failure(task_failed(1))
        assert variables == {"dag_run_attempts::daily_load::run": "1"}

    @pytest.mark.parametrize("held", [{}, {"dag_run_attempts::daily_load::run": "none"}])
    def test_nothing_to_take_over(self, retry: DagRetry, stub: StubApi, variables: Any, held: Any) -> None:
        variables.update(held)
        retry.on_failure(task_failed(0))
        assert stub.clears == 1
        assert variables == held


def test_a_judge_at_a_heartbeat_timeout_asks_nothing(make: Any, stub: StubApi) -> None:
    make().judge(heartbeat_timeout() | {"task": SimpleNamespace(task_id="branch_b")})
    assert stub.seen == []
