"""Facts about Airflow on which this package relies. Where Airflow changes one, the test that names it fails.

The tests below ask the installed Airflow, and `make matrix` runs them on each Airflow that we name. What only a live
Airflow shows is watched by live tests:

======================================================================================= ================================
fact                                                                                    live test
======================================================================================= ================================
When a task's callback runs, the API shows the task RUNNING, and takes a clear           clear/test_table.py::test_a_fresh_claim_while_its_task_runs
No task-level callback runs for a task killed by SIGKILL, but the Dag-level one          plain/test_promises.py::test_a_killed_task_is_retried_by_the_dag_level
A lost task calls back in the dag processor, with the run as of now                      plain/test_promises.py::test_a_task_that_falls_silent_in_a_run_cleared_since_is_not
A Dag-level callback comes after all tasks have ended, but for `dagrun_timeout`          plain/test_promises.py::test_dagrun_timeout
A clear from the Dag level gives a task its own retries anew                             plain/test_promises.py::test_a_dag_level_clear_gives_a_task_its_retries_anew
A restarting task waits for its `retry_delay`, and 0 starts it at once                   test_faults.py::test_branches_fail_together_and_recover
A task that its trigger ended calls back with no `dag_run`                               test_cases.py::test_a_task_that_its_trigger_ended
Where no task is FAILED, the Dag-level context has `dag`, `run_id` and `reason`          test_cases.py::test_a_run_without_a_failed_task
A conf that violates the Params makes Airflow raise before the Dag's callback            test_cases.py::test_params_that_no_longer_fit
With `depends_on_past` and `max_active_runs=1` two runs wait for each other              test_cases.py::test_runs_that_wait_for_each_other
A run of a cancelled backfill stays queued, one of a completed backfill runs             clear/test_table.py::test_backfills
A clear keeps the `task_state_store`                                                     test_cases.py::test_a_job_that_is_not_submitted_again
A paused Dag runs nothing that was cleared                                               clear/test_table.py::test_a_paused_dag
`max_consecutive_failed_dag_runs` pauses the Dag before its callback                     test_policy.py::test_a_dag_that_airflow_paused
A draining Dag pauses itself once no run is unfinished (3.4)                             clear/test_table.py::test_a_draining_dag
Requests that set states by hand, and refused ones, are in the audit log                 clear/test_table.py::test_a_viewer_settles_nothing
Concurrent public clears move `clear_number` more than once, the route's once            clear/test_together.py::test_one_clear_for_each_generation
The clear asks for the right to edit the Dag's runs                                      clear/test_who.py::test_who_may
An API server without the route answers GET 404 and POST 405                             clear/test_table.py::test_a_server_without_the_route
`TriggerDagRun(reset_dag_run=True)` clears the own run, a claim before it once           test_faults.py::test_one_clear_and_one_attempt
In the dag processor no clear is possible without credentials                            test_faults.py::test_without_credentials_a_killed_task_waits_for_the_sweepers_dag
A clear that overlaps the end of the run leaves the run failed                           test_faults.py::test_a_clear_carried_out_after_the_run_has_failed
`POST /auth/token` gives a token; an expired one is answered 401                         plain/test_cli.py::test_expired_and_foreign_tokens
Ids that no path can hold are taken literally by the endpoints with a body               plain/test_promises.py::test_odd_ids
A dry run of a clear answers 404 with the right to clear, and 403 without                plain/test_cli.py::test_a_viewer_may_not_clear
A pinned clear runs on the latest version of the Dag only if asked to                    test_policy.py::test_run_on_latest_version
Airflow 3.1 is refused                                                                   plain/test_promises.py::test_airflow_3_1_is_refused_with_a_clear_error
======================================================================================= ================================
"""  # noqa: E501

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from packaging.version import Version

# Airflow and its libraries warn of each other when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")

AIRFLOW = Version(version("apache-airflow-core"))
SINCE_3_3 = Version("3.3") <= AIRFLOW
SINCE_3_4 = Version("3.4.0b1") <= AIRFLOW
LIVE = Path(__file__).parent / "live"


def live_tests() -> list[str]:
    return re.findall(r"\S+\.py::\w+", __doc__ or "")


def test_a_live_test_watches_each_fact_that_needs_one() -> None:
    assert len(live_tests()) >= 25
    for watched in live_tests():
        file, _, name = watched.partition("::")
        tree = ast.parse((LIVE / file).read_text(encoding="utf-8"))
        assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}, watched


def source(of: Any) -> str:
    return inspect.getsource(of)


