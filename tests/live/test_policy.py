"""The policy, the sweeper and the examples, on a live Airflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import dag_retry
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._redis.interventions import Interventions
from dag_retry.sweeper.sweeper import Sweeper
from tests.airflow_server import USERNAME, Run, warm_up
from tests.live.conftest import RUN, Live, live_airflow

pytestmark = pytest.mark.live

EXAMPLES = Path(dag_retry.__file__).parent / "example_dags"
AT_ONCE = (
    "example_delay", "winner_killed", "timed_out", "timed_out_for_good",
    "hopeless", "hopeless_dag_level", "late_sibling", "paused_by_failures", "fewer_attempts_of_the_dag", "deadlocked",
    "deadlocked_for_good", "selected", "selected_and_killed", "selected_with_its_own", "not_selected",
    "wrongly_selected", "mended_latest", "mended_as_it_was", "example_plain",
    "example_by_hand", "example_alert", "example_validation", "example_setup_teardown", "example_mapped",
)  # fmt: skip
LIMITED: dict[str, dict[str, Any]] = {
    "fewer_attempts": {"max_attempts": 1}, "disabled": {"enabled": False}, "wrong_limits": {"max_attempts": "many"}
}  # fmt: skip
"""The runs that begin at once, since most wait for long; and the runs with limits of their own."""

MENDED = """
from datetime import timedelta

from airflow.sdk import DAG, task

from dag_retry import DagRetry


def mended(dag_id, latest):
    retry = DagRetry(2, delay=timedelta(hours=1), run_on_latest_version=latest)
    with DAG(dag_id, schedule=None, **retry.dag_args()):

        @task
        def load(dag_run=None):
            if dag_run.clear_number == 0:
                raise TimeoutError

        @task
        def added(): ...

        load()
        if {version} > 1:
            added()


