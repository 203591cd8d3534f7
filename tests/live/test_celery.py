"""The promises with the CeleryExecutor, whose broker is another db of the Redis that counts the attempts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.conftest import DAGS, Live, live_airflow
from tests.live.proxy import MisbehavingProxy

pytestmark = pytest.mark.live

FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="module")
def proxy() -> Iterator[MisbehavingProxy]:
    with MisbehavingProxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def celery(
    proxy: MisbehavingProxy, postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("celery")
    dags = folder / "dags"
    dags.mkdir()
    for file in (DAGS / "branches.py", DAGS / "single.py", FAULTS / "faults.py", FAULTS / "weather.py"):
        shutil.copy(file, dags)
    with live_airflow(
        folder,
        dags,
        {"AIRFLOW__DAG_RETRY__API_URL": proxy.url},
        database=postgres("celery"),
        celery_results=postgres("celery_results"),
    ) as live:
        proxy.airflow, proxy.client = live.airflow.url, live.client
        live.start("recover", "exhaust", "killed")
        live.start("winner_killed_before_the_clear", "winner_killed_after_the_clear")
        yield live


def test_branches_that_fail_together_are_retried_once(celery: Live, proxy: MisbehavingProxy) -> None:
    run = celery.rest("recover", "success", "succeeded")
    assert (run.clear_number, proxy.done["recover"]) == (1, 1)
    celery.told("recover", "retrying 1", "succeeded 1")
    events = celery.events("recover")
    assert events.count("won") == events.count("cleared") == 1


def test_branches_that_never_recover_stop_at_the_cap_and_alert_once(celery: Live, proxy: MisbehavingProxy) -> None:
    run = celery.rest("exhaust", "failed", "exhausted")
    assert (run.clear_number, proxy.done["exhaust"]) == (2, 2)
    celery.told("exhaust", "retrying 1", "retrying 2", "exhausted 2")


def test_a_killed_task_is_retried_by_the_dag_level(celery: Live) -> None:
    run = celery.rest("killed", "success", "succeeded")
    assert run.clear_number == 1
    assert celery.record("killed")["level"] == "dag"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_winner_killed(celery: Live, proxy: MisbehavingProxy, moment: str) -> None:
    dag_id = f"winner_killed_{moment}_the_clear"
    run = celery.rest(dag_id, "success", "succeeded")
    assert (run.clear_number, proxy.done[dag_id], celery.record(dag_id)["attempt"]) == (1, 1, "1")
    assert ("taken_over" in celery.events(dag_id)) == (moment == "before")


def test_a_killed_worker_is_a_failure_of_its_tasks(celery: Live, proxy: MisbehavingProxy) -> None:
    """A clear for each generation that failed: as a rule two.

    The first of two lost tasks may have the run cleared while Airflow's scheduler is about to write that the second has
    failed, and so the run. It then writes that over the clear (3.3.2), which is one failure more.
    """
    dag_id = "killed_in_the_attempt"
    celery.start(dag_id)
    celery.open_gate(dag_id, 0)
    celery.wait_at_gate(dag_id, 1)
    for generation in (2, 3):
        celery.open_gate(dag_id, generation)
    celery.airflow.components.restart("celery-worker")
    run = celery.rest(dag_id, "success", "succeeded")
    assert 2 <= run.clear_number == int(celery.record(dag_id)["attempt"]) == proxy.done[dag_id] <= 3


def test_the_broker_is_in_another_db_of_our_redis(celery: Live) -> None:
    assert celery.client.info("keyspace").keys() >= {"db0", "db1"}
    assert all(key.startswith("{dag-retry}:v1:") for key in celery.client.scan_iter())


def test_nothing_happens_afterwards(celery: Live) -> None:
    celery.nothing_happens()