# A run fails in this Airflow's own SQLite, and is cleared there: by its function, as our route calls it.
CLEARS = """
import json
from types import SimpleNamespace

from airflow.sdk import DAG, task

with DAG("fails", schedule=None) as dag:
    @task(retries=0)
    def work():
        raise ValueError("boom")
    work()

def see(session):
    row = session.execute(select(DagRun.state, DagRun.clear_number, DagRun.queued_at)).one()
    tries = select(TaskInstance.id, TaskInstance.state, TaskInstance.try_number, TaskInstance.max_tries)
    if hasattr(TaskInstance, "working_set"):
        tries = tries.where(TaskInstance.working_set.is_(True))
    mine = session.execute(tries).one()
    return {
        "run": row.state, "clear_number": row.clear_number, "queued_at": str(row.queued_at), "id": str(mine.id),
        "task": mine.state, "max_tries": mine.max_tries,
    }

def clear(session):
    asked = SimpleNamespace(only_failed=False, run_on_latest_version=False)
    user = SimpleNamespace(get_id=lambda: "me", get_name=lambda: "me")
    run = LockedRun.take(session, "fails", run_id)
    run.clear(asked, user)
    seen = see(session)
    with create_session(scoped=False) as other:
        before = see(other)["clear_number"]
    session.commit()
    return seen | {"before_the_commit": before}

if __name__ == "__main__":
    from airflow.utils.db import initdb
    initdb()
    run_id = dag.test().run_id
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, update
    from dag_retry.plugin.clear.airflow_internals import LockedRun

    with create_session(scoped=False) as session:
        said = {"failed": see(session)}
        session.commit()
        said["cleared"] = clear(session)
        session.execute(update(TaskInstance).values(state="running").where(TaskInstance.state.is_(None)))
        session.execute(update(DagRun).values(state="running"))
        session.commit()
        said["running"] = see(session)
        session.commit()
        said["restarting"] = clear(session)
    print("SEEN", json.dumps(said))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow's database had before and after each clear."""
    home = tmp_path_factory.mktemp("airflow")
    file = home / "dags" / "fails.py"
    file.parent.mkdir()
    file.write_text(CLEARS)
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(file.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, str(file)], env=os.environ | settings, cwd=home, capture_output=True, text=True, timeout=300
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    assert lines, done.stdout + done.stderr
    return dict(json.loads(lines[0].removeprefix("SEEN ")))


class TestClear:
    def test_every_clear_adds_one_to_clear_number(self, seen: Any) -> None:
        """Whether the run had ended, or ran."""
        assert [seen[when]["clear_number"] for when in ("failed", "cleared", "running", "restarting")] == [0, 1, 1, 2]

    def test_every_clear_moves_queued_at(self, seen: Any) -> None:
        assert seen["failed"]["queued_at"] != seen["cleared"]["queued_at"] < seen["restarting"]["queued_at"]

    def test_a_clear_queues_a_run_that_had_ended_and_no_other(self, seen: Any) -> None:
        assert [seen[when]["run"] for when in ("failed", "cleared", "restarting")] == ["failed", "queued", "running"]

    def test_a_clear_gives_a_task_that_had_ended_another_id(self, seen: Any) -> None:
        assert seen["failed"]["id"] != seen["cleared"]["id"]
        assert seen["cleared"]["task"] is None

    def test_a_running_task_becomes_restarting_and_keeps_its_id_since_3_4(self, seen: Any) -> None:
        assert seen["restarting"]["task"] == "restarting"
        assert (seen["restarting"]["id"] == seen["running"]["id"]) is SINCE_3_4

    def test_the_id_of_a_task_instance_is_a_uuid7(self, seen: Any) -> None:
        """Whose first 48 bits are the time at which it was made."""
        first, second = (UUID(seen[when]["id"]) for when in ("failed", "cleared"))
        assert (first.version, second.version) == (7, 7)
        assert first.int >> 80 <= second.int >> 80

    def test_airflows_function_leaves_the_commit_to_its_caller(self, seen: Any) -> None:
        assert [seen[when]["before_the_commit"] for when in ("cleared", "restarting")] == [0, 1]

    def test_its_body(self) -> None:
        from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunClearBody
        from pydantic import ValidationError

        fields = DAGRunClearBody.model_fields
        assert fields["dry_run"].default is True
        assert {"only_failed", "run_on_latest_version"} <= fields.keys()
        assert ({"only_new", "note"} <= fields.keys()) is SINCE_3_3
        with pytest.raises(ValidationError):
            DAGRunClearBody.model_validate({"dry_run": False, "unknown": 1})

    def test_many_runs_are_cleared_by_a_body_since_3_3(self) -> None:
        from airflow.api_fastapi.core_api.routes.public import dag_run

        assert hasattr(dag_run, "clear_dag_runs") is SINCE_3_3

    def test_sqlite_locks_no_row_that_is_read(self) -> None:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select
        from sqlalchemy.dialects import sqlite

        assert "FOR UPDATE" not in str(select(DagRun.id).with_for_update().compile(dialect=sqlite.dialect()))