mended("mended_latest", True)
mended("mended_as_it_was", False)
"""


def mend(versions: Path, version: int) -> None:
    """Leave a version of a Dag file, as a whole."""
    made = versions / f"making {version}"
    made.mkdir(parents=True)
    (made / "mended.py").write_text(MENDED.format(version=version), encoding="utf-8")
    made.rename(versions / str(version))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("policy")
    dags = folder / "dags"
    shutil.copytree(EXAMPLES, dags)
    shutil.copytree(Path(__file__).parent / "policy", dags, dirs_exist_ok=True)
    versions = {"name": "versions", "classpath": "tests.live.versions.Versions"}
    bundles = [*json.loads(warm_up.bundles(folder / "home")), versions | {"kwargs": {"root": str(folder / "versions")}}]
    mend(folder / "versions", 1)
    env = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_RETRY__ATTACH_TO_TAGS": "retried",
    }
    with live_airflow(folder, dags, env, database=request.getfixturevalue("postgres")("policy")) as live:
        live.start(*AT_ONCE)
        for dag_id, limits in LIMITED.items():
            live.runs.add(dag_id)
            live.airflow.trigger(dag_id, RUN, {"dag_retry": limits})
        yield live


def settings(live: Live) -> dict[str, str]:
    """Return the environment of a process beside Airflow."""
    return {
        "AIRFLOW_HOME": str(live.airflow.home / "beside"),
        "AIRFLOW__DAG_RETRY__REDIS_URL": live.redis.url,
        "AIRFLOW__DAG_RETRY__API_URL": live.airflow.url,
        "AIRFLOW__DAG_RETRY__API_USERNAME": USERNAME,
        "AIRFLOW__DAG_RETRY__API_PASSWORD": live.airflow.password,
        "AIRFLOW__DAG_RETRY__ATTACH_TO_TAGS": "retried",
        "NO_PROXY": "127.0.0.1",
    }


def command(live: Live, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "dag_retry.cli", *arguments]
    return subprocess.run(program, env=os.environ | settings(live), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def services(live: Live) -> Iterator[list[subprocess.Popen[str]]]:
    """Three sweepers at once, until they are told to stop."""
    with ExitStack() as stack:
        yield [stack.enter_context(service(live)) for _ in range(3)]


@contextmanager
def service(live: Live) -> Iterator[subprocess.Popen[str]]:
    """Run a sweeper."""
    program = [sys.executable, "-m", "dag_retry.cli", "sweep"]
    with subprocess.Popen(program, env=os.environ | settings(live), stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def hears(running: subprocess.Popen[str], *words: str) -> None:
    """Wait until a service says something with these words."""
    assert running.stderr
    said = []
    for line in running.stderr:
        said.append(line)
        if all(word in line for word in words):
            return
    raise AssertionError("".join(said))


def note(live: Live, dag_id: str) -> str:
    run = live.airflow.call("GET", f"/dags/{dag_id}/dagRuns/{quote(RUN, safe='')}")
    return str(run["note"])


def noted(live: Live, dag_id: str, text: str) -> None:
    """Wait for a note: it is written a moment after the record."""
    live.airflow.wait(dag_id, RUN, until=lambda _: note(live, dag_id).startswith(text), steady=0)


def tries(live: Live, dag_id: str) -> dict[str, int]:
    """Return how often each task was tried."""
    counted: dict[str, int] = {}
    for found in live.airflow.tries(dag_id, RUN):
        counted[found.task_id] = max(found.try_number, counted.get(found.task_id, 0))
    return counted


def delays(live: Live, dag_id: str, run_id: str) -> list[tuple[float, float]]:
    """Return how long each attempt was to wait, and how long after its claim the run was cleared, in seconds.

    On a busy machine an attempt may fail before its clear has been recorded, which it then is not.
    """
    at = live.moments(dag_id, run_id)
    waited = {generation: end - at["won", generation] for (event, generation), end in at.items() if event == "cleared"}
    assert waited
    return [(waited[generation] / 1000, 5 * 2**generation) for generation in sorted(waited)]


def waits(live: Live, dag_id: str, run_id: str) -> None:
    """Wait until a run waits for its delay to end."""
    live.airflow.wait(dag_id, run_id, until=lambda _: live.record(dag_id, run_id).get("status") == "waiting", steady=0)


def wait_for(live: Live, dag_id: str, run_id: str, state: str, status: str) -> Run:
    def there(run: Run) -> bool:
        record = live.record(dag_id, run_id)
        told = record.get("due_at") == "0"
        return (run.state, record.get("status"), told) == (state, status, True)

    return live.airflow.wait(dag_id, run_id, until=there, steady=0, timeout=300)


class TestSweeperService:
    """Three at once."""

    @pytest.fixture(autouse=True)
    def started(self, services: Any) -> None:
        """The sweepers look while the runs of all tests are on their way."""

    def test_delays_are_kept_and_no_slot_is_held(self, live: Live) -> None:
        def failed_and_waits(run: Run) -> bool:
            return live.record("example_delay").get("status") == "waiting" and run.state == "failed"

        live.airflow.wait("example_delay", RUN, until=failed_and_waits, steady=0)
        path = f"/dags/example_delay/dagRuns/{quote(RUN, safe='')}"
        live.airflow.call("PATCH", path, {"note": f"Ticket 4711\n{note(live, 'example_delay')}"})
        pool = live.airflow.call("GET", "/pools/default_pool")
        assert {found.state for found in live.airflow.tries("example_delay", RUN)} == {"failed"}
        print(f"while example_delay waits: {pool['open_slots']} of {pool['slots']} slots are open")
        assert live.rest("example_delay", "success", "succeeded").clear_number == 3
        for waited, wanted in delays(live, "example_delay", RUN):
            print(f"service: cleared {waited:.1f} s after the claim, which was to be {wanted} s")
            assert wanted <= waited
        noted(live, "example_delay", "Ticket 4711\nDag retry: recovered on attempt 3")

    def test_a_winner_killed_right_after_its_claim(self, live: Live) -> None:
        run = live.rest("winner_killed", "success", "succeeded")
        assert run.clear_number == 1
        assert live.record("winner_killed")["attempt"] == "1"
        assert live.events("winner_killed").count("taken_over") == 1
        assert live.events("winner_killed").count("cleared") == 1

    def test_a_newer_run_has_succeeded(self, live: Live) -> None:
        live.airflow.trigger("newer_run", "old", {"old": True})
        waits(live, "newer_run", "old")
        live.airflow.trigger("newer_run", "new")
        run = wait_for(live, "newer_run", "old", "failed", "skipped")
        assert run.clear_number == 0
        assert live.record("newer_run", "old")["reason"] == "newer_run_succeeded"

    def test_stop_when_told_to(self, live: Live, services: Any) -> None:
        live.rest("winner_killed", "success", "succeeded")
        live.rest("example_delay", "success", "succeeded")
        for running, number in zip(services, (signal.SIGTERM, signal.SIGINT, signal.SIGTERM), strict=True):
            running.send_signal(number)
            _, said = running.communicate(timeout=30)
            assert running.returncode == 0, said
            assert f"the sweeper stops ({number.name})" in said


class TestConditions:
    @pytest.mark.parametrize("dag_id", ["hopeless", "hopeless_dag_level"])
    def test_a_hopeless_failure(self, live: Live, dag_id: str) -> None:
        assert live.rest(dag_id, "failed", "skipped").clear_number == 0
        assert live.record(dag_id)["reason"] == "exception_not_retryable"
        # The task level alone knows the exception. Where the run may still succeed, the Dag level tells the hooks.
        assert live.record(dag_id)["level"] == ("task" if dag_id == "hopeless" else "dag")

    @pytest.mark.parametrize("dag_id", ["fewer_attempts", "fewer_attempts_of_the_dag"])
    def test_other_limits(self, live: Live, dag_id: str) -> None:
        assert live.rest(dag_id, "failed", "exhausted").clear_number == 1

    def test_a_run_that_is_not_to_be_retried(self, live: Live) -> None:
        assert live.rest("disabled", "failed", "skipped").clear_number == 0
        assert live.record("disabled")["reason"] == "disabled"

    def test_limits_that_make_no_sense(self, live: Live) -> None:
        assert live.rest("wrong_limits", "failed", "skipped").clear_number == 0
        assert live.record("wrong_limits")["reason"] == "config"
        assert "['max_attempts'] is 'many': use max_attempts" in live.task_logs("wrong_limits")

    @pytest.mark.parametrize(
        ("dag_id", "reason", "clears"), [("timed_out", "timed_out", 1), ("deadlocked", "all_tasks_deadlocked", 2)]
    )
    def test_a_time_out_and_a_deadlock(self, live: Live, dag_id: str, reason: str, clears: int) -> None:
        assert live.rest(dag_id, "success", "succeeded").clear_number == clears
        assert live.entries(dag_id)[-1]["error"] == reason

    @pytest.mark.parametrize(("dag_id", "clears"), [("timed_out_for_good", 0), ("deadlocked_for_good", 1)])
    def test_reasons_that_are_not_to_be_retried(self, live: Live, dag_id: str, clears: int) -> None:
        assert live.rest(dag_id, "failed", "skipped").clear_number == clears
        record = live.record(dag_id)
        assert (record["reason"], record["level"]) == ("reason_not_retryable", "dag")

    def test_a_dag_that_airflow_paused(self, live: Live) -> None:
        assert live.held("paused_by_failures", "dag_paused_by_failures").clear_number == 0
        assert "max_consecutive_failed_dag_runs has paused the Dag" in live.dag_level_logs("paused_by_failures")

    def test_failed_tasks_alone_with_a_late_sibling(self, live: Live) -> None:
        run = live.rest("late_sibling", "success", "succeeded")
        assert run.clear_number == 2
        assert tries(live, "late_sibling") == {"succeed": 1, "fail_at_once": 2, "fail_late": 3}


class TestDagsThatTheSectionSelects:
    """Their file does not name this package."""

    def test_branches_that_fail_together(self, live: Live) -> None:
        run = live.rest("selected", "success", "succeeded")
        assert run.clear_number == 1
        events = live.events("selected")
        assert (events.count("won"), events.count("cleared")) == (1, 1)
        assert events.count("lost") >= 1
        assert live.record("selected")["level"] == "task"
        assert live.task_logs("selected").count("the Dag's own callback") == 3

    def test_the_dag_level_is_attached_too(self, live: Live) -> None:
        """A killed task has no callback of its own, and Airflow calls the Dag's only if it knows of one."""
        assert live.rest("selected_and_killed", "success", "succeeded").clear_number == 1
        assert live.entries("selected_and_killed")[0]["level"] == "dag"

    def test_a_dag_keeps_a_policy_of_its_own(self, live: Live) -> None:
        assert live.rest("selected_with_its_own", "failed", "exhausted").clear_number == 1
        assert live.record("selected_with_its_own")["max_attempts"] == "1"

    @pytest.mark.parametrize("dag_id", ["not_selected", "wrongly_selected"])
    def test_others_are_left_alone(self, live: Live, dag_id: str) -> None:
        run = live.airflow.wait(dag_id, RUN, until=lambda run: run.state == "failed", steady=0)
        assert run.clear_number == 0
        # Airflow logs there what a Dag file's parse says.
        says = "NOT retried" in live.task_logs(dag_id) and "is 'many'" in live.task_logs(dag_id)
        assert says is (dag_id == "wrongly_selected")

    def test_the_doctor_knows_who_attached_them(self, live: Live) -> None:
        for dag_id, says in {
            "selected": "attached by the section: [dag_retry] attach_to_tags",
            "selected_with_its_own": "made with dag_args (tag dag-retry), or attached by the section",
            "not_selected": "not made with dag_args",
        }.items():
            found = json.loads(command(live, "doctor", dag_id, "--json").stdout)
            [callbacks] = [each for each in found if each["check"] == "callbacks"]
            assert callbacks["found"].startswith(says)


