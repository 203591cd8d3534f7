"""Runs that a person would not have cleared, and failures of which Airflow tells too little."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys
from dag_retry.cli import main
from dag_retry.sweeper.sweeper import Sweeper
from tests import stub_dag
from tests.airflow_server import Run
from tests.live.conftest import RUN, Live, live_airflow
from tests.live.gate import gate

pytestmark = pytest.mark.live

CASES = Path(__file__).parent / "cases"
LEVELS = ("both", "dag", "task")
PARAMS = ("params_both", "params_dag")
FINDINGS = {
    "daily_load": {},
    "after_the_last": {"depends_on_past": "warning"},
    "resuming": {"task state": "warning"},
    "counting": {"try_number": "note"},
    "same_child": {"child Dags": "warning"},
    "more_children": {"child Dags": "note"},
    "producer": {"assets": "warning"},
    "ends_in_clean_up_both": {"leaves": "note"},
    "ends_in_clean_up_task": {"leaves": "warning"},
    "leaves_its_cluster": {"teardowns": "warning"},
    "works_without_its_cluster": {"teardowns": "warning"},
    "limited": {"params['dag_retry']": "fault"},
    "narrow_both": {"max_active_tasks": "warning"},
    "delayed": {},
    "tries_itself": {"retries": "note"},
    "late": {"retry_delay": "warning"},
    "without_callbacks": {"callbacks": "warning"},
    "with_its_own": {"callbacks": "note"},
}
"""What the doctor finds of Dags, while a sweeper runs."""


@pytest.fixture(scope="module")
def live(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An Airflow with a triggerer; this process has its settings, for a sweeper and the command line."""
    triggerer = {"triggerer": ["triggerer", "--skip-serve-logs"]}
    folder = tmp_path_factory.mktemp("cases")
    shutil.copytree(CASES, folder / "dags")
    with (
        live_airflow(folder, folder / "dags", database=postgres("cases"), components=triggerer) as live,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in live.airflow.environment.items():
            if name.startswith("AIRFLOW__DAG_RETRY__") or name == "NO_PROXY":
                patch.setenv(name, value)
        patch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", stub_dag.BUNDLES)
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "false")
        stub_dag.dags()  # before a test has a stdout of its own: Airflow's loggers keep the first
        live.start(
            *(f"ends_well_{level}" for level in ("both", "dag")), "no_failed_task_both", "no_failed_task_dag", "job"
        )
        live.start(*(f"trigger_{level}_{retries}" for level in LEVELS for retries in (0, 1)))
        yield live


def sweep(live: Live) -> None:
    """Do what a run of the sweeper's Dag does, for runs whose callbacks had 15 s to come."""
    sweeper = Sweeper(live.client, Airflow(Deadline(15)), grace=timedelta(seconds=15))
    sweeper.look()
    sweeper.sweep()


def swept(live: Live, dag_id: str, run_id: str, state: str, status: str) -> Run:
    """Wait for a state and a status while somebody sweeps."""

    def there(run: Run) -> bool:
        sweep(live)
        return (run.state, live.record(dag_id, run_id).get("status")) == (state, status)

    return live.airflow.wait(dag_id, run_id, until=there, steady=0)


def errors(live: Live, dag_id: str) -> list[str]:
    """What Dag-level callbacks of a Dag complained of."""
    lines = [json.loads(line) for line in live.dag_level_logs(dag_id).splitlines()]
    return [line["event"] for line in lines if line["level"] == "error" and "Dag retry" in line["event"]]


