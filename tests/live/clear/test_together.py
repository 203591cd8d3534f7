"""Many ask at once for one failure, as the callbacks of branches would without Redis: one clear."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.live.clear.conftest import NOT_ON_SQLITE, Server

pytestmark = pytest.mark.live

ASK = 16
ROUNDS = int(os.environ.get("CLEAR_ROUNDS", "10"))
DAG, TASK = "clear_branches", "load_0"


def test_one_clear_for_each_generation(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    ours, public = Counter[int](), Counter[int]()
    gate = Barrier(ASK)

    def ask(claim: dict[str, object]) -> str:
        gate.wait()
        answer = server.post(DAG, "race", claim)
        return str(answer.json()["outcome"]) if answer.status_code == 200 else str(answer.status_code)

    def ask_airflow(_: int) -> int:
        gate.wait()
        return server.public_clear(DAG, "public")

    with ThreadPoolExecutor(ASK) as pool:
        for number in range(ROUNDS):
            before = server.wait(DAG, "race").clear_number
            claim = server.claim(DAG, "race", TASK, max_attempts=1000)
            answers = Counter(pool.map(ask, [claim | {"claim_id": f"{number}-{who}"} for who in range(ASK)]))
            ours[server.airflow.dag_run(DAG, "race").clear_number - before] += 1
            assert answers["cleared"] == 1, answers
            assert answers.keys() <= {"cleared", "already_cleared", "503"}, answers
            # So many public clears hold SQLite's one writer for half a minute, and that ends Airflow's scheduler.
            if server.kind != "sqlite":
                before = server.wait(DAG, "public").clear_number
                list(pool.map(ask_airflow, range(ASK)))
                public[server.airflow.dag_run(DAG, "public").clear_number - before] += 1
    with capsys.disabled():
        print(f"\n{server.kind}: {ROUNDS} rounds of {ASK}: moved by ours {dict(ours)}, by the public {dict(public)}")
    assert ours == {1: ROUNDS}
    assert len(server.our_lines(DAG, "race")) == ROUNDS


@pytest.mark.parametrize("server", NOT_ON_SQLITE, indirect=True)
def test_beside_public_clears(server: Server) -> None:
    """Which of both comes first is Airflow's to say. A deadlock is answered 503, and asked again."""
    server.wait(DAG, "mixed")
    claim = server.claim(DAG, "mixed", TASK)
    gate = Barrier(ASK)

    def ask(who: int) -> str:
        gate.wait()
        if who % 2:
            return f"public {server.public_clear(DAG, 'mixed')}"
        answer = server.post(DAG, "mixed", claim | {"claim_id": f"mixed-{who}"})
        return str(answer.json()["outcome"]) if answer.status_code == 200 else str(answer.status_code)

    with ThreadPoolExecutor(ASK) as pool:
        answers = Counter(pool.map(ask, range(ASK)))
    assert answers["cleared"] <= 1
    assert {answer for answer in answers if not answer.startswith("public")} <= {"cleared", "already_cleared", "503"}
    assert len(server.our_lines(DAG, "mixed")) == answers["cleared"]
    assert server.airflow.dag_run(DAG, "mixed").clear_number >= 1