class TestDagVersions:
    def test_run_on_latest_version(self, live: Live) -> None:
        """A Dag that is mended while its runs wait, one of which is to be retried as the Dag was."""
        wanted = {"mended_latest": {"load": 2, "added": 1}, "mended_as_it_was": {"load": 2}}
        for dag_id in wanted:
            waits(live, dag_id, RUN)
        mend(live.airflow.home.parent / "versions", 2)

        def mended(_: Run) -> bool:
            found = live.airflow.query(
                "SELECT dag_id FROM dag_version WHERE dag_id LIKE 'mended_%' AND bundle_version = '2'"
            )
            return len(found) == 2

        live.airflow.wait(dag_id, RUN, until=mended, steady=0)
        for dag_id in wanted:
            assert command(live, "retry", dag_id, RUN).returncode == 0
        swept = command(live, "sweep", "--once")
        assert swept.returncode == 0, swept.stderr
        for dag_id, tried in wanted.items():
            assert wait_for(live, dag_id, RUN, "success", "succeeded").clear_number == 1
            assert tries(live, dag_id) == tried


class TestLostCallback:
    def test_is_found_and_retried_by_hand(self, live: Live) -> None:
        # Only now: a sweeper of the tests before would find this run too, if the machine were slow.
        live.start("killed_at_the_task_level")
        live.airflow.wait("killed_at_the_task_level", RUN, until=lambda run: run.state == "failed")
        assert live.record("killed_at_the_task_level") == {}
        api = live.airflow.url.replace("http://", f"http://{USERNAME}:{live.airflow.password}@")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            patch.setenv("AIRFLOW__DAG_RETRY__API_URL", api)
            assert Sweeper(live.client, Airflow(Deadline(15)), grace=timedelta(0)).look() >= 1
        record = live.record("killed_at_the_task_level")
        assert (record["status"], record["reason"]) == ("unclaimed", "no_callback")
        retried = command(live, "retry", "killed_at_the_task_level", RUN)
        assert retried.returncode == 0, retried.stderr
        run = live.rest("killed_at_the_task_level", "success", "succeeded")
        assert run.clear_number == 1


