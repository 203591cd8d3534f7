"""A sweeper without credentials, whose task has a supervisor: one run that can't be cleared stops no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse

from dag_retry import ApiUnanswered, ApiUnusable, AttemptCounter, ConfigError, FailedTry, RunRecord
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback.holder import process_name
from dag_retry._redis.overview import Overview
from dag_retry.sweeper.sweeper import Sweeper

RUNS = ("first", "second", "third")
FAILED_TRY = FailedTry("load", -1, "try-0", "TimeoutError")


class Supervisor:
    """Answers the messages of a task as Airflow's supervisor does. Runs have failed until they are cleared.

    :ivar refused: what Airflow's execution API answers about a run, or about everything (``None``).
    """

    def __init__(self) -> None:
        self.cleared: list[str] = []
        self.refused: dict[str | None, int] = {}

    def send(self, message: Any) -> Any:
        run_id = getattr(message, "run_id", None) or next(iter(getattr(message, "run_ids", None) or []), None)
        if status := self.refused.get(None) or self.refused.get(run_id):
            detail = {"status_code": status}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        answer: dict[str, Callable[[], Any]] = {
            "GetDag": lambda: SimpleNamespace(is_paused=False),
            "GetDagRun": lambda: SimpleNamespace(clear_number=self.cleared.count(str(run_id)), state="failed"),
            "GetTaskStates": lambda: SimpleNamespace(task_states={run_id: {"load": "failed"}}),
            "TriggerDagRun": lambda: self.cleared.append(str(run_id)),
        }
        return answer[type(message).__name__]()


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def sweeper(client: Any, deploy: Any, supervisor: Supervisor) -> Sweeper:
    """A sweeper for which three runs are due."""
    deploy(redis=client)
    counter, now = AttemptCounter(client), Overview(client).now()
    for place, run_id in enumerate(RUNS):
        counter.claim(
            "daily_load", run_id, generation=0, max_attempts=2, delays=[timedelta(hours=1)], failed_try=FAILED_TRY
        )
        client.hset(f"{{dag-retry}}:v1:run:daily_load:{run_id}", "due_at", "1")
        client.zadd("{dag-retry}:v1:active", {f"daily_load:{run_id}": now - len(RUNS) + place})
    return Sweeper(client, Airflow(Deadline(2)))


def waits(client: Any, run_id: str) -> tuple[str, str, int]:
    """How a run stands: its status, the reason, and for how many minutes it waits."""
    overview = Overview(client)
    found = overview.run("daily_load", run_id)
    assert isinstance(found, RunRecord)
    return found.status.value, found.reason, round((found.due_at - overview.now()) / 60_000)


def test_one_run_that_is_never_cleared(sweeper: Sweeper, supervisor: Supervisor, client: Any) -> None:
    supervisor.refused["first"] = 500
    sweeper.sweep()
    assert supervisor.cleared == ["second", "third"]
    assert waits(client, "first") == ("waiting", "unanswered", 1)
    for minutes in (2, 4):
        client.hset("{dag-retry}:v1:run:daily_load:first", "due_at", "1")
        client.zadd("{dag-retry}:v1:active", {"daily_load:first": Overview(client).now()})
        sweeper.sweep()
        assert waits(client, "first") == ("waiting", "unanswered", minutes)


@pytest.mark.parametrize(("status", "error", "fault"), [(500, ApiUnanswered, "api_away"), (403, ApiUnusable, "login")])
def test_nothing_is_cleared_while_the_way_is_broken(
    sweeper: Sweeper, supervisor: Supervisor, client: Any, status: int, error: type[Exception], fault: str
) -> None:
    supervisor.refused[None] = status
    with pytest.raises(error):
        sweeper.sweep()
    heartbeat = Overview(client).heartbeat()
    assert (heartbeat and heartbeat.fault, supervisor.cleared) == (fault, [])
    assert waits(client, "first") == ("waiting", fault, 1)
    supervisor.refused.clear()
    sweeper.sweep()
    assert supervisor.cleared == ["second", "third"]  # the first waits for its minute


def test_a_dag_that_airflow_does_not_know_is_an_answer(sweeper: Sweeper, supervisor: Supervisor) -> None:
    supervisor.refused[None] = 404
    sweeper.way.check()


def test_its_heartbeat_names_the_dag(sweeper: Sweeper, client: Any) -> None:
    """So that a person is told to unpause this Dag, where it has stopped."""
    sweeper.way.check()
    heartbeat = Overview(client).heartbeat()
    assert heartbeat
    assert heartbeat.holder == f"Dag dag_retry_sweeper, {process_name()}"


def test_a_setting_that_is_wrong_is_a_fault_of_the_dag(sweeper: Sweeper, client: Any, deploy: Any) -> None:
    """The Dag runs again in a minute, so it is a sweeper, though none that can begin."""
    deploy(api_username="retry")
    with pytest.raises(ConfigError):
        sweeper.way.check()
    heartbeat = Overview(client).heartbeat()
    assert heartbeat
    assert heartbeat.fault == "config"
