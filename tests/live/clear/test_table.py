"""Each line of the table, asked of the route on real databases: what is cleared, and what is not."""

from __future__ import annotations

import pytest

from dag_retry import FailedTry
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from tests.airflow_server import USERNAME
from tests.live.clear.conftest import NOT_ON_SQLITE, ODD, Server

pytestmark = pytest.mark.live

DAG = "clear_fails"


def test_it_is_ready(server: Server) -> None:
    ready = server.http("GET", "/dag-retry-clear/v1", None)
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "why_not": ""})


def test_a_server_without_the_route(server: Server) -> None:
    """Callers take these answers for: go the other way."""
    assert server.http("POST", "/dag-retry-other/v1", json={}).status_code == 405
    assert server.http("POST", "/dag-retry-clear/v2", json={}).status_code == 404


def test_current(server: Server) -> None:
    server.wait(DAG, "current")
    claim = server.claim(DAG, "current")
    assert server.ask(DAG, "current", claim) == ("cleared", "cleared", 1, 1)
    [line] = server.our_lines(DAG, "current")
    [run] = server.airflow.query("SELECT id FROM dag_run WHERE run_id = 'current'")
    assert line == {
        "owner": USERNAME, "claim_id": claim["claim_id"], "generation": 0, "base": 0, "attempt": 1, "max_attempts": 9,
        "dag_run": run["id"],
    }  # fmt: skip
    assert server.wait(DAG, "current").clear_number == 1


def test_a_fresh_claim_while_its_task_runs(server: Server) -> None:
    server.trigger("clear_held", "fresh")
    server.wait_for_task("clear_held", "fresh", "hold", "running")
    claim = server.claim("clear_held", "fresh", "hold", fresh=True)
    assert server.ask("clear_held", "fresh", claim) == ("cleared", "cleared", 1, 1)
    # On Airflow 3.4 the task keeps its id until it has ended.
    late = claim | {"claim_id": "late", "generation": 1}
    outcome = server.ask("clear_held", "fresh", late)[:2]
    assert outcome == ("replaced", "replaced")
    assert server.airflow.dag_run("clear_held", "fresh").clear_number == 1


def test_a_run_that_still_runs_and_a_mapped_task(server: Server) -> None:
    server.trigger("clear_held", "runs")
    server.trigger("clear_mapped", "mapped")
    server.wait_for_task("clear_held", "runs", "load", "failed")
    assert server.ask("clear_held", "runs", server.claim("clear_held", "runs", only_failed=True))[0] == "cleared"
    assert server.task("clear_held", "runs", "hold")["state"] == "running"
    server.wait("clear_mapped", "mapped")
    assert server.ask("clear_mapped", "mapped", server.claim("clear_mapped", "mapped", map_index=1))[0] == "cleared"


def test_dagrun_timeout(server: Server) -> None:
    server.trigger("clear_times_out", "timeout")
    server.wait("clear_times_out", "timeout")
    assert server.task("clear_times_out", "timeout", "load")["state"] == "skipped"
    assert server.ask("clear_times_out", "timeout", server.claim("clear_times_out", "timeout"))[0] == "cleared"


def test_a_lost_answer(server: Server) -> None:
    server.wait(DAG, "repeated")
    claim = server.claim(DAG, "repeated")
    for _ in range(2):
        assert server.ask(DAG, "repeated", claim) == ("cleared", "cleared", 1, 1)
    server.wait(DAG, "repeated")
    assert server.public_clear(DAG, "repeated") == 200
    server.wait(DAG, "repeated")
    assert server.ask(DAG, "repeated", claim) == ("cleared", "cleared", 2, 1)
    assert len(server.our_lines(DAG, "repeated")) == 1


def test_already_cleared(server: Server) -> None:
    server.wait(DAG, "moved")
    claim = server.claim(DAG, "moved")
    assert server.public_clear(DAG, "moved") == 200
    server.wait(DAG, "moved")
    assert server.ask(DAG, "moved", claim) == ("already_cleared", "already_cleared", 1, 1)
    # A public clear may lose an update of the generation. The try has moved on.
    assert server.ask(DAG, "moved", claim | {"generation": 1})[0] == "replaced"


