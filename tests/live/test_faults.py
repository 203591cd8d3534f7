"""Faults between the callbacks and Airflow's API, and at the winner itself: never two clears, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.conftest import Live, live_airflow
from tests.live.faults.faults import FAULTS
from tests.live.proxy import MisbehavingProxy

pytestmark = pytest.mark.live


@dataclass
class Faulty:
    live: Live
    proxy: MisbehavingProxy


@pytest.fixture(scope="module")
def faulty(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    folder = tmp_path_factory.mktemp("faults")
    with (
        MisbehavingProxy() as proxy,
        live_airflow(
            folder,
            Path(__file__).parent / "faults",
            {"AIRFLOW__DAG_RETRY__API_URL": proxy.url},
            database=postgres("faults"),
        ) as live,
    ):
        proxy.airflow, proxy.client = live.airflow.url, live.client
        live.start(*FAULTS)
        yield Faulty(live, proxy)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "redirected"])
def test_one_clear_and_one_attempt(faulty: Faulty, fault: str) -> None:
    run = faulty.live.rest(fault, "success", "succeeded")
    assert run.clear_number == 1
    assert faulty.live.record(fault)["attempt"] == "1"
    # However it was answered, a clear that was carried out is not sent again.
    assert faulty.proxy.done[fault] == 1
    if fault in ("not_done_503", "token_over"):
        assert faulty.proxy.seen[fault, "clear"] >= 2


@pytest.mark.parametrize("fault", ["away_for_a_while", "winner_killed_before_the_clear"])
def test_the_dag_level_took_over(faulty: Faulty, fault: str) -> None:
    faulty.live.rest(fault, "success", "succeeded")
    assert "taken_over" in faulty.live.events(fault)
    assert faulty.live.record(fault)["level"] == "dag"


def test_a_login_page_blocks_the_run(faulty: Faulty) -> None:
    run = faulty.live.rest("redirected", "failed", "blocked")
    assert run.clear_number == 0
    assert faulty.live.record("redirected")["reason"] == "http_302"
    assert faulty.live.events("redirected").count("blocked") == 1


def test_nothing_happens_afterwards(faulty: Faulty) -> None:
    faulty.live.nothing_happens()