class TestExamples:
    def test_all_are_here(self) -> None:
        tried = {"plain", "by_hand", "alert", "validation", "setup_teardown", "mapped", "delay", "recipe"}
        assert {file.stem for file in EXAMPLES.glob("example_*.py")} == {f"example_{name}" for name in tried}

    @pytest.mark.parametrize("name", ["plain", "by_hand", "validation", "setup_teardown", "mapped"])
    def test_recovers(self, live: Live, name: str) -> None:
        dag_id = f"example_{name}"
        run = live.rest(dag_id, "success", "succeeded")
        won = [entry["generation"] for entry in live.entries(dag_id) if entry["event"] == "won"]
        assert won == [str(generation) for generation in range(run.clear_number)]
        # Its branches start as they come: one still queued at the clear may fail once more (_airflow/README.md).
        assert 1 <= run.clear_number <= (2 if name == "plain" else 1)
        noted(live, dag_id, f"Dag retry: recovered on attempt {run.clear_number}")

    def test_alert(self, live: Live) -> None:
        assert live.rest("example_alert", "failed", "exhausted").clear_number == 1
        logs = live.task_logs("example_alert") + live.dag_level_logs("example_alert")
        assert logs.count("gave up after 1: publish_") == 1
        noted(live, "example_alert", "Dag retry: gave up after 1: publish_")

    def test_a_teardown_runs_in_each_attempt(self, live: Live) -> None:
        live.rest("example_setup_teardown", "success", "succeeded")
        tries = [found for found in live.airflow.tries("example_setup_teardown", RUN) if found.task_id == "take_down"]
        assert [found.state for found in tries] == ["success", "success"]

    def test_mapped_tasks_that_succeeded_run_once(self, live: Live) -> None:
        live.rest("example_mapped", "success", "succeeded")
        runs = live.airflow.query(
            "SELECT map_index, try_number FROM task_instance WHERE dag_id = 'example_mapped' AND task_id = 'load'"
        )
        assert {run["map_index"]: run["try_number"] for run in runs} == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1}

    def test_the_recipes_attempts_are_taken_over(self, live: Live) -> None:
        variable = f"dag_run_attempts::example_recipe::{RUN}"
        live.airflow.call("POST", "/variables", {"key": variable, "value": "1"})
        live.airflow.call("POST", "/variables", {"key": "dag_run_attempts::example_recipe::gone/1", "value": "2"})
        run = live.rest("example_recipe", "success", "succeeded")
        assert (run.clear_number, live.record("example_recipe")["attempt"]) == (1, "2")
        listed = json.loads(command(live, "migrate", "--json").stdout)
        assert [(each["run_id"], each["attempts"], each["removed"]) for each in listed] == [("gone/1", "2", False)]
        removed = command(live, "migrate", "--remove", "--json")
        assert [each["removed"] for each in json.loads(removed.stdout)] == [True], removed.stderr
        assert json.loads(command(live, "migrate", "--json").stdout) == []


class TestOutage:
    """After all others: their runs are at rest."""

    def test_goes_on_when_redis_and_the_api_are_back(self, live: Live) -> None:
        live.airflow.trigger("outage", RUN)
        waits(live, "outage", RUN)
        with service(live) as running:
            hears(running, "the sweeper looks every")
            live.redis.kill()
            hears(running, "the sweeper goes on in", "Redis")
            live.redis.start().ready()
            hears(running, "the sweeper looks every")
            live.airflow.components.restart("api-server")
            assert Interventions(live.client).hasten("outage", RUN)
            # Seconds away, it is asked again; longer, and what was taken stays due (tests/test_sweeper.py).
            assert wait_for(live, "outage", RUN, "success", "succeeded").clear_number == 1
            assert running.poll() is None
        assert live.events("outage").count("cleared") == 1