class TestRestApi:
    def test_a_run_has_queued_at_and_no_clear_number(self) -> None:
        from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunResponse

        assert "queued_at" in DAGRunResponse.model_fields
        assert "clear_number" not in DAGRunResponse.model_fields

    def test_a_task_instance_has_its_id(self) -> None:
        from airflow.api_fastapi.core_api.datamodels.task_instances import TaskInstanceResponse

        assert {"id", "try_number", "map_index", "state"} <= TaskInstanceResponse.model_fields.keys()

    def test_a_note_has_1000_characters_at_most(self) -> None:
        from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunPatchBody
        from pydantic import ValidationError

        assert DAGRunPatchBody(note="x" * 1000).note
        with pytest.raises(ValidationError):
            DAGRunPatchBody(note="x" * 1001)

    def test_a_line_of_the_audit_log_is_named_after_the_endpoint(self) -> None:
        from airflow.api_fastapi.core_api.routes.public import dag_run, task_instances
        from airflow.api_fastapi.logging import decorators

        from dag_retry._airflow.audit_log import STATES_SET, STATES_SET_IN_BULK

        assert 'request.scope["endpoint"].__name__' in source(decorators)
        endpoints = {*vars(dag_run), *vars(task_instances)}
        assert {name for name in STATES_SET if name not in endpoints} <= {"patch_task_group_instances"}
        assert (STATES_SET_IN_BULK in endpoints) is SINCE_3_3

    def test_ids_in_the_audit_log_have_250_characters_at_most(self) -> None:
        from airflow.models.log import Log

        assert [Log.__table__.c[name].type.length for name in ("dag_id", "run_id")] == [250, 250]

    def test_states_of_a_task_that_has_ended(self) -> None:
        from airflow.utils.state import State

        from dag_retry._airflow.api import _ENDED

        assert {str(state.value) for state in State.finished} == _ENDED


class TestDags:
    @pytest.mark.parametrize("dag_id", ["..", "a.b-c_1", "ü"])
    def test_a_dag_id_may_be_two_dots(self, dag_id: str) -> None:
        from airflow.sdk import DAG

        assert DAG(dag_id, schedule=None).dag_id == dag_id

    @pytest.mark.parametrize("dag_id", ["a:b", "a/b", "a b", ""])
    def test_a_dag_id_holds_no_colon(self, dag_id: str) -> None:
        """So the first colon of a member of ``due`` ends the dag_id."""
        from airflow.sdk import DAG

        with pytest.raises(ValueError, match=r"."):
            DAG(dag_id, schedule=None)

    def test_a_file_without_the_words_dag_and_airflow_is_not_read(self, tmp_path: Path) -> None:
        from airflow.configuration import conf
        from airflow.utils.file import might_contain_dag

        arguments: dict[str, Any] = {"safe_mode": True, "conf": conf}
        takes = inspect.signature(might_contain_dag).parameters
        arguments = {name: value for name, value in arguments.items() if name in takes}
        file = tmp_path / "file.py"
        for text, read in (("airflow dag", True), ("dag_retry", False), ("airflow", False)):
            file.write_text(text)
            assert might_contain_dag(str(file), **arguments) is read

    def test_the_rules_that_pass_failure_on(self) -> None:
        from airflow.sdk import TriggerRule

        from dag_retry._policy.lost_runs import _PASS_FAILURE_ON

        assert set(_PASS_FAILURE_ON) <= {rule.value for rule in TriggerRule}
        assert {rule.value for rule in TriggerRule} - set(_PASS_FAILURE_ON) == {
            "all_done",
            "all_done_min_one_success",
            "all_done_setup_success",
            "all_failed",
            "all_skipped",
            "always",
            "none_skipped",
            "one_done",
            "one_failed",
            "one_success",
        }

    def test_what_only_3_4_has(self) -> None:
        from airflow.models.dag import DagModel
        from airflow.models.taskinstance import TaskInstance

        assert hasattr(DagModel, "is_draining") is SINCE_3_4
        assert hasattr(TaskInstance, "working_set") is SINCE_3_4


