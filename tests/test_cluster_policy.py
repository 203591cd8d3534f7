"""Dags that know nothing of us, and what the cluster policy makes of them."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import settings
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.policies import hookimpl
from airflow.sdk import DAG, task, task_group
from pytest_httpserver import HTTPServer

from dag_retry import DagRetry, recipe
from dag_retry.plugin import cluster_policy
from dag_retry.sweeper import sweeper_dag
from tests.contexts import dag_failed, task_failed
from tests.stub_api import StubApi

DAG_FILE = """
from airflow.sdk import DAG, task

with DAG("daily_load", schedule=None, tags=["retry"]):

    @task
    def load(): ...

    load()
"""


def mail(context: Any) -> None: ...


def daily_load(tags: Any = ("retry",), **dag_args: Any) -> DAG:
    """A Dag with a task of each kind."""
    with DAG("daily_load", schedule=None, tags=tags, **dag_args) as dag:

        @task(owner="etl")
        def plain() -> None: ...

        @task(on_failure_callback=mail)
        def mails() -> None: ...

        @task(retries=2, retry_delay=timedelta(minutes=1))
        def retried(number: int) -> None: ...

        @task_group
        def group(number: int) -> None:
            @task
            def inside(number: int) -> None: ...

            inside(number)

        plain() >> mails()
        retried.expand(number=[1, 2])
        retried.override(task_id="again").expand(number=[3])
        group.expand(number=[1, 2])
    return dag


def callbacks(owner: Any, name: str = "on_failure_callback") -> list[str]:
    """The callbacks of a Dag or of a task, by their names."""
    there = getattr(owner, name) or []
    return [each.__qualname__ for each in (there if isinstance(there, list) else [there])]


def attached(dag: DAG) -> bool:
    """Whether the policy attaches our callbacks to a Dag; then to all of it."""
    cluster_policy.dag_policy(dag)
    found = {callbacks(owner)[:1] == ["DagRetry.on_failure"] for owner in (dag, *dag.tasks)}
    found.add("dag-retry" in dag.tags)
    assert len(found) == 1, dag
    return found.pop()


class TestSelection:
    @pytest.mark.parametrize(
        ("options", "selected"),
        [
            ({}, False),
            ({"attach_to_tags": "retry"}, True),
            ({"attach_to_tags": "nightly, retry"}, True),
            ({"attach_to_tags": "nightly"}, False),
            ({"attach_to_tags": "*"}, True),
            ({"attach_to_owners": "etl"}, True),
            ({"attach_to_owners": "retry"}, False),
            ({"attach_to_owners": "*"}, True),
            ({"attach_to_tags": "nightly", "attach_to_owners": "airflow"}, True),
        ],
    )
    def test_by_tags_and_owners(self, deploy: Any, options: dict[str, str], selected: bool) -> None:
        deploy(**options)
        assert attached(daily_load()) is selected

    def test_all_are_all(self, deploy: Any) -> None:
        deploy(attach_to_tags="*")
        assert attached(daily_load(tags=None))

    def test_a_tag_that_another_policy_gives(self, deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        class Tags:
            @hookimpl
            def dag_policy(self, dag: Any) -> None:
                dag.tags.add("retry")

        deploy(attach_to_tags="retry")
        manager = settings.get_policy_plugin_manager.__wrapped__()
        manager.register(Tags())
        manager.register(cluster_policy)
        dag = daily_load(tags=None)
        manager.hook.dag_policy(dag=dag)
        assert dag.tags == {"retry", "dag-retry"}


class TestAttached:
    @pytest.fixture(autouse=True)
    def selected(self, deploy: Any) -> None:
        deploy(attach_to_tags="*")

    def test_what_was_there_is_kept(self) -> None:
        dag = daily_load(on_failure_callback=mail, on_success_callback=[mail])
        cluster_policy.dag_policy(dag)
        assert callbacks(dag) == ["DagRetry.on_failure", "mail"]
        assert callbacks(dag, "on_success_callback") == ["DagRetry.on_success", "mail"]
        assert dag.tags == {"retry", "dag-retry"}
        assert {each.task_id: callbacks(each) for each in dag.tasks} == {
            "plain": ["DagRetry.on_failure"],
            "mails": ["DagRetry.on_failure", "mail"],
            "retried": ["DagRetry.on_failure"],
            "again": ["DagRetry.on_failure"],
            "group.inside": ["DagRetry.on_failure"],
        }

    def test_airflow_is_told_of_them(self) -> None:
        """The scheduler knows only whether there are callbacks; of a Dag, as it was when the Dag was made."""
        from airflow.serialization.serialized_objects import DagSerialization

        dag = daily_load()
        cluster_policy.dag_policy(dag)
        known = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert known.has_on_failure_callback
        assert known.has_on_success_callback
        assert known.tags == {"retry", "dag-retry"}
        assert all(each.has_on_failure_callback for each in known.tasks)

    def test_a_task_without_retries_of_its_own_restarts_at_once(self) -> None:
        dag = daily_load()
        cluster_policy.dag_policy(dag)
        delays = {each.task_id: each.retry_delay for each in dag.tasks}
        assert delays == dict.fromkeys(("plain", "mails", "group.inside"), timedelta(0)) | dict.fromkeys(
            ("retried", "again"), timedelta(minutes=1)
        )

    def test_once(self) -> None:
        dag = daily_load()
        for _ in range(2):
            cluster_policy.dag_policy(dag)
        assert callbacks(dag) == callbacks(dag.get_task("retried")) == ["DagRetry.on_failure"]

    def test_the_sweepers_dag_is_left_alone(self) -> None:
        assert not attached(sweeper_dag())

    @pytest.mark.parametrize("level", ["both", "dag", "task"])
    def test_a_dag_with_a_policy_of_its_own(self, level: Any) -> None:
        self.is_left_alone(daily_load(**DagRetry(1).dag_args(level=level)))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"on_failure_callback": DagRetry(1).on_failure},
            {"on_failure_callback": [mail, DagRetry(1).on_failure]},
            {"on_failure_callback": recipe.clear_dag_run_on_failure},
            {"on_success_callback": recipe.cleanup_attempts},
            {"default_args": {"on_failure_callback": [mail, DagRetry(1).on_failure]}},
            {"default_args": {"on_failure_callback": recipe.clear_dag_run_on_failure}},
            {"default_args": {"on_failure_callback": DagRetry(1).judge}},
        ],
    )
    def test_callbacks_that_were_attached_by_hand(self, arguments: dict[str, Any]) -> None:
        self.is_left_alone(daily_load(**arguments))

    def test_a_wrapper(self) -> None:
        retry = DagRetry(1)

        @functools.wraps(retry.on_failure)
        def wrapped(context: Any) -> None:
            retry.on_failure(context)

        self.is_left_alone(daily_load(on_failure_callback=wrapped))

    def test_a_single_task(self) -> None:
        dag = daily_load()
        dag.get_task("again").on_failure_callback = [DagRetry(1).on_failure]
        self.is_left_alone(dag)

    def is_left_alone(self, dag: DAG) -> None:
        def state() -> list[Any]:
            names = ("on_failure_callback", "on_success_callback", "retry_delay")
            return [set(dag.tags), *([getattr(owner, name, 0) for name in names] for owner in (dag, *dag.tasks))]

        before = state()
        cluster_policy.dag_policy(dag)
        assert state() == before


class TestThePolicyOfTheSection:
    @pytest.fixture
    def stub(self, httpserver: HTTPServer) -> StubApi:
        return StubApi(httpserver)

    def test_is_used(self, client: Any, stub: StubApi, deploy: Callable[..., None]) -> None:
        api_url = stub.url.replace("http://", "http://retry:s3cret@")
        deploy(redis=client, api_url=api_url, attach_to_tags="retry", max_attempts=1)
        dag = daily_load()
        cluster_policy.dag_policy(dag)
        self.call(dag.get_task("plain").on_failure_callback, task_failed())
        assert stub.clears == 1
        self.call(dag.on_failure_callback, dag_failed(1))
        assert stub.clears == 1
        record = DagRetry().read("daily_load", "run")
        assert record
        assert (record.status, record.max_attempts) == ("exhausted", 1)

    def call(self, callbacks: Any, context: dict[str, Any]) -> None:
        for callback in callbacks:
            callback(context)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"max_attempts": "many"}, "[dag_retry] max_attempts (AIRFLOW__DAG_RETRY__MAX_ATTEMPTS) is 'many'"),
            ({"scope": "failed"}, "scope 'failed': this needs credentials"),
            ({"on_exhausted": "our_alerts.page"}, "use module:function"),
        ],
    )
    def test_a_wrong_setting_breaks_no_dag(
        self, options: Any, says: str, deploy: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        deploy(attach_to_tags="retry", **options)
        assert not attached(daily_load(tags=["nightly"]))
        assert caplog.text == ""
        assert not attached(daily_load())
        [found] = caplog.records
        assert (found.levelno, bool(found.exc_info)) == (logging.ERROR, False)
        assert "Dag 'daily_load' is NOT retried" in found.message
        assert says in found.message

    def test_nor_does_a_fault_of_ours(self, deploy: Any, caplog: pytest.LogCaptureFixture) -> None:
        deploy(attach_to_tags="*")
        cluster_policy.dag_policy(SimpleNamespace(dag_id="of_tomorrow", tags=set(), tasks=[]))
        assert "Dag 'of_tomorrow' is NOT retried" in caplog.text
        assert "AttributeError" in caplog.text


class TestInAirflow:
    def test_the_entry_point(self) -> None:
        [policy] = [found for found in entry_points(group="airflow.policy") if "dag_retry" in found.value]
        assert policy.load() is cluster_policy
        assert settings.get_policy_plugin_manager().is_registered(cluster_policy)

    def test_where_tasks_and_the_dag_processor_parse(
        self, deploy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", [*sys.path])  # to which the bag adds
        (tmp_path / "daily_load.py").write_text(DAG_FILE)
        deploy(attach_to_tags="retry")
        bag = BundleDagBag(tmp_path, bundle_path=tmp_path, bundle_name="dags")
        assert callbacks(bag.dags["daily_load"]) == ["DagRetry.on_failure"]
        assert callbacks(bag.dags["daily_load"].get_task("load")) == ["DagRetry.on_failure"]

    @pytest.mark.parametrize(("tags", "loaded"), [("nightly", []), ("retry", ["dag_retry._retry"])])
    def test_where_nothing_is_selected_nothing_is_loaded(self, tags: str, loaded: list[str], tmp_path: Path) -> None:
        (tmp_path / "daily_load.py").write_text(DAG_FILE)
        code = """
import sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
before = set(sys.modules)
folder = Path(sys.argv[1])
assert BundleDagBag(folder, bundle_path=folder, bundle_name="dags").dags
loaded = set(sys.modules) - before
print(sorted(loaded & {"redis", "requests", "dag_retry._retry"}))
"""
        env = os.environ | {"AIRFLOW__DAG_RETRY__ATTACH_TO_TAGS": tags}
        program = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(program, env=env, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == str(loaded)
