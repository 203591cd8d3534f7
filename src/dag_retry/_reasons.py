"""The reason codes of records, events and outcomes, each with its meaning."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What a reason code means.

    :param text: why, as a clause; empty if the status or the event says it all.
    :param remedy: what a person can do, as sentences; empty if nothing need be done.
    """

    text: str
    remedy: str = ""


_CLEAR = "Fix the cause, then clear the run by hand."

REASONS = {
    # A claim that was won, and what became of it.
    "claimed": Reason(""),
    "fresh_budget": Reason("a person cleared the run after its budget had ended: a fresh budget"),
    "taken_over": Reason("the holder of the claim died before its clear was confirmed"),
    "due": Reason("its delay is over"),
    "cleared": Reason(""),
    "already_cleared": Reason("somebody else had cleared the run already"),
    "replaced": Reason("Airflow has given the task a new try without a clear"),
    "withdrawn": Reason("the claimed failure was none"),
    "succeeded": Reason(""),
    # A callback that claims nothing.
    "task_retries_left": Reason("Airflow retries the task itself"),
    "teardown": Reason("the failure of a teardown does not fail the run"),
    "test": Reason("dag.test() or `airflow tasks test` runs it, and neither Redis nor Airflow's API is asked"),
    "restarting": Reason("the run was cleared meanwhile, and the task begins a new try"),
    "left_to_dag_level": Reason("the Dag-level callback claims the failure, if the run fails"),
    "unknown_try": Reason("Airflow does not tell the callback which try failed"),
    "error": Reason("the callback failed before its claim: see its log", _CLEAR),
    # A claim that was lost.
    "stale": Reason("the failure is of an earlier generation"),
    # Every attempt is used.
    "max_attempts": Reason("every attempt of the budget failed", _CLEAR),
    "generation": Reason("Airflow has cleared the run as often as attempts are allowed, by hand too", _CLEAR),
    "audit_log": Reason("Airflow's audit log holds as many clears of ours as attempts are allowed", _CLEAR),
    "max_elapsed": Reason("the next attempt would begin later than max_elapsed allows", _CLEAR),
    # The failure is not retried.
    "exception_not_retryable": Reason(
        "retry_on or give_up_on excludes the exception, or the task raised AirflowFailException"
    ),
    "task_not_retryable": Reason("task_ids does not name the failed task"),
    "reason_not_retryable": Reason("reasons does not name Airflow's reason"),
    "retry_if": Reason("retry_if returned false"),
    "disabled": Reason("enabled is false for this run"),
    "config": Reason("a setting or the retry policy is not usable: see the callback's log", _CLEAR),
    "settled_by_hand": Reason("a person has set the state of the run, or of the failed task"),
    "run_succeeded": Reason("the run succeeded, although a task of it failed"),
    "backfill_ended": Reason(
        "the backfill of the run is paused or completed, and Airflow runs nothing of it",
        "Unpause the backfill, or make another one.",
    ),
    "dag_draining": Reason(
        "the Dag is draining: Airflow pauses it once no run is unfinished",
        "Unpause the Dag, then clear the run by hand.",
    ),
    "dag_paused_by_failures": Reason(
        "max_consecutive_failed_dag_runs has paused the Dag",
        "Fix the cause and unpause the Dag. Then a sweeper clears the run.",
    ),
    "depends_on_past": Reason(
        "max_active_runs is 1 and tasks have depends_on_past: a run that is cleared after its end waits for the next "
        "run, which waits for it",
        "Set max_active_runs to 2 or more, then clear the run by hand.",
    ),
    "newer_run_succeeded": Reason("a newer run of the Dag has succeeded (skip_if_newer_run)"),
    "cancelled": Reason("a person cancelled the retry"),
    "by_hand": Reason("a person cleared the run by the command line"),
    # The run can't be cleared now. A sweeper takes it later.
    "dag_paused": Reason(
        "the Dag is paused, and Airflow runs nothing of it", "Unpause the Dag. Then a sweeper clears the run."
    ),
    "needs_sweeper": Reason(
        "no credentials are set, and without them only a task can clear the run",
        "A run of the sweeper's Dag clears it: see that this Dag is there, and not paused.",
    ),
    # The run was deleted.
    "gone": Reason("the run was deleted"),
    # Airflow, or what answers at its address, refused the clear.
    "http_401": Reason("Airflow refused the login (HTTP 401)", _CLEAR),
    "http_403": Reason("the user may not edit runs of this Dag (HTTP 403)", _CLEAR),
    "http_404": Reason("Airflow does not know this run (HTTP 404)"),
    "not_airflow": Reason("what answered at the API's address is not Airflow", _CLEAR),
    "tls": Reason("there is no trusted TLS connection to Airflow's API", _CLEAR),
    "unsafe_id": Reason("an id of the run fits no path of Airflow's API", "Airflow 3.3 can clear it: upgrade Airflow."),
    # Nobody claimed the failure.
    "no_callback": Reason("the run failed, and no callback claimed that failure", _CLEAR),
}


SETTLED = frozenset({"settled_by_hand", "run_succeeded"})
"""A run that is skipped for one of these needs no human."""


def reason_of(code: str) -> Reason:
    """Return what a reason code means.

    :param code: the code; another version may have written one that is not known here.
    """
    if code in REASONS:
        return REASONS[code]
    if code.startswith("http_"):
        return Reason(f"Airflow's API answered HTTP {code.removeprefix('http_')}", _CLEAR)
    if code.startswith("already_"):
        return Reason(f"this generation is {code.removeprefix('already_')} already")
    return Reason(code.replace("_", " "))
