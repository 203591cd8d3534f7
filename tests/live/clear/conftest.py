"""A live Airflow of each kind whose route the tests ask for clears. Its Dags have none of our callbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.airflow_server import USERNAME, LiveAirflow, Run
from tests.airflow_server.settings import PASSWORDS
from tests.live.conftest import VERSIONS, environment

DAGS = Path(__file__).parent / "dags"
KINDS = ("sqlite", "postgres", "airflow-3.2", "airflow-3.4")
"""Of the live Airflow. The older and the newer one have PostgreSQL too."""

NOT_ON_SQLITE = [kind for kind in KINDS if kind != "sqlite"]
"""For what makes Airflow write much at once: SQLite has one writer, and who waits 5 s for it ends with an error."""

ODD = ("..", "~", "/", "a/b?c=d#e", "a b+c%2F", "ü\u2028'\"<b>", "z" * 250)
"""Run ids, most of which no path of a URL can hold."""

FAILING = (
    "current", "repeated", "witness", "exhausted", "moved", "other", "future", "success", "failed", "task", "refused",
    "deleted", "anew", "note", "viewer", "race", "public", "mixed", "bulk", "bulk_by_rest", *ODD,
)  # fmt: skip
"""The runs of ``clear_fails`` or ``clear_branches`` that the tests clear."""

OF_BRANCHES = ("race", "public", "mixed")


@dataclass
class Server:
    """An Airflow of a kind, and what is asked of it."""

    kind: str
    airflow: LiveAirflow
    tokens: dict[str, str] = field(default_factory=dict)
    started: set[tuple[str, str]] = field(default_factory=set)

    def token(self, user: str) -> str:
        if user not in self.tokens:
            passwords = json.loads((self.airflow.home / PASSWORDS).read_text())
            login = {"username": user, "password": passwords[user]}
            self.tokens[user] = self.http("POST", "/auth/token", None, json=login).json()["access_token"]
        return self.tokens[user]

    def http(self, method: str, path: str, user: str | None = USERNAME, **options: Any) -> requests.Response:
        """Send a request, as somebody or (None) as nobody.

        On SQLite whoever waits 5 s for its one writer is answered 500 by Airflow and 503 by our route, and asks again.
        """
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        headers |= options.pop("headers", {})
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(5 if self.kind == "sqlite" else 1):
                answer = session.request(method, self.airflow.url + path, headers=headers, timeout=60, **options)
                if answer.status_code != (503 if path.startswith("/dag-retry-clear") else 500):
                    break
            return answer

    def trigger(self, dag_id: str, run_id: str, **conf: Any) -> None:
        self.started.add((dag_id, run_id))
        self.airflow.wait_for_dag(dag_id)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        # The path of a Dag that is called `..` is another's.
        if dag_id == "..":
            self.airflow.command("dags", "trigger", dag_id, "--run-id", run_id)
        else:
            self.http("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status()

    def wait(self, dag_id: str, run_id: str, state: str = "failed") -> Run:
        """Wait for a state of a run. One of :data:`FAILING` is started if it was not."""
        if run_id in FAILING and (dag_id, run_id) not in self.started:
            self.trigger(dag_id, run_id)
        return self.airflow.wait(dag_id, run_id, until=lambda run: run.state == state, steady=0)

    def wait_for_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        self.airflow.wait(
            dag_id, run_id, until=lambda _: self.task(dag_id, run_id, task_id)["state"] == state, steady=0
        )

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the current try of a task, as Airflow's API has it."""
        asked = {"dag_ids": [dag_id], "dag_run_ids": [run_id], "task_ids": [task_id]}
        found = self.http("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", json=asked).json()["task_instances"]
        return dict(found[0])

    def claim(self, dag_id: str, run_id: str, task_id: str = "load", **changes: Any) -> dict[str, Any]:
        """Return what a callback would send for the current generation."""
        run = self.airflow.dag_run(dag_id, run_id)
        return {
            "claim_id": f"{run_id[:40]}-{run.clear_number}",
            "generation": run.clear_number,
            "base": 0,
            "attempt": run.clear_number + 1,
            "max_attempts": 9,
            "fresh": False,
            "task_id": task_id,
            "map_index": -1,
            "ti_id": self.task(dag_id, run_id, task_id)["id"],
            "only_failed": False,
            "run_on_latest_version": False,
            "skip_if_newer_run": False,
            "note": "",
        } | changes

    def post(
        self, dag_id: str, run_id: str, claim: dict[str, Any], user: str | None = USERNAME, **options: Any
    ) -> requests.Response:
        headers = {"X-Dag-Retry": "1"} | options.pop("headers", {})
        query = {"dag_id": dag_id, "run_id": run_id}
        return self.http("POST", "/dag-retry-clear/v1", user, params=query, json=claim, headers=headers, **options)

    def ask(self, dag_id: str, run_id: str, claim: dict[str, Any]) -> tuple[str, str, int | None, int]:
        """Return outcome, reason, generation and attempt."""
        answer = self.post(dag_id, run_id, claim)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found.keys() == {"outcome", "reason", "clear_number", "state", "attempt"}
        return found["outcome"], found["reason"], found["clear_number"], found["attempt"]

    def set(self, path: str, user: str = USERNAME, **what: object) -> requests.Response:
        """Set what a person sets, below ``/api/v2/dags``."""
        return self.http("PATCH", f"/api/v2/dags/{path}", user, json=what)

    def public_clear(self, dag_id: str, run_id: str) -> int:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/clear"
        return self.http("POST", path, json={"dry_run": False}).status_code

    def our_lines(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        lines = self.airflow.query(
            "SELECT owner, extra FROM log WHERE event = 'dag_retry_clear' AND dag_id = :dag_id AND run_id = :run_id"
            " ORDER BY id",
            dag_id=dag_id,
            run_id=run_id,
        )
        return [{"owner": line["owner"]} | json.loads(line["extra"]) for line in lines]

    def note(self, dag_id: str, run_id: str) -> str:
        [line] = self.airflow.query(
            "SELECT content FROM dag_run_note JOIN dag_run ON dag_run.id = dag_run_note.dag_run_id"
            " WHERE dag_id = :dag_id AND run_id = :run_id",
            dag_id=dag_id,
            run_id=run_id,
        )
        return str(line["content"])


@pytest.fixture(scope="package", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Airflow of each kind, with an administrator and a viewer.

    The runs are under way at once. On SQLite, which has one writer, each begins when a test waits for it.
    """
    kind = request.param
    options: dict[str, Any] = {}
    if kind != "sqlite":
        options["database"] = request.getfixturevalue("postgres")(f"clear-{kind}")
    if kind in VERSIONS:
        options["airflow"] = environment(kind)
    env = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin,viewer:viewer",
        "AIRFLOW__CORE__ALLOW_DOUBLE_DOT_IN_IDS": "True",
        "AIRFLOW__CORE__PARALLELISM": "14",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".*",
    }
    with LiveAirflow(tmp_path_factory.mktemp(kind) / "home", DAGS, env=env, **options) as airflow:
        server = Server(kind, airflow)
        for run_id in () if kind == "sqlite" else FAILING:
            server.trigger("clear_branches" if run_id in OF_BRANCHES else "clear_fails", run_id)
        yield server
