"""No alert is swallowed: who tells the hooks of an ending, and what later callbacks find in their context."""

from __future__ import annotations

import contextlib
import logging
import runpy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from pytest_httpserver import HTTPServer

import dag_retry
from dag_retry import AttemptCounter, Claim, DagRetry, FailedTry, Outcome, RunRecord, Status, Verdict
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback.note import line_of, revise_note
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from dag_retry.sweeper.sweeper import Sweeper
from tests.claims import RUN, claim, record, told
from tests.contexts import dag_failed, dag_succeeded, heartbeat_timeout, task_failed, without_run
from tests.servers import free_port
from tests.stub_api import StubApi, before

ENDINGS = ["exhausted", "blocked", "skipped"]
DAY = 24 * 3600 * 1000
HOUR = timedelta(hours=1)


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture(autouse=True)
def deployed(client: Any, stub: StubApi, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
    deploy(redis=client, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
    caplog.set_level(logging.INFO, logger="dag_retry")


class Alerts:
    """A hook for every ending. It fails so many times before it works."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.told: list[Outcome] = []

    def __call__(self, context: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no mail today")
        self.told.append(context["dag_retry"])

    @property
    def statuses(self) -> list[str]:
        return [outcome.status.value for outcome in self.told]

    def retry(self, max_attempts: int = 1, **options: Any) -> DagRetry:
        hooks: Any = dict.fromkeys(("on_exhausted", "on_blocked", "on_skipped"), self)
        return DagRetry(max_attempts, **hooks, **options)


def found(retry: DagRetry) -> RunRecord:
    it = retry.read("daily_load", "run")
    assert it is not None
    return it


def ends(retry: DagRetry, stub: StubApi, ending: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the context of a task's failure that ends the budget, and that of the failed run."""
    if ending == "exhausted":
        retry.on_failure(task_failed(0))
        return task_failed(1), dag_failed(1)
    if ending == "blocked":
        stub.faults += [None, before(403)] * 9
        return task_failed(0), dag_failed(0)
    return task_failed(0) | {"exception": AirflowFailException("no use")}, dag_failed(0)


def lapse(client: Any) -> None:
    """Let the lease of the run be over, and a sweeper look."""
    client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", "1")


def sweeper(client: Any) -> Sweeper:
    return Sweeper(client, Airflow(Deadline(15)))


class TestHooksThatFail:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_at_the_task_level_are_told_by_the_dag_level(self, stub: StubApi, ending: str) -> None:
        alerts = Alerts(fails=1)
        retry = alerts.retry()
        of_task, of_dag = ends(retry, stub, ending)
        with pytest.raises(RuntimeError, match="no mail today"):
            retry.on_failure(of_task)
        assert (alerts.statuses, found(retry).acknowledged) == ([], False)
        stub.run_state = "failed"
        try:
            retry.on_failure(of_dag)
        except dag_retry.ApiRefused:
            assert ending == "blocked"
        assert (alerts.statuses, found(retry).acknowledged) == ([ending], True)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_at_both_levels_leave_the_ending_untold(
        self, stub: StubApi, ending: str, client: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        alerts = Alerts(fails=2)
        retry = alerts.retry()
        of_task, of_dag = ends(retry, stub, ending)
        for context in (of_task, of_dag):
            with pytest.raises(RuntimeError, match="no mail today"):
                retry.on_failure(context)
            stub.run_state = "failed"
        lapse(client)
        assert sweeper(client).sweep() is not None
        record = found(retry)
        assert (record.status.value, record.acknowledged, record.level) == (ending, False, "dag")
        assert client.zscore("{dag-retry}:v1:attention", "daily_load:run") is not None
        assert client.zscore("{dag-retry}:v1:active", "daily_load:run") > record.updated_at + 29 * DAY
        # A callback of the Dag that comes late still tells.
        try:
            retry.on_failure(of_dag)
        except dag_retry.ApiRefused:
            assert ending == "blocked"
        assert (alerts.statuses, found(retry).acknowledged) == ([ending], True)


class TestASweeper:
    def waits(self, alerts: Alerts, client: Any, **options: Any) -> DagRetry:
        retry = alerts.retry(delay=HOUR, **options)
        retry.on_failure(task_failed())
        lapse(client)
        client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1})
        return retry

    @pytest.mark.parametrize("again", ["task", "dag"])
    def test_does_not_acknowledge_what_it_cannot_tell(
        self, stub: StubApi, client: Any, again: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        alerts = Alerts()
        retry = self.waits(alerts, client)
        stub.run_state, stub.faults = "failed", [None, before(403)] * 9
        again_and_again = sweeper(client)
        again_and_again.sweep()
        before_second = found(retry)
        again_and_again.sweep()
        assert found(retry) == before_second
        assert (before_second.status, before_second.level, before_second.acknowledged) == (
            Status.BLOCKED,
            "sweeper",
            False,
        )
        assert "its Dag has hooks of its own, and a sweeper does not have them" in caplog.text
        assert alerts.told == []
        # A Dag-level callback that comes later tells at once.
        with pytest.raises(dag_retry.ApiRefused):
            retry.on_failure(dag_failed() if again == "dag" else task_failed())
        assert (alerts.statuses, found(retry).acknowledged) == (["blocked"], True)

    def test_tells_by_the_hooks_of_the_section(self, stub: StubApi, client: Any) -> None:
        alerts = Alerts()
        retry = DagRetry(1, delay=HOUR)
        retry.on_failure(task_failed())
        lapse(client)
        client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1})
        stub.run_state, stub.faults = "failed", [None, before(403)] * 9
        sweeper(client).sweep()
        assert (found(retry).status, found(retry).acknowledged, alerts.told) == (Status.BLOCKED, True, [])

    def test_acknowledges_what_needs_no_human(self, stub: StubApi, client: Any) -> None:
        retry = self.waits(Alerts(), client)
        stub.run_state = "success"
        sweeper(client).sweep()
        assert (found(retry).reason, found(retry).acknowledged) == ("settled_by_hand", True)

    def test_claims_a_failed_run_with_the_flag_of_its_record(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, 0, own_hooks=True)
        assert record(counter).own_hooks
        ended = claim(counter, 1, 1, own_hooks=True, level="sweeper")
        assert (told(ended), ended.own_hooks) == (("exhausted", "max_attempts", 1), True)
        assert not record(counter).acknowledged
        # The sweeper keeps nobody off.
        assert told(claim(counter, 1, 1, level="dag")) == ("exhausted", "max_attempts", 1)

    def test_takes_no_such_ending_whatever_the_index_says(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, 0, skip="disabled", own_hooks=True)
        client.hset("{dag-retry}:v1:run:" + ":".join(RUN), "due_at", "1")
        client.zadd("{dag-retry}:v1:active", {":".join(RUN): 1})
        due = DueRuns(client)
        assert due.take(*RUN, holder="sweeper") is None
        assert due.read()[0] == []


