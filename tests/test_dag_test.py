"""``dag.test()`` on a fresh Airflow: it leaves production alone, and shows what Airflow makes of Dags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dag_retry import AttemptCounter
from tests.lost_runs import CASES

ROOT = Path(__file__).parents[1]

DAGS = """
import sys
from airflow.sdk import DAG, task
from dag_retry import DagRetry, recipe

def hook(context):
    raise SystemExit("a hook was called")

retry = DagRetry(2, on_retry=hook, on_skipped=hook, on_exhausted=hook, on_succeeded=hook)
by_hand = {
    "default_args": {"on_failure_callback": recipe.clear_dag_run_on_failure},
    "on_failure_callback": recipe.clear_dag_run_on_failure,
    "on_success_callback": recipe.cleanup_attempts,
}
dags = []
for name, arguments in (
    *((level, retry.dag_args(level=level)) for level in ("both", "dag", "task")), ("recipe", by_hand)
):
    for fails in (True, False):
        with DAG(f"{name}_{'fails' if fails else 'succeeds'}", schedule=None, **arguments) as dag:
            @task(retries=0)
            def work(fails):
                if fails:
                    raise ValueError("boom")
            work(fails)
        dags.append(dag)
with DAG("no_task_fails", schedule=None, **retry.dag_args(level="dag")) as dag:
    @task(retries=0)
    def nothing(): ...
    @task
    def each(x): ...
    each.expand(x=nothing())
dags.append(dag)
if __name__ == "__main__":
    for dag in dags:
        print("RUN", dag.dag_id, dag.test().state)
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run Python with an Airflow of its own, whose database is new, and return what it printed."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "leaves_production_alone.py").write_text(DAGS)
    (home / "dags" / "lost_runs.py").write_text(
        "from airflow.sdk import DAG\nfrom tests.lost_runs import CASES\n"
        "globals().update({name: case.dag for name, case in CASES.items()})\n"
    )
    airflow = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }

    def run(*arguments: str, **options: str) -> str:
        ours = {f"AIRFLOW__DAG_RETRY__{name.upper()}": value for name, value in options.items()}
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | airflow | ours,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,  # Airflow 3.2 makes its API anew for each task
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("-m", "airflow", "db", "migrate")
    return run


def test_production_is_left_alone(airflow: Any, redis_url: str, httpserver: HTTPServer) -> None:
    import redis

    httpserver.expect_request("/")  # anything else is an error, and is in the log
    production = {
        "redis_url": redis_url,
        "api_url": httpserver.url_for("").replace("http://", "http://retry:s3cret@"),
    }
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        printed = airflow("dags/leaves_production_alone.py", **production)
        printed += airflow("-m", "airflow", "tasks", "test", "both_fails", "work", **production)
        assert client.keys() == []
        AttemptCounter(client).claim("d", "r", generation=0, max_attempts=1)
        assert client.keys() != []
    assert httpserver.log == []
    states = [line.split()[1:] for line in printed.splitlines() if line.startswith("RUN")]
    assert states == [
        [f"{name}_{how}", state]
        for name in ("both", "dag", "task", "recipe")
        for how, state in (("fails", "failed"), ("succeeds", "success"))
    ] + [["no_task_fails", "failed"]]
    said = "nothing to retry (test): dag.test() or `airflow tasks test` runs it"
    # Failing Dags: their tasks, and themselves but with level "task"; others: themselves; the last one; `tasks test`.
    assert printed.count(said) == (4 + 3) + 4 + 2 + 1
    assert "a hook was called" not in printed


def test_what_is_certainly_lost_does_fail(airflow: Any) -> None:
    """Airflow runs each Dag of the table, and judges as the table says."""
    lines = [line for line in airflow("-m", "tests.lost_runs").splitlines() if line.startswith("RUN")]
    seen = {run.pop("name"): run for run in (json.loads(line.removeprefix("RUN")) for line in lines)}
    assert {name: (run["state"], run["lost"]) for name, run in seen.items()} == {
        name: ("success" if case.succeeds else "failed", [case.lost]) for name, case in CASES.items()
    }