def test_the_try_of_another_run(server: Server) -> None:
    server.wait(DAG, "other")
    server.wait(DAG, "future")
    before = {run_id: server.airflow.dag_run(DAG, run_id) for run_id in ("other", "future")}
    theirs = server.claim(DAG, "future")["ti_id"]
    assert server.ask(DAG, "other", server.claim(DAG, "other", ti_id=theirs))[0] == "replaced"
    assert server.ask(DAG, "future", server.claim(DAG, "future", generation=1)) == ("gone", "gone", 0, 1)
    assert {run_id: server.airflow.dag_run(DAG, run_id) for run_id in before} == before


def test_a_person_has_set_the_run(server: Server) -> None:
    for run_id in ("success", "failed"):
        server.wait(DAG, run_id)
        assert server.set(f"{DAG}/dagRuns/{run_id}", note="hm").ok
        assert server.set(f"{DAG}/dagRuns/{run_id}", state=run_id).ok
        assert server.ask(DAG, run_id, server.claim(DAG, run_id)) == ("settled", "settled_by_hand", 0, 1)
    # Who clears or queues the run changes their mind.
    assert server.public_clear(DAG, "failed") == 200
    server.wait(DAG, "failed")
    assert server.ask(DAG, "failed", server.claim(DAG, "failed"))[0] == "cleared"


def test_people_set_many_runs(server: Server) -> None:
    server.wait(DAG, "bulk")
    of_run = {"dag_id": DAG, "dag_run_id": "bulk", "state": "failed"}
    done = server.set("~/dagRuns", actions=[{"action": "update", "entities": [of_run]}])
    assert done.status_code == (405 if server.kind == "airflow-3.2" else 200)
    outcome = "cleared" if server.kind == "airflow-3.2" else "settled"
    assert server.ask(DAG, "bulk", server.claim(DAG, "bulk"))[0] == outcome


def test_people_set_many_runs_as_rest_shows_it(server: Server) -> None:
    """Airflow shows a request about the runs of one Dag, and none about those of several."""
    server.wait(DAG, "bulk_by_rest")
    settings = ApiSettings(server.airflow.url, token=server.token(USERNAME))
    for path, seen in (("~", False), (DAG, server.kind != "airflow-3.2")):
        of_run = {"dag_id": DAG, "dag_run_id": "bulk_by_rest", "state": "failed"}
        server.set(f"{path}/dagRuns", actions=[{"action": "update", "entities": [of_run]}])
        with AirflowApi(settings, Deadline(60)) as api:
            queued_at = (api.run(DAG, "bulk_by_rest") or {})["queued_at"]
            assert api.is_settled(DAG, "bulk_by_rest", FailedTry(), {}, since=queued_at) is seen


def test_a_person_has_set_the_task(server: Server) -> None:
    server.wait(DAG, "task")
    assert server.set(f"{DAG}/dagRuns/task/taskInstances/load", new_state="success").ok
    assert server.ask(DAG, "task", server.claim(DAG, "task"))[:2] == ("settled", "settled_by_hand")


def test_a_person_fails_a_task_that_runs(server: Server) -> None:
    server.trigger("clear_held", "task")
    server.wait_for_task("clear_held", "task", "hold", "running")
    assert server.set("clear_held/dagRuns/task/taskInstances/hold", new_state="failed").ok
    claim = server.claim("clear_held", "task", "hold", fresh=True)
    assert server.ask("clear_held", "task", claim)[:2] == ("settled", "settled_by_hand")


def test_a_person_stops_a_run(server: Server) -> None:
    server.trigger("clear_held", "stopped")
    server.wait_for_task("clear_held", "stopped", "hold", "running")
    assert server.set("clear_held/dagRuns/stopped", state="failed").ok
    claim = server.claim("clear_held", "stopped", "hold", fresh=True)
    assert server.ask("clear_held", "stopped", claim)[:2] == ("settled", "settled_by_hand")


