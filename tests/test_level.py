"""Which level clears a run: Dags as users write them, and contexts as Airflow gives them to their callbacks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from pytest_httpserver import HTTPServer

from dag_retry import DagRetry, RunRecord, Status, recipe
from tests.contexts import dag_failed, heartbeat_timeout, ti
from tests.stub_api import StubApi

LEFT = "this callback leaves the failure to the Dag level"
PAST = {"retries": 0, "depends_on_past": True}


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture
def make(client: Any, stub: StubApi, deploy: Any) -> Callable[..., DagRetry]:
    deploy(redis=client, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
    return functools.partial(DagRetry, 2)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dag_retry")


def pipeline(cleanup: str = "all_done", **dag_args: Any) -> DAG:
    """``optional`` → ``cleanup``, and ``needed`` by itself."""
    with DAG("daily_load", schedule=None, **dag_args) as dag:

        @task
        def optional() -> None: ...

        @task
        def needed() -> None: ...

        optional() >> task(task_id="cleanup", trigger_rule=cleanup)(lambda: None)()
        needed()
    return dag


def of(dag: DAG, context: dict[str, Any], task_id: str = "optional", told: Any = None) -> dict[str, Any]:
    """The context of a callback of a task of that Dag."""

    def get_task_states(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> Any:
        if isinstance(told, Exception):
            raise told
        assert (dag_id, run_ids) == ("daily_load", ["run"])
        return {"run": told}

    failed = SimpleNamespace(**vars(context["ti"]) | {"task_id": task_id, "get_task_states": get_task_states})
    return context | {"dag": dag, "task": dag.get_task(task_id), "ti": failed}


def failed(dag: DAG, task_id: str = "optional", told: Any = None) -> dict[str, Any]:
    context = dag_failed() | {"exception": TimeoutError("too slow"), "ti": ti()}
    del context["reason"]
    return of(dag, context, task_id, told)


def call(context: dict[str, Any]) -> None:
    """Call back as Airflow does: the callbacks of the task, or with a reason those of the Dag."""
    owner = context["dag"] if "reason" in context else context["task"]
    for callback in owner.on_failure_callback:
        callback(context)


class TestLevels:
    def test_a_failure_that_need_not_matter_is_left_to_the_dag_level(
        self, make: Any, stub: StubApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        retry = make()
        dag = pipeline(**retry.dag_args())
        call(failed(dag))
        assert (stub.seen, retry.read("daily_load", "run")) == ([], None)
        assert LEFT in caplog.text
        call(of(dag, dag_failed()))
        assert stub.clears == 1

    def test_so_it_is_after_a_heartbeat_timeout(self, make: Any, stub: StubApi) -> None:
        call(of(pipeline(**make().dag_args()), heartbeat_timeout()))
        assert stub.seen == []

    def test_a_leaf_clears_at_once(self, make: Any, stub: StubApi) -> None:
        call(failed(pipeline(**make().dag_args()), "needed"))
        assert stub.clears == 1

    @pytest.mark.parametrize(
        ("told", "clears"),
        [
            ({"optional": "running", "cleanup": None}, 1),
            ({"optional": "running", "cleanup": "skipped"}, 0),
            ({"optional_0": "skipped", "optional_1": "running", "cleanup": None}, 0),
            (RuntimeError("no answer"), 0),
        ],
    )
    def test_airflow_is_asked_what_became_of_the_tasks_after_it(
        self, make: Any, stub: StubApi, told: Any, clears: int
    ) -> None:
        call(failed(pipeline("all_success", **make().dag_args()), told=told))
        assert stub.clears == clears

    def test_at_the_task_level_alone_nobody_else_would_retry(self, make: Any, stub: StubApi) -> None:
        call(failed(pipeline(**make().dag_args(level="task"))))
        assert stub.clears == 1

    def test_attached_by_hand(self, make: Any, stub: StubApi) -> None:
        retry = make()

        @functools.wraps(retry.on_failure)
        def wrapped(context: Any) -> None:
            retry.on_failure(context)

        def mail(context: Any) -> None: ...

        defaults = {"on_failure_callback": [mail, retry.on_failure]}
        for callback in (retry.on_failure, [mail, make().on_failure], wrapped, recipe.clear_dag_run_on_failure):
            call(failed(pipeline(default_args=defaults, on_failure_callback=callback)))
            assert stub.clears == 0
        call(failed(pipeline(default_args=defaults, on_failure_callback=mail)))
        assert stub.clears == 1

    def test_what_a_condition_excludes_is_recorded_at_once(self, make: Any) -> None:
        retry = make()
        call(failed(pipeline(**retry.dag_args())) | {"exception": AirflowFailException("no use")})
        assert standing(retry.read("daily_load", "run")) == (Status.SKIPPED, "exception_not_retryable")


def standing(record: RunRecord | None) -> tuple[Status, str] | None:
    return record and (record.status, record.reason)


class TestDependsOnPast:
    """With ``max_active_runs=1`` a run that is cleared after its end waits for the next run, and that for it."""

    @pytest.mark.parametrize(
        ("options", "level", "context"),
        [
            ({}, "dag", dag_failed()),
            ({}, "both", dag_failed()),
            ({}, "both", heartbeat_timeout()),
            ({"delay": timedelta(seconds=30)}, "both", None),
            ({"delay": timedelta(seconds=30)}, "task", None),
            ({"scope": "failed"}, "both", dag_failed()),
        ],
    )
    def test_no_clear_after_the_end(self, make: Any, stub: StubApi, options: Any, level: Any, context: Any) -> None:
        retry = make(**options)
        dag = pipeline(max_active_runs=1, **retry.dag_args(level=level, default_args=PAST))
        call(of(dag, context, "needed") if context else failed(dag, "needed"))
        assert stub.clears == 0
        assert standing(retry.read("daily_load", "run")) == (Status.SKIPPED, "depends_on_past")

    @pytest.mark.parametrize("level", ["both", "task"])
    def test_a_task_clears_the_run_while_it_lasts(self, make: Any, stub: StubApi, level: Any) -> None:
        call(failed(pipeline(max_active_runs=1, **make().dag_args(level=level, default_args=PAST)), "needed"))
        assert stub.clears == 1

    @pytest.mark.parametrize(("most", "defaults"), [(2, PAST), (1, {"retries": 0})])
    def test_others_are_cleared(self, make: Any, stub: StubApi, most: int, defaults: Any) -> None:
        call(of(pipeline(max_active_runs=most, **make().dag_args(level="dag", default_args=defaults)), dag_failed()))
        assert stub.clears == 1

    @pytest.mark.parametrize(
        ("options", "level", "warns"),
        [
            ({}, "both", False),
            ({}, "task", False),
            ({"delay": timedelta(0)}, "both", False),
            ({}, "dag", True),
            ({"scope": "failed"}, "both", True),
            ({"delay": timedelta(seconds=30)}, "both", True),
            ({"delay": [timedelta(0), timedelta(seconds=30)]}, "task", True),
            ({"jitter": timedelta(seconds=30)}, "both", True),
            ({"delay": lambda attempt: attempt * timedelta(seconds=30)}, "both", True),
        ],
    )
    @pytest.mark.parametrize("past", ["depends_on_past", "wait_for_downstream"])
    def test_the_dags_file_says_so(
        self, options: Any, level: Any, past: str, warns: bool, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        deploy(api_token="t")
        DagRetry(**options).dag_args(level=level, max_active_runs=1, default_args={past: True})
        assert ("Set max_active_runs to 2 or more" in caplog.text) is warns
        caplog.clear()
        DagRetry(**options).dag_args(level=level, max_active_runs=2, default_args={past: True})
        DagRetry(**options).dag_args(level=level, max_active_runs=1)
        assert caplog.text == ""


class TestUnknownTry:
    """Contexts in which Airflow tells the run, but not its generation."""

    def without_run(self, context: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in context.items() if name != "dag_run"}

    def test_a_task_that_its_trigger_ended_is_left_to_the_dag_level(
        self, make: Any, stub: StubApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        for level in ("both", "dag"):
            call(self.without_run(failed(pipeline(**make().dag_args(level=level)), "needed")))
        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        assert caplog.text.count("This callback leaves the failure to the Dag level") == 2
        assert stub.seen == []

    def test_or_to_a_person_where_no_sweeper_would_retry_the_run(
        self, make: Any, stub: StubApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        call({"dag": pipeline(**make().dag_args()), "run_id": "run", "reason": "task_failure"})
        assert "so nothing was claimed. Clear the run by hand. With [dag_retry] max_attempts (AIRFLOW__" in caplog.text

    def test_or_to_a_sweeper(
        self, make: Any, stub: StubApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__MAX_ATTEMPTS", "5")
        dag = pipeline(**make().dag_args(level="task"))
        call(self.without_run(failed(dag, "needed")))
        dag = pipeline(**make().dag_args())
        call({"dag": dag, "run_id": "run", "reason": "task_failure"})
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert caplog.text.count("A sweeper finds the failed run by Airflow's API, and retries it.") == 2
        assert caplog.text.count("run 'run' of Dag 'daily_load' failed") == 2
        assert stub.seen == []