class TestReset:
    def test_of_an_unclaimed_run_is_a_fresh_budget(self, counter: AttemptCounter, client: Any) -> None:
        """Nobody knew the generation: a person has cleared the run twice."""
        due = DueRuns(client)
        won = claim(counter, 0, 2)
        counter.confirm(won)
        counter.confirm(claim(counter, 1, 2))
        client.hset("{dag-retry}:v1:run:" + ":".join(RUN), "updated_at", "1")
        assert due.miss(*RUN, queued_at=2_000_000_000_000, grace=timedelta(0), holder="sweeper")
        assert Interventions(client).reset(*RUN)
        assert (record(counter).base, record(counter).attempt) == (-1, 0)
        assert Interventions(client).reset(*RUN)
        for attempt, generation in enumerate((5, 6), start=1):
            won = claim(counter, generation, 2)
            assert (told(won), won.base) == (("won", "claimed", attempt), 5)
            counter.confirm(won)
        assert told(claim(counter, 7, 2)) == ("exhausted", "max_attempts", 2)


def pipeline(retry: DagRetry, level: Any) -> DAG:
    with DAG("daily_load", schedule=None, **retry.dag_args(level=level)) as dag:

        @task
        def optional() -> None: ...

        optional() >> task(task_id="cleanup", trigger_rule="all_done")(lambda: None)()
    return dag


class TestLeft:
    """A task's failure that is not retried, in a run that may yet succeed."""

    @pytest.fixture
    def alerts(self) -> Alerts:
        return Alerts()

    def failed(self, dag: DAG, context: dict[str, Any]) -> dict[str, Any]:
        context |= {"dag": dag, "task": dag.get_task("optional"), "exception": AirflowFailException("no use")}
        context["ti"].task_id = "optional"
        callbacks: Any = dag.get_task("optional").on_failure_callback
        for callback in callbacks:
            callback(context)
        return context

    @pytest.mark.parametrize("level", ["dag", "both"])
    @pytest.mark.parametrize("reason", ["task_failure", "timed_out"])
    @pytest.mark.parametrize("context", [task_failed, heartbeat_timeout])
    def test_is_told_once_the_run_has_failed(
        self, alerts: Alerts, client: Any, level: str, reason: str, context: Callable[[], dict[str, Any]]
    ) -> None:
        retry = alerts.retry(task_ids="another")
        dag = pipeline(retry, level)
        outcome = self.failed(dag, context())["dag_retry"]
        assert (outcome.status, outcome.reason, alerts.told) == (Status.SKIPPED, outcome.reason, [])
        left = found(retry)
        assert (left.status, left.acknowledged, left.level) == (Status.SKIPPED, False, "")
        assert left.due_at - left.updated_at == DAY
        self.failed(dag, context())
        assert (alerts.told, found(retry).lost) == ([], 1)
        retry.on_failure(dag_failed(reason=reason) | {"dag": dag})
        assert (alerts.statuses, found(retry).acknowledged) == (["skipped"], True)
        assert alerts.told[0].failed_try.task_id == "optional"

    def test_is_no_alarm_if_the_run_succeeds(self, alerts: Alerts, client: Any) -> None:
        retry = alerts.retry()
        self.failed(pipeline(retry, "dag"), task_failed())
        retry.on_success(dag_succeeded())
        assert (found(retry).status, found(retry).reason) == (Status.SKIPPED, "run_succeeded")
        assert (found(retry).acknowledged, alerts.told) == (True, [])
        assert client.zcard("{dag-retry}:v1:attention") == 0

    def test_is_told_by_a_sweeper_a_day_later(self, client: Any, stub: StubApi) -> None:
        retry = DagRetry(1)
        self.failed(pipeline(retry, "dag"), task_failed())
        assert DueRuns(client).read()[0] == []
        lapse(client)
        client.zadd("{dag-retry}:v1:active", {"daily_load:run": 1})
        sweeper(client).sweep()
        assert (found(retry).status, found(retry).acknowledged) == (Status.SKIPPED, True)


