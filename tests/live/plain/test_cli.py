"""The command line beside a live Airflow: the doctor of users with different rights, a person who retries a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest

from dag_retry._redis.keys import Keys
from tests.live.conftest import RUN, Live

pytestmark = pytest.mark.live
DAG = "given_up"


@pytest.fixture(scope="module", autouse=True)
def given_up(live: Live) -> None:
    live.rest(DAG, "failed", "exhausted")
    # The sweeper's Dag runs each minute. Until its first run the doctor warns that no sweeper has ever run.
    live.airflow.wait(DAG, RUN, until=lambda _: bool(live.client.exists(Keys("dag-retry").sweeper())), steady=0)


@pytest.fixture
def run(live: Live) -> Callable[..., tuple[int, Any]]:
    """Run a command as an operator does, and return its exit code and what it answered."""

    def run(*argv: str, env: Mapping[str, str] | None = None) -> tuple[int, Any]:
        environment = {
            name: value
            for name, value in (os.environ | live.airflow.environment).items()
            if name not in (env or {}) or (env or {})[name]
        } | {name: value for name, value in (env or {}).items() if value}
        command = [sys.executable, "-m", "dag_retry.cli", *argv, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def not_well(found: Any) -> dict[str, Any]:
    return {finding["check"]: finding for finding in found if finding["grade"] != "ok"}


def as_user(name: str, password: str) -> dict[str, str]:
    return {"AIRFLOW__DAG_RETRY__API_USERNAME": name, "AIRFLOW__DAG_RETRY__API_PASSWORD": password}


def as_token(token: str) -> dict[str, str]:
    return as_user("", "") | {"AIRFLOW__DAG_RETRY__API_TOKEN": token}


def test_all_is_well(run: Any, live: Live) -> None:
    code, found = run("doctor", DAG)
    assert (code, not_well(found)) == (0, {})
    checks = [finding["check"] for finding in found]
    assert {"Airflow version", "login", "permission to clear", "clocks", "callbacks"} <= set(checks)
    assert live.airflow.dag_run(DAG, RUN).clear_number == 2


def test_as_a_command_of_airflow(live: Live) -> None:
    listed = json.loads(live.airflow.command("dag-retry", "list", "attention", "--json"))["runs"]
    assert (DAG, RUN, "exhausted") in [(each["dag_id"], each["run_id"], each["status"]) for each in listed]
    timeline = json.loads(live.airflow.command("dag-retry", "show", DAG, RUN, "--json"))["timeline"]
    assert timeline[-1]["event"] in ("exhausted", "lost")


def test_a_viewer_may_not_clear(run: Any, live: Live) -> None:
    password = json.loads((live.airflow.home / "passwords.json").read_text())["ada"]
    code, found = run("doctor", DAG, env=as_user("ada", password))
    assert code == 1
    assert list(not_well(found)) == ["permission to clear"]
    code, said = run("retry", DAG, RUN, env=as_user("ada", password))
    assert code == 4
    assert "403" in said


def test_wrong_password(run: Any) -> None:
    code, found = run("doctor", DAG, env=as_user("admin", "wr0ng"))
    assert code == 1
    assert list(not_well(found)) == ["login"]


def test_expired_and_foreign_tokens(run: Any, live: Live) -> None:
    good = live.airflow.token()
    claims = jwt.decode(good, options={"verify_signature": False})
    secret = live.airflow.environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    header = jwt.get_unverified_header(good)
    over = jwt.encode(
        claims | {"exp": int(time.time()) - 3600}, secret, algorithm=header["alg"], headers={"kid": header["kid"]}
    )
    assert not_well(run("doctor", DAG, env=as_token(good))[1]) == {}
    for token in (over, "of-somebody-else"):
        code, found = run("doctor", DAG, env=as_token(token))
        assert code == 1
        assert "set a new api_token" in not_well(found)["login"]["remedy"]


def test_a_person_retries(run: Any, live: Live) -> None:
    listed = run("list", "attention")[1]["runs"]
    assert (DAG, RUN, "exhausted") in [(each["dag_id"], each["run_id"], each["status"]) for each in listed]
    assert run("cancel", DAG, RUN)[0] == 1
    assert run("retry", DAG, RUN) == (0, {"dag_id": DAG, "run_id": RUN, "done": True, "answer": "cleared"})
    # A fresh budget: 3 generations more.
    live.rest(DAG, "failed", "exhausted", base="3")
    assert live.airflow.dag_run(DAG, RUN).clear_number == 5
    timeline = run("show", DAG, RUN)[1]["timeline"]
    # The viewer's clear was refused, and left no event.
    assert [event["event"] for event in timeline if event["event"] != "lost"] == ["won", "cleared"] * 2 + [
        "exhausted",
        "retried",
        *["won", "cleared"] * 2,
        "exhausted",
    ]
