"""The example for dag-factory: what its YAML names is there, and works as a callback."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from pytest_httpserver import HTTPServer

import dag_retry
from dag_retry import recipe
from dag_retry._policy import dag_level
from dag_retry.plugin import cluster_policy
from tests.contexts import dag_failed, dag_succeeded, task_failed
from tests.stub_api import StubApi

EXAMPLE = Path(dag_retry.__file__).parent / "example_dags" / "example_dag_factory.yaml"


def build(dag_id: str, told: dict[str, Any]) -> DAG:
    """Do what dag-factory does (1.1.0): a callback's text is imported, and the rest goes to Airflow as it is."""

    def read(arguments: dict[str, Any]) -> dict[str, Any]:
        return {name: resolve_name(value) if "callback" in name else value for name, value in arguments.items()}

    arguments = {name: value for name, value in told.items() if name not in ("tasks", "default_args")}
    with DAG(dag_id, default_args=read(told["default_args"]), **read(arguments)) as dag:
        for each in told["tasks"]:
            resolve_name(each.pop("operator"))(**each)
    return dag


@pytest.fixture
def dags() -> dict[str, DAG]:
    return {dag_id: build(dag_id, told) for dag_id, told in yaml.safe_load(EXAMPLE.read_text()).items()}


def call(callbacks: Any, context: dict[str, Any]) -> None:
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        callback(context)


def test_names_our_functions(
    dags: dict[str, DAG], client: Any, httpserver: HTTPServer, deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubApi(httpserver)
    deploy(redis=client, api_url=stub.url.replace("http://", "http://retry:s3cret@"))
    monkeypatch.setattr("dag_retry._airflow.sdk.variable", lambda _: None)  # which asks a server, and there is none
    dag = dags["example_dag_factory"]
    assert dag_level.has_callbacks(dag)
    of_task, failed, succeeded = (
        dag.get_task("load").on_failure_callback,
        dag.on_failure_callback,
        dag.on_success_callback,
    )
    call(of_task, task_failed())
    assert stub.clears == 1
    call(failed, dag_failed(1))
    assert stub.clears == 2
    call(succeeded, dag_succeeded(2))
    assert recipe.read_attempts("daily_load", "run") == 2


def test_needs_no_name_where_the_section_selects(dags: dict[str, DAG], deploy: Any) -> None:
    deploy(attach_to_tags="retried")
    for dag in dags.values():
        before = dag_level.has_callbacks(dag)
        cluster_policy.dag_policy(dag)
        assert dag_level.has_callbacks(dag)
        assert before is (dag.dag_id == "example_dag_factory")
