"""Who may ask the route, and how."""

from __future__ import annotations

import pytest
import requests

from tests.airflow_server import USERNAME
from tests.live.clear.conftest import Server

pytestmark = pytest.mark.live

DAG, RUN = "clear_fails", "viewer"


def test_who_may(server: Server) -> None:
    server.wait(DAG, RUN)
    claim = server.claim(DAG, RUN)
    before = server.airflow.dag_run(DAG, RUN)
    cookie = {"_token": server.token(USERNAME)}
    own, other = {"Origin": server.airflow.url}, {"Origin": "https://evil.example.com"}

    assert server.post(DAG, RUN, claim, "viewer").status_code == 403
    assert server.post("no_dag", RUN, claim, "viewer").status_code == 403
    assert server.post(DAG, RUN, claim, None).status_code == 401
    assert server.post(DAG, RUN, claim, None, headers={"Authorization": "Bearer x"}).status_code in (401, 403)
    assert server.post(DAG, RUN, claim, headers={"X-Dag-Retry": None}).status_code == 403
    assert server.post(DAG, RUN, claim, None, cookies=cookie, headers={"X-Dag-Retry": None}).status_code == 403
    assert server.post(DAG, RUN, claim, None, cookies=cookie, headers=other).status_code == 403
    assert server.post(DAG, RUN, claim | {"dag_run_id": "other"}).status_code == 422
    assert server.post("~", RUN, claim).status_code == 422
    assert server.airflow.dag_run(DAG, RUN) == before
    assert server.our_lines(DAG, RUN) == []

    assert server.post(DAG, RUN, claim, None, cookies=cookie, headers=own).json()["outcome"] == "cleared"


def test_the_generation_is_told_to_who_may_clear(server: Server) -> None:
    """A sweeper asks, of a failure that nobody claimed."""
    server.wait(DAG, RUN)

    def ask(dag_id: str, run_id: str, user: str | None = USERNAME) -> requests.Response:
        return server.http("GET", "/dag-retry-clear/v1/run", user, params={"dag_id": dag_id, "run_id": run_id})

    assert ask(DAG, RUN).json() == {"clear_number": server.airflow.dag_run(DAG, RUN).clear_number}
    assert ask(DAG, "no_run").json() == {"clear_number": None}
    assert (ask(DAG, RUN, "viewer").status_code, ask(DAG, RUN, None).status_code) == (403, 401)


def test_a_run_that_nobody_knows(server: Server) -> None:
    claim = server.claim(DAG, RUN)
    assert server.post("no_dag", RUN, claim).json()["outcome"] == "gone"
    assert server.post(DAG, "no_run", claim).json()["outcome"] == "gone"
