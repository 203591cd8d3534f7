"""The way without credentials: the supervisor of a running task clears, with the identity that the task has anyway.

It clears whole runs, and writes no note. Only a process that runs a task may send these messages: the supervisor of
the dag processor never answers them (measured on 3.2.2 and 3.3.2).
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from dag_retry._airflow.http import UNCERTAIN
from dag_retry._airflow.ways.decision import (
    ALREADY_CLEARED,
    CLEARED,
    GONE,
    Decision,
    Level,
    Seen,
    decide,
)
from dag_retry._errors import ApiRefused, ApiUnanswered, ApiUnusable
from dag_retry._types import Claim

LEFT = Decision("left", "needs_sweeper")


def has_supervisor() -> bool:
    """Return whether a supervisor of Airflow's has started this process."""
    from airflow.sdk.execution_time import task_runner

    return hasattr(task_runner, "SUPERVISOR_COMMS")


def check_supervisor(dag_id: str) -> None:
    """Ask the supervisor something small, and raise if no clear answer comes.

    :param dag_id: a Dag. That Airflow does not know the Dag is a clear answer too.
    :raises ApiUnusable: the API server refused the task's token.
    :raises ApiUnanswered: the API server gave no clear answer.
    """
    with suppress(ApiRefused):
        _send("GetDag", dag_id=dag_id)


class SupervisorWay:
    """Clears by the supervisor of the task that this process runs. The Dag level leaves the clear to a sweeper."""

    def look(self, claim: Claim, level: Level) -> Decision:
        """See :meth:`Way.look`. The supervisor gives the run's ``clear_number``, and no id of a try."""
        if level == "dag":
            return LEFT
        run = _dag_run(claim)
        if run is None:
            return GONE
        if run.clear_number != claim.generation:
            return ALREADY_CLEARED
        if _send("GetDag", dag_id=claim.dag_id).is_paused:
            return Decision("hopeless", "dag_paused")
        return decide(Seen(_value(run.state), claim.failed_try.ti_id, _try_state(claim)), claim, level)

    def clear(self, claim: Claim, level: Level, note: str) -> Decision:
        """See :meth:`Way.clear`. If Airflow leaves the run failed, this clears the run once more, and that counts.

        A run that has failed again meanwhile, or that a person has stopped, is none: its failed try has ended.
        """
        _send("TriggerDagRun", dag_id=claim.dag_id, run_id=claim.run_id, reset_dag_run=True)
        run = _dag_run(claim)
        left_failed = run is not None and (run.clear_number, _value(run.state)) == (claim.generation + 1, "failed")
        if left_failed and _try_state(claim) in ("", "restarting"):
            _send("TriggerDagRun", dag_id=claim.dag_id, run_id=claim.run_id, reset_dag_run=True)
        return CLEARED


def _dag_run(claim: Claim) -> Any:
    """Return the claim's run; None if Airflow says that the run does not exist."""
    try:
        return _send("GetDagRun", dag_id=claim.dag_id, run_id=claim.run_id)
    except ApiRefused as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _try_state(claim: Claim) -> str:
    """Return the state of the failed try."""
    failed_try = claim.failed_try
    answer = _send(
        "GetTaskStates",
        dag_id=claim.dag_id,
        map_index=failed_try.map_index if failed_try.map_index >= 0 else None,
        task_ids=[failed_try.task_id],
        run_ids=[claim.run_id],
    )
    # The key of a mapped task's state is `<task_id>_<map_index>` (`get_task_instance_states` of the execution API).
    states: dict[str, Any] = answer.task_states.get(claim.run_id) or {}
    return _value(next(iter(states.values()), None))


def _value(state: Any) -> str:
    """Return a state as a text; empty if there is none."""
    return str(getattr(state, "value", state) or "")


def _send(message: str, **fields: Any) -> Any:
    """Send a message to the supervisor, and return its answer.

    :param message: the class of the message, in ``airflow.sdk.execution_time.comms``.
    :param fields: the message's fields.
    :raises ApiRefused: the API server refused.
    :raises ApiUnusable: the API server refused the task's token.
    :raises ApiUnanswered: the API server gave no clear answer.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import comms, task_runner

    try:
        return task_runner.SUPERVISOR_COMMS.send(getattr(comms, message)(**fields))
    except AirflowRuntimeError as error:
        status = (error.error.detail or {}).get("status_code") or 0
        said = f"{message} of Dag {fields['dag_id']!r} was answered {status or error.error.error.value}"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ApiUnusable(f"{said} by Airflow's execution API", reason="login", status=status) from error
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in UNCERTAIN:
            raise ApiRefused(f"{said} by Airflow's execution API", reason=f"http_{status}", status=status) from error
        raise ApiUnanswered(f"{said} by the task's supervisor", status=status or None) from error
