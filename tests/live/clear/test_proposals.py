"""What we propose to Airflow: the reproductions show the faults, and the changes mend them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.airflow_server import LiveAirflow
from tests.live.clear.conftest import DAGS, NOT_ON_SQLITE, Server
from tests.live.clear.proposals import blocks, changed_airflow
from tests.live.conftest import ROOT

pytestmark = [pytest.mark.live, pytest.mark.matrix]  # they promise nothing of this package

ASK, ROUNDS = 16, 10

each_version = pytest.mark.parametrize("server", NOT_ON_SQLITE, indirect=True)


@pytest.fixture(scope="module")
def changed(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Airflow with our changes."""
    copy = changed_airflow(tmp_path_factory.mktemp("changed"))
    path = os.pathsep.join(filter(None, [str(copy), str(ROOT), os.environ.get("PYTHONPATH")]))
    home, database = tmp_path_factory.mktemp("home") / "home", postgres("changed")
    env = {"PYTHONPATH": path, "AIRFLOW__CORE__PARALLELISM": "14"}
    with LiveAirflow(home, DAGS, database=database, env=env) as airflow:
        yield Server("postgres", airflow)


def run(document: str, server: Server, dag_id: str, run_id: str = "") -> str:
    """Run the code of a document, and return what it prints."""
    (code,) = blocks(document, "python")
    server.airflow.wait_for_dag(dag_id)
    env = os.environ | {
        "API": f"{server.airflow.url}/api/v2",
        "TOKEN": server.token("admin"),
        "DATABASE": server.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        "DAG_ID": dag_id,
        "RUN_ID": run_id,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    program = [sys.executable, "-c", code]
    printed = subprocess.run(program, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout
    print(f"{server.kind}: {printed}")
    return printed


def lost(printed: str) -> tuple[int, int]:
    """Return how many clears were answered 200, and by how much they moved ``clear_number``."""
    found = re.search(r"200: (\d+).* moved by (\d+)", printed)
    assert found
    return int(found[1]), int(found[2])


@each_version
def test_a_stranded_run(server: Server) -> None:
    assert run("stranded_run", server, "clear_fails_late") in blocks("stranded_run", "text")


@each_version
def test_lost_clear_numbers(server: Server) -> None:
    answered, moved = lost(run("lost_clear_numbers", server, "clear_branches"))
    assert moved < answered


class TestChanged:
    def test_the_run_is_not_stranded(self, changed: Server) -> None:
        answered, later = run("stranded_run", changed, "clear_fails_late").splitlines()
        assert (answered, "run failed · task None" in later) == ("answered 200", False)

    def test_no_clear_number_is_lost(self, changed: Server) -> None:
        answered, moved = lost(run("lost_clear_numbers", changed, "clear_branches"))
        assert moved == answered

    def test_what_is_expected_is_cleared_once(self, changed: Server) -> None:
        changed.wait("clear_fails", "current")
        printed = run("expected_clear_number", changed, "clear_fails", "current")
        assert [printed] == blocks("expected_clear_number", "text")
        assert changed.airflow.dag_run("clear_fails", "current").clear_number == 1

    def test_of_many_at_once_one_is_answered_200(self, changed: Server) -> None:
        path = "/api/v2/dags/clear_branches/dagRuns/race/clear"
        for _ in range(ROUNDS):
            before = changed.wait("clear_branches", "race").clear_number
            body = {"dry_run": False, "expected_clear_number": before}
            with ThreadPoolExecutor(ASK) as pool:
                asked = [pool.submit(changed.http, "POST", path, json=body) for _ in range(ASK)]
            answers = Counter(each.result().status_code for each in asked)
            print(dict(answers))
            assert answers == {200: 1, 409: ASK - 1}
            assert changed.airflow.dag_run("clear_branches", "race").clear_number == before + 1
