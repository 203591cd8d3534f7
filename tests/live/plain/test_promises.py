"""The promises, on a live Airflow: what its own database says of each run, and what Redis says."""

from __future__ import annotations

import os
import subprocess
from urllib.parse import quote

import pytest

from tests.airflow_server import Run
from tests.live.conftest import DAGS, ROOT, RUN, Live, environment

pytestmark = pytest.mark.live


class TestPlain:
    def test_branches_that_fail_together_are_retried_once(self, live: Live) -> None:
        run = live.rest("recover", "success", "succeeded")
        assert run.clear_number == 1
        events = live.events("recover")
        assert events.count("won") == events.count("cleared") == events.count("succeeded") == 1
        live.told("recover", "retrying 1", "succeeded 1")
        # Where Airflow did not answer the winner in time, as its log says, the Dag level has taken over.
        taken_over = events.count("taken_over")
        assert taken_over == live.task_logs("recover").count("it is not known whether the run was cleared")
        record = live.record("recover")
        level = "dag" if taken_over else "task"
        assert (record["status"], record["attempt"], record["level"]) == ("succeeded", "1", level)

    def test_branches_that_never_recover_stop_at_the_cap_and_alert_once(self, live: Live) -> None:
        run = live.rest("exhaust", "failed", "exhausted")
        assert run.clear_number == 2
        live.told("exhaust", "retrying 1", "retrying 2", "exhausted 2")
        record = live.record("exhaust")
        assert (record["status"], record["attempt"], record["due_at"]) == ("exhausted", "2", "0")
        assert live.client.zscore("{dag-retry}:v1:attention", f"exhaust:{RUN}")

    def test_a_killed_task_is_retried_by_the_dag_level(self, live: Live) -> None:
        run = live.rest("killed", "success", "succeeded")
        assert run.clear_number == 1
        assert live.record("killed")["level"] == "dag"

    def test_a_run_that_never_failed_leaves_no_key(self, live: Live) -> None:
        run = live.rest("never_failed", "success", None)
        assert run.clear_number == 0
        assert not [key for key in live.client.scan_iter() if "never_failed" in key]

    def test_the_drop_in_stops_at_the_cap(self, live: Live) -> None:
        run = live.rest("recipe_dropin", "failed", "exhausted")
        assert run.clear_number == 2


def test_a_retry_waits_for_the_sweepers_dag(live: Live) -> None:
    run = live.rest("delayed", "success", "succeeded")
    assert run.clear_number == 1
    at = live.moments("delayed")
    # On a busy machine the attempt may end before its clear has been recorded, which it then is not.
    assert at.get(("cleared", 0), max(at.values())) - at["won", 0] >= 15_000
    assert live.record("delayed")["level"] == "sweeper"
    called = live.airflow.query("SELECT run_id FROM dag_run WHERE dag_id = 'dag_retry_sweeper'")
    assert [found for found in called if found["run_id"].startswith("due__")]
    path = f"/dags/delayed/dagRuns/{quote(RUN, safe='')}"
    recovered = "Dag retry: recovered on attempt 1"
    live.airflow.wait("delayed", RUN, until=lambda _: live.airflow.call("GET", path)["note"] == recovered, steady=0)