def test_a_viewer_settles_nothing(server: Server) -> None:
    """Airflow's audit log has the requests that it refused, too."""
    server.wait(DAG, "refused")
    for path, what in (("", {"state": "failed"}), ("/taskInstances/load", {"new_state": "failed"})):
        assert server.set(f"{DAG}/dagRuns/refused{path}", "viewer", **what).status_code == 403
    logged = server.airflow.query("SELECT event FROM log WHERE run_id = 'refused' AND owner = 'viewer'")
    assert logged == [{"event": "patch_task_instance"}]
    assert server.ask(DAG, "refused", server.claim(DAG, "refused"))[0] == "cleared"


def test_gone(server: Server) -> None:
    for run_id in ("deleted", "anew"):
        server.wait(DAG, run_id)
    claims = {run_id: server.claim(DAG, run_id) for run_id in ("deleted", "anew")}
    for run_id in claims:
        assert server.http("DELETE", f"/api/v2/dags/{DAG}/dagRuns/{run_id}").ok
        answer = server.post(DAG, run_id, claims[run_id]).json()
        assert answer == {"outcome": "gone", "reason": "gone", "clear_number": None, "state": None, "attempt": 1}
    server.trigger(DAG, "anew")
    server.wait(DAG, "anew")
    assert server.ask(DAG, "anew", claims["anew"]) == ("gone", "gone", 0, 1)
    assert server.ask(DAG, "anew", server.claim(DAG, "anew"))[0] == "cleared"


def test_a_paused_dag(server: Server) -> None:
    server.trigger("clear_paused", "paused")
    server.wait("clear_paused", "paused")
    claim = server.claim("clear_paused", "paused")
    assert server.set("clear_paused", is_paused=True).ok
    assert server.ask("clear_paused", "paused", claim) == ("hopeless", "dag_paused", 0, 1)
    assert server.set("clear_paused", is_paused=False).ok
    assert server.ask("clear_paused", "paused", claim) == ("cleared", "cleared", 1, 1)


def test_a_dag_that_its_failures_have_paused(server: Server) -> None:
    for run_id in ("first", "second"):
        server.trigger("clear_pauses_itself", run_id)
        server.wait("clear_pauses_itself", run_id)
    claim = server.claim("clear_pauses_itself", "second")
    assert server.ask("clear_pauses_itself", "second", claim)[:2] == ("hopeless", "dag_paused_by_failures")


def test_a_newer_run_has_succeeded(server: Server) -> None:
    server.trigger("clear_newer", "older")
    server.wait("clear_newer", "older")
    claim = server.claim("clear_newer", "older", skip_if_newer_run=True)
    server.trigger("clear_newer", "newer", well=True)
    server.wait("clear_newer", "newer", "success")
    assert server.ask("clear_newer", "older", claim)[:2] == ("hopeless", "newer_run_succeeded")
    assert server.ask("clear_newer", "older", claim | {"skip_if_newer_run": False})[0] == "cleared"


def test_a_draining_dag(server: Server) -> None:
    if server.kind != "airflow-3.4":
        assert server.set("clear_drains", scheduling_state="draining").status_code == 422
        return
    server.trigger("clear_drains", "failed")
    server.wait("clear_drains", "failed")
    claim = server.claim("clear_drains", "failed")
    # It drains as long as a run is unfinished.
    server.http(
        "POST", "/api/v2/dags/clear_drains/dagRuns",
        json={"dag_run_id": "later", "logical_date": None, "run_after": "2099-01-01T00:00:00Z"},
    ).raise_for_status()  # fmt: skip
    assert server.set("clear_drains", scheduling_state="draining").ok
    assert server.ask("clear_drains", "failed", claim)[:2] == ("hopeless", "dag_draining")