class TestCallbacks:
    def test_the_reasons_of_a_dag_level_callback(self) -> None:
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.models.dagrun import DagRun

        from dag_retry._airflow.options import REASONS

        given = re.findall(r'reason="(\w+)"', source(DagRun.update_state))
        given += re.findall(r'reason="(\w+)"', source(SchedulerJobRunner))
        assert set(given) == {*REASONS, "success"}

    def test_a_worker_sets_the_state_before_it_calls_back(self) -> None:
        from airflow.sdk.execution_time import task_runner

        assert "ti.state = " in source(task_runner.run)
        assert "on_failure_callback" in source(task_runner.finalize)

    @pytest.mark.parametrize(
        ("section", "key", "seconds"),
        [
            ("core", "task_success_overtime", 20),
            ("dag_processor", "dag_file_processor_timeout", 50),
            ("core", "default_task_retry_delay", 300),
            ("scheduler", "scheduler_heartbeat_sec", 5),
        ],
    )
    def test_time_limits(self, section: str, key: str, seconds: int) -> None:
        from airflow.sdk.configuration import conf

        assert float(conf.get(section, key)) == seconds

    def test_a_run_that_is_tried_out_says_so(self) -> None:
        from airflow.sdk import DAG
        from airflow.sdk.execution_time import supervisor

        assert 'triggering_user_name="dag_test"' in source(DAG.test)
        assert supervisor.InProcessSupervisorComms.__name__ == "InProcessSupervisorComms"

    def test_what_a_callback_can_reach(self) -> None:
        from airflow.sdk import BaseHook, Connection, Variable
        from airflow.sdk._shared.secrets_masker import redact
        from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError
        from airflow.sdk.log import mask_secret
        from airflow.sdk.observability.stats import Stats

        reached: list[Callable[..., Any]] = [Connection.get, Variable.get, Variable.set, Variable.delete]
        reached += [BaseHook.get_connection, redact, mask_secret, Stats.incr, Stats.timing]
        assert all(callable(each) for each in reached)
        assert issubclass(AirflowFailException, Exception)
        assert issubclass(AirflowRuntimeError, Exception)


class TestSupervisor:
    """The clear without credentials."""

    def test_its_messages(self) -> None:
        from airflow.sdk.execution_time import comms

        asked = {
            "TriggerDagRun": {"dag_id", "run_id", "reset_dag_run"},
            "GetDagRun": {"dag_id", "run_id"},
            "GetDag": {"dag_id"},
            "GetTaskStates": {"dag_id", "map_index", "task_ids", "run_ids"},
        }
        for message, fields in asked.items():
            assert fields <= getattr(comms, message).model_fields.keys(), message
        assert {"state", "clear_number"} <= comms.DagRunResult.model_fields.keys()
        assert "is_paused" in comms.DagResult.model_fields
        assert "task_states" in comms.TaskStatesResult.model_fields

    def test_the_dag_processor_answers_none_of_those_that_clear_or_look(self) -> None:
        """A message that it does not know hangs the callback until the process is killed."""
        from airflow.dag_processing.processor import ToManager

        known: set[str] = set()

        def collect(kind: Any) -> None:
            for each in get_args(kind) or [getattr(kind, "__value__", None)]:
                known.add(getattr(each, "__name__", ""))
                if get_args(each) or hasattr(each, "__value__"):
                    collect(each)

        collect(ToManager)
        assert "GetTaskStates" in known
        assert not known & {"TriggerDagRun", "GetDagRun", "GetDag", "GetDagRunState"}

    def test_the_context_has_the_generation(self) -> None:
        from airflow.sdk.api.datamodels._generated import DagRun

        assert DagRun.model_fields["clear_number"].default == 0

    def test_the_sdk_repeats_a_request_that_failed(self) -> None:
        """So a clear without credentials may be made twice."""
        from airflow.sdk.api import client

        http: Any = vars(client).get("httpx2") or vars(client)["httpx"]
        assert client._should_retry_api_request(http.ConnectError("away"))
        assert "retry=retry_if_exception(_should_retry_api_request)" in source(client.Client)
        assert "retry=False" not in source(client.DagRunOperations.trigger)


def test_airflow_3_2_is_task_sdk_1_2() -> None:
    sdk = Version(version("apache-airflow-task-sdk"))
    assert (sdk.major, sdk.minor, sdk.micro) == (AIRFLOW.major - 2, AIRFLOW.minor, AIRFLOW.micro)