class TestFull:
    @pytest.fixture(autouse=True)
    def started(self, live: Live) -> None:
        live.start(
            "mapped", "timed_out", "own_retries", "own_retries_dag_level", "recover_dag_level", "recover_task_level"
        )
        live.start("redis_away", "login_refused", "lost", "lost_and_cleared")

    @pytest.mark.parametrize("level", ["dag", "task"])
    def test_one_level_alone(self, live: Live, level: str) -> None:
        dag_id = f"recover_{level}_level"
        run = live.rest(dag_id, "success", "succeeded")
        assert run.clear_number == 1
        assert live.record(dag_id)["level"] == level
        live.told(dag_id, "retrying 1", "succeeded 1")

    def test_24_mapped_tasks(self, live: Live) -> None:
        """One clear for each generation that failed: as a rule one.

        Where siblings are still queued when the run is cleared, Airflow may take the end of their old tries for a
        failure of the new ones: the scheduler's `process_executor_events` goes by try number, and not by id.
        """
        run = live.rest("mapped", "success", "succeeded")
        won = [entry["generation"] for entry in live.entries("mapped") if entry["event"] == "won"]
        assert won == [str(generation) for generation in range(run.clear_number)]
        assert live.events("mapped").count("cleared") == run.clear_number <= 2

    def test_dagrun_timeout(self, live: Live) -> None:
        run = live.rest("timed_out", "success", "succeeded")
        assert run.clear_number == 1
        record = live.record("timed_out")
        assert (record["level"], record["error"]) == ("dag", "timed_out")

    def test_a_tasks_own_retries_come_first(self, live: Live) -> None:
        run = live.rest("own_retries", "success", "succeeded")
        assert run.clear_number == 1
        assert [found.try_number for found in live.airflow.tries("own_retries", RUN)] == [1, 2, 3]
        assert live.events("own_retries").count("won") == 1

    def test_a_dag_level_clear_gives_a_task_its_retries_anew(self, live: Live) -> None:
        # A task that clears its own run is RUNNING then, and Airflow leaves its max_tries as it was.
        run = live.rest("own_retries_dag_level", "success", "succeeded")
        assert run.clear_number == 1
        assert [found.try_number for found in live.airflow.tries("own_retries_dag_level", RUN)] == [1, 2, 3, 4]

    def test_a_manual_clear_after_exhaustion_begins_a_fresh_budget(self, live: Live) -> None:
        live.rest("exhaust", "failed", "exhausted")
        live.airflow.clear("exhaust", RUN)
        run = live.rest("exhaust", "failed", "exhausted", base="3")
        assert run.clear_number == 5
        live.told("exhaust", *["retrying 1", "retrying 2", "exhausted 2"] * 2)
        assert live.record("exhaust")["base"] == "3"

    def test_a_task_that_falls_silent_is_retried(self, live: Live) -> None:
        run = live.rest("lost", "success", "succeeded")
        assert run.clear_number == 1

    def test_a_task_that_falls_silent_in_a_run_cleared_since_is_not(self, live: Live) -> None:
        # Airflow calls back for it with the new generation and its new id, as if it had failed after the clear.
        run = live.rest("lost_and_cleared", "success", "succeeded")
        assert run.clear_number == 1
        assert live.events("lost_and_cleared").count("won") == 1
        logs = "\n".join(log.read_text() for log in live.airflow.dag_processor_logs())
        assert "of Dag 'lost_and_cleared': nothing to retry (restarting)" in logs

    def test_redis_away_clears_nothing_and_says_so(self, live: Live) -> None:
        run = live.rest("redis_away", "failed", None)
        assert run.clear_number == 0
        logs = live.task_logs("redis_away")
        assert "failed and was NOT retried, nothing was cleared: Redis at 127.0.0.1:1: unreachable" in logs
        assert "s3cret" not in logs

    def test_a_refused_login_leaves_the_run_to_a_sweeper(self, live: Live) -> None:
        run = live.held("login_refused", "login")
        assert run.clear_number == 0
        live.told("login_refused", "waiting 1")
        logs = live.task_logs("login_refused")
        assert "a sweeper looks again in 60 s: login of 'stranger'" in logs
        assert "s3cret" not in logs


def test_odd_ids(live: Live) -> None:
    run_ids = ["50% of a+b: läuft?", "100%2Fsure", "x;y=1&z#\\", "a/b", "~", "/"]
    for run_id in run_ids:
        live.airflow.trigger("odd..ids", run_id)

    def recovered(run: Run) -> bool:
        status = live.client.hget(f"{{dag-retry}}:v1:run:odd..ids:{run.run_id}", "status")
        return (run.state, status) == ("success", "succeeded")

    for run_id in run_ids:
        assert live.airflow.wait("odd..ids", run_id, until=recovered, steady=0).clear_number == 1


def test_the_published_recipe_loops_where_the_drop_in_stops(live: Live) -> None:
    # After all others: its doubled clears can end Airflow's scheduler.
    live.start("recipe_published")
    # Still clearing, far over its cap of 2: it would go on for ever.
    live.airflow.wait("recipe_published", RUN, until=lambda run: run.clear_number > 4, steady=0)
    live.airflow.pause("recipe_published")
    assert live.rest("recipe_dropin", "failed", "exhausted").clear_number == 2


def test_nothing_happens_afterwards(live: Live) -> None:
    live.nothing_happens()


def test_every_key_has_a_ttl(live: Live) -> None:
    keys = list(live.client.scan_iter())
    assert any(":run:recover:" in key for key in keys)
    assert [key for key in keys if live.client.pttl(key) < 0] == []


def test_airflow_3_1_is_refused_with_a_clear_error() -> None:
    python = environment("airflow-3.1")
    dag = DAGS / "single.py"
    env = os.environ | {"PYTHONPATH": str(ROOT)}  # the Dag file imports the demo's barrier
    done = subprocess.run([python, dag], capture_output=True, text=True, check=False, env=env)
    assert done.returncode != 0
    assert "ConfigError: airflow-dag-retry needs Airflow 3.2 or newer" in done.stderr
