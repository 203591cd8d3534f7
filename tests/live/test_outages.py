"""Outages of all that stands around Airflow: afterwards every run has recovered by itself, and every alert was told.

Tasks and the dag processor have the credentials from a Connection, which the API server gives them. The sweeper has
them from the section.

``OUTAGE_RUNS=50 OUTAGE_SECONDS=120 pytest tests/live/test_outages.py`` tries more, and for longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dag_retry._redis.overview import Overview
from tests.airflow_server import Run
from tests.airflow_server.settings import PASSWORDS, USERNAME
from tests.live.conftest import Live, live_airflow
from tests.live.gate import gate
from tests.live.outages.outages import OUTAGES
from tests.live.proxy import MisbehavingProxy
from tests.live.test_policy import settings as beside

pytestmark = pytest.mark.live

SLOTS = 14
RUNS = int(os.environ.get("OUTAGE_RUNS", "3"))
SECONDS = timedelta(seconds=int(os.environ.get("OUTAGE_SECONDS", "10")))


@pytest.fixture(scope="module")
def proxy() -> Iterator[MisbehavingProxy]:
    with MisbehavingProxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def settings(proxy: MisbehavingProxy) -> dict[str, str]:
    return {"AIRFLOW__DAG_RETRY__API_URL": proxy.url, "AIRFLOW__DAG_RETRY__ON_EXHAUSTED": "tests.live.mail:write"}


@pytest.fixture(scope="module")
def live(
    proxy: MisbehavingProxy,
    settings: dict[str, str],
    postgres: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("outages")
    dags = Path(__file__).parent / "outages"
    section = {f"AIRFLOW__DAG_RETRY__API_{name}": "" for name in ("URL", "USERNAME", "PASSWORD")}
    env = settings | section | {"AIRFLOW__DAG_RETRY__API_CONN_ID": "airflow_api"}
    with live_airflow(folder, dags, env, database=postgres("outages")) as live:
        proxy.airflow = live.airflow.url
        login = {"login": USERNAME, "password": live.airflow.password}
        connection = {"connection_id": "airflow_api", "conn_type": "generic", "host": proxy.url}
        live.airflow.call("POST", "/connections", connection | login)
        with sweeper(live, settings):
            yield live


@contextmanager
def sweeper(live: Live, settings: dict[str, str]) -> Iterator[None]:
    """Run a sweeper as a service."""
    env = os.environ | beside(live) | settings
    env |= {"AIRFLOW_HOME": str(live.airflow.home), "AIRFLOW__DAG_RETRY__MAX_ATTEMPTS": "2"}
    log = live.airflow.home / "sweeper.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, "-m", "tests.live.sweep_soon"], env=env, stderr=output) as running,
    ):
        try:
            yield
            assert running.poll() is None, log.read_text()
        finally:
            running.terminate()


def at_the_gate(live: Live, dag_id: str) -> list[str]:
    """Make runs, wait until their branches stand at the gate, as many as there are slots, and return the runs' ids."""
    run_ids = [live.airflow.trigger(dag_id, f"run-{number}") for number in range(RUNS)]
    branches = gate(live.airflow.home, dag_id, 0)

    def at_gate(_: Run) -> bool:
        return branches.is_dir() and len(list(branches.iterdir())) >= min(2 * RUNS, SLOTS)

    live.airflow.wait(dag_id, run_ids[0], until=at_gate, steady=0, timeout=300)
    live.open_gate(dag_id, 1)
    return run_ids


def lasts(live: Live, dag_id: str) -> None:
    """Let the outage last as long as asked for."""
    if SECONDS:
        live.airflow.wait(dag_id, "run-0", until=lambda _: True, steady=SECONDS.total_seconds(), timeout=600)


def statuses(live: Live, dag_id: str) -> Counter[tuple[str, str]]:
    records = [live.record(dag_id, f"run-{number}") for number in range(RUNS)]
    return Counter((record.get("status", ""), record.get("reason", "")) for record in records)


def wait_until(live: Live, dag_id: str, wanted: tuple[str, str]) -> None:
    live.airflow.wait(dag_id, "run-0", until=lambda _: statuses(live, dag_id) == {wanted: RUNS}, steady=0, timeout=300)