class TestOutcomes:
    """What the callbacks after ours find."""

    def of(self, callback: Callable[[Any], None], context: dict[str, Any]) -> tuple[str, str, int]:
        with contextlib.suppress(dag_retry.DagRetryError):
            callback(context)
        outcome = context["dag_retry"]
        assert (outcome.dag_id, outcome.run_id) == ("daily_load", "run")
        return outcome.status.value, outcome.reason, outcome.attempt

    def test_of_losers(self, stub: StubApi) -> None:
        retry = DagRetry(1)
        assert self.of(retry.on_failure, task_failed(task_id="a")) == ("retrying", "claimed", 1)
        assert self.of(retry.on_failure, task_failed(task_id="b")) == ("retrying", "already_retrying", 1)
        assert self.of(retry.on_failure, task_failed(1)) == ("exhausted", "max_attempts", 1)
        lost = task_failed(1, task_id="c")
        assert self.of(retry.on_failure, lost) == ("exhausted", "already_exhausted", 1)
        assert lost["dag_retry"].failed_try.task_id == "branch_b"
        assert self.of(retry.on_failure, task_failed(0)) == ("exhausted", "stale", 1)

    def test_of_a_winner_without_a_clear_answer(self, stub: StubApi, deploy: Any) -> None:
        deploy(api_url=f"http://u:p@127.0.0.1:{free_port()}")
        assert self.of(DagRetry(1).on_failure, task_failed()) == ("claimed", "claimed", 1)

    def test_of_callbacks_that_claim_nothing(self, stub: StubApi, deploy: Any) -> None:
        retry = DagRetry(3)
        assert self.of(retry.judge, task_failed()) == ("unclaimed", "left_to_dag_level", 0)
        left = task_failed(state="up_for_retry", try_number=1, max_tries=2)
        assert self.of(retry.on_failure, left) == ("unclaimed", "task_retries_left", 0)
        assert self.of(retry.on_failure, without_run("task_failure")) == ("unclaimed", "unknown_try", 0)
        deploy(redis=f"redis://127.0.0.1:{free_port()}")
        away = task_failed()
        assert self.of(retry.on_failure, away) == ("unclaimed", "error", 0)
        assert away["dag_retry"].max_attempts == 3

    def test_example_by_hand_works_when_copied(
        self, stub: StubApi, deploy: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        example = Path(dag_retry.__file__).parent / "example_dags" / "example_by_hand.py"
        copied = runpy.run_path(str(example))
        deploy(redis=f"redis://127.0.0.1:{free_port()}")
        contexts = [task_failed(), task_failed(0, state="up_for_retry", max_tries=3), without_run("task_failure")]
        for context in contexts:
            with contextlib.suppress(dag_retry.CounterError):
                copied["retry"].on_failure(context)
            copied["mine"](context)
        assert capsys.readouterr().out == "run failed: unclaimed\n" * 3


class TestNotes:
    @pytest.mark.parametrize(
        "written",
        [
            "Dag retry was discussed with Ann",
            "Dag retry: ask Ann first",
            "Dag retry 1/2: Ann looks into it",
            "Dag retry: gave up after lunch",
            "Dag retries are fine",
        ],
    )
    def test_a_line_that_a_person_wrote_stays(self, stub: StubApi, written: str) -> None:
        stub.note = f"{written}\nDag retry 1/2: load[3]: TimeoutError\nmore"
        DagRetry(2).on_failure(task_failed())
        assert stub.note == f"{written}\nmore\nDag retry 1/2: branch_b: TimeoutError"

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_our_own_lines_are_replaced(self, stub: StubApi, ending: str) -> None:

        for failed_try in (
            FailedTry(),
            FailedTry("a.b-c", 3, "i", "TimeoutError"),
            FailedTry("load"),
            FailedTry(error="E"),
        ):
            claim = Claim(Verdict.WON, "claimed", 1, 2, 0, "one", "d", "r", "w:1", failed_try)
            lines = [line_of(Status(status), claim, "http_403") for status in (ending, "retrying", "succeeded")]
            assert revise_note("\n".join(["mine", *lines, "too"]), "new") == "mine\ntoo\nnew"