@pytest.mark.parametrize("server", NOT_ON_SQLITE, indirect=True)
def test_backfills(server: Server) -> None:
    """Airflow starts no queued run of a backfill that is paused, as a cancelled one is; of a completed one it does."""
    backfill = {"dag_id": "clear_backfill", "max_active_runs": 1}
    server.airflow.wait_for_dag("clear_backfill")
    whole = {**backfill, "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-01T00:00:00Z"}
    completed = server.http("POST", "/api/v2/backfills", json=whole).json()["id"]
    [run] = server.airflow.query("SELECT run_id FROM dag_run WHERE backfill_id = :backfill", backfill=completed)

    def is_completed(_: object) -> bool:
        query = "SELECT completed_at, is_paused FROM backfill WHERE id = :backfill"
        [row] = server.airflow.query(query, backfill=completed)
        return row["completed_at"] is not None and not row["is_paused"]

    server.airflow.wait("clear_backfill", run["run_id"], until=is_completed, steady=0)
    claim = server.claim("clear_backfill", run["run_id"])
    assert server.ask("clear_backfill", run["run_id"], claim) == ("cleared", "cleared", 1, 1)
    assert server.wait("clear_backfill", run["run_id"]).clear_number == 1

    half = {**backfill, "from_date": "2026-02-01T00:00:00Z", "to_date": "2026-02-09T00:00:00Z"}
    cancelled = server.http("POST", "/api/v2/backfills", json=half).json()["id"]
    run_ids = "SELECT run_id FROM dag_run WHERE backfill_id = :backfill ORDER BY run_after"
    run = server.airflow.query(run_ids, backfill=cancelled)[0]
    server.wait("clear_backfill", run["run_id"])
    claim = server.claim("clear_backfill", run["run_id"])
    assert server.http("PUT", f"/api/v2/backfills/{cancelled}/cancel").ok
    assert server.ask("clear_backfill", run["run_id"], claim)[:2] == ("hopeless", "backfill_ended")


def test_redis_forgot(server: Server) -> None:
    """The second witness: Redis counts from zero in each generation, and the audit log has the attempts."""
    for generation in range(2):
        server.wait(DAG, "witness")
        forgot = server.claim(DAG, "witness", base=generation, attempt=1, max_attempts=2, note="Dag retry 1/2: load")
        assert server.ask(DAG, "witness", forgot) == ("cleared", "cleared", generation + 1, generation + 1)
        assert server.note(DAG, "witness") == f"Dag retry {generation + 1}/2: load"
    server.wait(DAG, "witness")
    forgot = server.claim(DAG, "witness", base=2, attempt=1, max_attempts=2)
    assert server.ask(DAG, "witness", forgot) == ("exhausted", "audit_log", 2, 2)
    # A person clears the run: a fresh budget.
    assert server.public_clear(DAG, "witness") == 200
    server.wait(DAG, "witness")
    fresh = server.claim(DAG, "witness", base=3, attempt=1, max_attempts=2)
    assert server.ask(DAG, "witness", fresh) == ("cleared", "cleared", 4, 1)


def test_what_a_person_wrote_stays_in_the_note(server: Server) -> None:
    server.wait(DAG, "note")
    assert server.set(f"{DAG}/dagRuns/note", note="on it\nDag retry 7/8: old\nJo").ok
    assert server.ask(DAG, "note", server.claim(DAG, "note", note="Dag retry 1/9: load"))[0] == "cleared"
    assert server.note(DAG, "note") == "on it\nJo\nDag retry 1/9: load"
    server.wait(DAG, "note")
    assert server.ask(DAG, "note", server.claim(DAG, "note", note="Dag retry 2/9: load"))[0] == "cleared"
    assert server.note(DAG, "note") == "on it\nJo\nDag retry 2/9: load"
    server.wait(DAG, "note")
    full = "x" * 1000
    assert server.set(f"{DAG}/dagRuns/note", note=full).ok
    assert server.ask(DAG, "note", server.claim(DAG, "note", note="Dag retry 3/9: load"))[0] == "cleared"
    assert server.note(DAG, "note") == full


@pytest.mark.parametrize("run_id", ODD, ids=range(len(ODD)))
def test_odd_run_ids(server: Server, run_id: str) -> None:
    server.wait(DAG, run_id)
    assert server.ask(DAG, run_id, server.claim(DAG, run_id, note="Dag retry 1/9: load")) == (
        "cleared",
        "cleared",
        1,
        1,
    )
    assert len(server.our_lines(DAG, run_id)) == 1


def test_an_odd_dag_id(server: Server) -> None:
    server.trigger("..", "../..")
    server.wait("..", "../..")
    assert server.ask("..", "../..", server.claim("..", "../..")) == ("cleared", "cleared", 1, 1)