def put_off(live: Live, dag_id: str, reason: str) -> None:
    """Wait until all runs wait for a sweeper, for this reason."""

    def all_wait(_: Run) -> bool:
        postponed = [entry for entry in live.entries(dag_id) if entry["event"] == "postponed"]
        assert {entry["reason"] for entry in postponed} <= {reason}
        return len({entry["run_id"] for entry in postponed}) == RUNS

    live.airflow.wait(dag_id, "run-0", until=all_wait, steady=0, timeout=300)


def fault(live: Live) -> str:
    heartbeat = Overview(live.client).heartbeat()
    return heartbeat.fault if heartbeat else ""


def test_a_hook_fails(live: Live) -> None:
    away = live.airflow.home / "mail_away"
    away.touch()
    for number in range(RUNS):
        live.airflow.trigger("mail", f"run-{number}")
    wait_until(live, "mail", ("exhausted", "max_attempts"))
    lasts(live, "mail")
    assert not (live.airflow.home / "mails").exists()
    away.unlink()


def test_a_password_is_rotated(live: Live) -> None:
    at_the_gate(live, "password")
    passwords = live.airflow.home / PASSWORDS
    passwords.write_text(json.dumps({USERNAME: "rotated"}))
    live.open_gate("password", 0)
    put_off(live, "password", "login")
    lasts(live, "password")
    passwords.write_text(json.dumps({USERNAME: live.airflow.password}))


def test_an_ingress_answers_404(live: Live, proxy: MisbehavingProxy) -> None:
    at_the_gate(live, "ingress")
    proxy.ingress_down = True
    live.open_gate("ingress", 0)
    put_off(live, "ingress", "not_airflow")
    live.airflow.wait("ingress", "run-0", until=lambda _: fault(live) == "not_airflow", steady=0)
    lasts(live, "ingress")
    proxy.ingress_down = False


def test_the_api_server_is_stopped(live: Live) -> None:
    """The whole API server: its execution API too, which takes the states of tasks."""
    at_the_gate(live, "server")
    # A task that runs meanwhile can't tell Airflow its state, and fails: no other run may be under way.
    for before in ("password", "ingress"):
        wait_until(live, before, ("succeeded", "succeeded"))
    with live.airflow.without_api_server():
        live.open_gate("server", 0)
        lasts(live, "server")


def test_redis_is_restarted(live: Live) -> None:
    """Callbacks can claim nothing meanwhile. The sweeper finds the failed runs, and claims their failures."""
    run_ids = at_the_gate(live, "redis")
    live.redis.kill()
    live.open_gate("redis", 0)

    def ended(_: Run) -> bool:
        return all(live.airflow.dag_run("redis", run_id).ended for run_id in run_ids)

    live.airflow.wait("redis", run_ids[0], until=ended, steady=0, timeout=300)
    lasts(live, "redis")
    live.redis.start().ready()


@pytest.mark.parametrize("dag_id", OUTAGES)
def test_every_run_has_recovered(live: Live, dag_id: str) -> None:
    """Each run was cleared once, and none had to be cleared by hand."""
    wait_until(live, dag_id, ("succeeded", "succeeded"))
    runs = [live.airflow.dag_run(dag_id, f"run-{number}") for number in range(RUNS)]
    assert Counter((run.state, run.clear_number) for run in runs) == {("success", 1): RUNS}


def test_every_alert_was_told(live: Live) -> None:
    mails = live.airflow.home / "mails"

    def told(_: Run) -> bool:
        return mails.exists() and len(set(mails.read_text().splitlines())) == RUNS

    live.airflow.wait("mail", "run-0", until=told, steady=0, timeout=300)
    assert set(mails.read_text().splitlines()) == {f"exhausted run-{number}" for number in range(RUNS)}


def test_nothing_is_left(live: Live) -> None:
    """No run is blocked, none waits, none was cleared twice, and the runs that gave up are all that needs a human."""
    stats = live.client.hgetall("{dag-retry}:v1:stats")
    assert fault(live) == ""
    print(f"{RUNS} runs for each of {len(OUTAGES) + 1} outages of {SECONDS}: {stats}")
    assert "blocked" not in stats
    assert live.client.zcard("{dag-retry}:v1:active") == 0
    attention = live.client.zrange("{dag-retry}:v1:attention", 0, -1)
    assert sorted(attention) == sorted(f"mail:run-{number}" for number in range(RUNS))