def doctor(dag_id: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is not well, with the grade of each check."""
    assert main(["doctor", dag_id, "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    return {each["check"]: each["grade"] for each in found if each["grade"] != "ok"}


# With level="task" any failure clears the run, since no Dag level retries it.
@pytest.mark.parametrize("level", ["both", "dag"])
def test_a_run_that_ends_well_is_left_alone(live: Live, level: str) -> None:
    dag_id = f"ends_well_{level}"
    assert live.rest(dag_id, "success", None).clear_number == 0
    assert live.events(dag_id) == []
    assert [(found.task_id, found.state) for found in live.airflow.tries(dag_id, RUN)] == [
        ("clean_up", "success"), ("optional", "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("level", LEVELS)
def test_a_task_that_its_trigger_ended(live: Live, level: str, retries: int) -> None:
    dag_id = f"trigger_{level}_{retries}"
    assert swept(live, dag_id, RUN, "success", "succeeded").clear_number == 1
    assert live.events(dag_id).count("won") == 1
    assert [found.try_number for found in live.airflow.tries(dag_id, RUN)] == list(range(1, retries + 3))
    assert errors(live, dag_id) == []


@pytest.mark.parametrize("level", ["both", "dag"])
def test_a_run_without_a_failed_task(live: Live, level: str) -> None:
    dag_id = f"no_failed_task_{level}"
    assert swept(live, dag_id, RUN, "failed", "exhausted").clear_number == 2
    events = live.events(dag_id)
    assert (events.count("won"), events.count("cleared"), "unclaimed" in events) == (2, 2, False)
    assert errors(live, dag_id) == []


def test_params_that_no_longer_fit(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody tightens the Params of Dags whose runs are running; the Dag is mended after they have failed."""

    def parsed(maximum: int) -> None:
        """Wait until Airflow has the Dags so. If no task ran with a Dag's latest version, Airflow writes it over."""
        latest = (
            "SELECT v.dag_id, CAST(s.data AS TEXT) AS data FROM serialized_dag s JOIN dag_version v "
            "ON v.id = s.dag_version_id WHERE v.dag_id LIKE 'params_%' ORDER BY v.version_number"
        )

        def there(_: Run) -> bool:
            dags = {row["dag_id"]: row["data"] for row in live.airflow.query(latest)}
            found = {dag_id: set(re.findall(r'"maximum":\s*(\d+)', data)) for dag_id, data in dags.items()}
            return found == {dag_id: {str(maximum)} for dag_id in PARAMS}

        live.airflow.wait(PARAMS[0], RUN, until=there, steady=0, timeout=300)

    tight, dag_file = live.airflow.home / "tight", live.airflow.home.parent / "dags" / "little_told.py"
    for dag_id in PARAMS:
        live.runs.add(dag_id)
        live.airflow.trigger(dag_id, RUN, {"number": 50})
    for dag_id in PARAMS:
        live.wait_at_gate(dag_id, 0, branches=1)
    tight.touch()
    os.utime(dag_file)  # Airflow parses at once what has changed
    parsed(5)
    for dag_id in PARAMS:
        live.open_gate(dag_id, 0)

    def refused(run: Run) -> bool:
        return run.state == "failed" and "ParamValidationError" in live.dag_level_logs(run.dag_id)

    for dag_id in PARAMS:
        assert live.airflow.wait(dag_id, RUN, until=refused, steady=0).clear_number == 0
        assert doctor(dag_id, capsys).get("Params") == "warning"
    tight.unlink()
    os.utime(dag_file)
    parsed(100)
    for dag_id in PARAMS:
        assert swept(live, dag_id, RUN, "success", "succeeded").clear_number == 1
        assert "unclaimed" not in live.events(dag_id)


def test_a_dag_that_is_tried_out_changes_nothing(live: Live) -> None:
    """`dag.test()`, with the settings of production in the environment. (`tests/test_dag_test.py` has all levels.)"""
    dag_id = "tried_out"
    live.airflow.wait_for_dag(dag_id)
    done = subprocess.run(
        [sys.executable, CASES / "left_alone.py"],
        env=live.airflow.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    (run,) = live.airflow.query("SELECT state, clear_number FROM dag_run WHERE dag_id = :dag_id", dag_id=dag_id)
    assert run == {"state": "failed", "clear_number": 0}, done.stderr
    assert live.events(dag_id) == []
    assert [key for key in live.client.scan_iter() if dag_id in key] == []
    said = [line for line in (done.stdout + done.stderr).splitlines() if "Dag retry" in line]
    assert said
    assert all("nothing to retry (test)" in line for line in said)


def test_runs_that_wait_for_each_other(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run begins when the first has failed, and its task waits for that of the first to succeed."""
    dag_id = "one_after_another"
    live.airflow.wait_for_dag(dag_id)
    for number, run_id in enumerate(("first", "second"), 1):
        body = {"dag_run_id": run_id, "logical_date": f"2026-01-0{number}T00:00:00Z"}
        live.airflow.call("POST", f"/dags/{dag_id}/dagRuns", body)

    def no_deadlock(run: Run) -> bool:
        status = live.record(dag_id, run.run_id).get("status")
        return (run.state, status) in (("success", "succeeded"), ("failed", "skipped"))

    run = live.airflow.wait(dag_id, "first", until=no_deadlock, steady=0)
    if run.state == "success":
        live.airflow.wait(dag_id, "second", until=lambda run: run.state == "success", steady=0)
    assert doctor(dag_id, capsys)["depends_on_past"] == "warning"


def test_a_run_of_a_cancelled_backfill(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    dag_id = "backfill"
    live.airflow.wait_for_dag(dag_id)
    days = {"from_date": "2026-01-05T00:00:00Z", "to_date": "2026-01-05T00:00:00Z"}
    backfill = live.airflow.call("POST", "/backfills", {"dag_id": dag_id, "max_active_runs": 1, **days})
    (found,) = live.airflow.query("SELECT run_id FROM dag_run WHERE run_type = 'backfill'")
    run_id = found["run_id"]

    def waits(run: Run) -> bool:
        return (run.state, live.record(dag_id, run_id).get("status")) == ("failed", "waiting")

    # Once no run of a backfill is under way, the scheduler completes the backfill within 30 s. So the task waits.
    at_gate = gate(live.airflow.home, dag_id, 0) / run_id
    live.airflow.wait(dag_id, run_id, until=lambda _: at_gate.exists(), steady=0)
    for act in ("pause", "cancel"):
        live.airflow.call("PUT", f"/backfills/{backfill['id']}/{act}")
        assert doctor(dag_id, capsys).get("backfills") == "warning"
    live.open_gate(dag_id, 0)
    live.airflow.wait(dag_id, run_id, until=waits, steady=0)
    assert Interventions(live.client).hasten(dag_id, run_id)
    assert swept(live, dag_id, run_id, "failed", "skipped").clear_number == 0
    assert live.record(dag_id, run_id)["reason"] == "backfill_ended"
    note = live.airflow.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["note"]
    assert "backfill" in note


def test_a_job_that_is_not_submitted_again(live: Live) -> None:
    """A clear keeps what an operator has stored; and the two ways to submit the job again, as the README says."""
    assert live.rest("job", "success", "succeeded").clear_number == 1
    assert sorted((live.airflow.home / "submitted").read_text().splitlines()) == [
        "never_resumes 1", "never_resumes 2",
        "resumes 1",
        "resumes_in_its_attempt 1", "resumes_in_its_attempt 2",
    ]  # fmt: skip


def test_what_the_doctor_finds(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow tells of these Dags what the doctor's own tests say that it tells."""
    for dag_id in FINDINGS:
        live.airflow.wait_for_dag(dag_id)
    sweep(live)  # so that a sweeper has looked, and none is missing
    assert {dag_id: doctor(dag_id, capsys) for dag_id in FINDINGS} == FINDINGS
    for dag_id in FINDINGS:
        details = live.airflow.call("GET", f"/dags/{dag_id}/details")
        tasks = live.airflow.call("GET", f"/dags/{dag_id}/tasks")["tasks"]
        assert stub_dag.what_matters(details, tasks) == stub_dag.what_matters(
            stub_dag.details(dag_id), stub_dag.tasks(dag_id)
        )
    live.client.delete(Keys("dag-retry").sweeper())
    assert doctor("delayed", capsys) == {"sweeper": "fault"}


def test_nothing_happens_afterwards(live: Live) -> None:
    live.nothing_happens()
