"""The reason codes of records, events and outcomes, each with its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dag_retry._types import RunRecord


class Reason(NamedTuple):
    """What a reason code means.

    :param text: why, as a clause; empty if the status or the event says it all.
    :param remedy: what a person can do, as sentences; empty if nothing need be done.
    """

    text: str
    remedy: str = ""


_CLEAR = "Fix the cause, then clear the run by hand."
_GOES_ON = "Then a sweeper clears the runs that wait."

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
    "perhaps_restarting": Reason(
        "Airflow did not say whether the task begins a new try: the Dag level or a sweeper claims a failure of the run"
    ),
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
    "config": Reason("a setting or the retry policy is not usable", f"Correct it. {_GOES_ON}"),
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
    "sweeper_failed": Reason("a hook of the section, or the sweeper, failed", "Read the sweeper's log."),
    # The run was deleted.
    "gone": Reason("the run was deleted"),
    # The way to Airflow is broken, and no run is the cause.
    "login": Reason(
        "Airflow refused the login or the token",
        f"Correct the credentials: api_username and api_password, api_token, or the client's. {_GOES_ON}",
    ),
    "tls": Reason(
        "there is no trusted TLS connection to Airflow's API",
        f"Renew the API's certificate, or name its CA's file as api_ca_file. {_GOES_ON}",
    ),
    "redirect": Reason(
        "Airflow's API answered with a redirect, perhaps to a login page",
        f"Set api_url to Airflow's own address, not to that of a proxy before it. {_GOES_ON}",
    ),
    "not_airflow": Reason(
        "what answers at api_url is not Airflow's API",
        f"Correct api_url, or the proxy or ingress that answers there. {_GOES_ON}",
    ),
    "connection": Reason(
        "the Airflow Connection that api_conn_id names can't be had",
        f"See that it is there, and that Airflow's API server runs. {_GOES_ON}",
    ),
    "api_away": Reason(
        "Airflow's API does not answer",
        f"See that Airflow's API server runs, and that sweepers reach api_url. {_GOES_ON}",
    ),
    # Airflow gave no clear answer about one run. A sweeper asks again, after growing pauses.
    "unanswered": Reason(
        "Airflow gave no clear answer", "A sweeper asks again. If that lasts, read the log of Airflow's API server."
    ),
    "clear_in_progress": Reason(
        "the clear was sent, and its answer did not come in time",
        "A sweeper looks at the run again when the claim's lease is over.",
    ),
    # Airflow refused the clear of this run.
    "http_403": Reason("the user may not edit runs of this Dag (HTTP 403)", _CLEAR),
    "http_404": Reason("Airflow does not know this run (HTTP 404)"),
    "http_422": Reason("Airflow calls the request for this run wrong (HTTP 422)", _CLEAR),
    "unsafe_id": Reason("an id of the run fits no path of Airflow's API", "Airflow 3.3 can clear it: upgrade Airflow."),
    # Nobody claimed the failure.
    "no_callback": Reason("the run failed, and no callback claimed that failure", _CLEAR),
}


SETTLED = frozenset({"settled_by_hand", "run_succeeded"})
"""A run that is skipped for one of these needs no human."""


def reason_of(code: str, *, skipped: bool = False) -> Reason:
    """Return what a reason code means.

    :param code: the code; another version may have written one that is not known here.
    :param skipped: whether the run is skipped for this reason, so that no sweeper clears it.
    """
    if skipped and code == "config":
        return Reason(REASONS[code].text, "Correct it, then clear the run by hand.")
    if code in REASONS:
        return REASONS[code]
    if code.startswith("http_5"):
        status = code.removeprefix("http_")
        return Reason(f"Airflow's API failed at this run (HTTP {status})", REASONS["unanswered"].remedy)
    if code.startswith("http_"):
        return Reason(f"Airflow's API answered HTTP {code.removeprefix('http_')}", _CLEAR)
    if code.startswith("already_"):
        return Reason(f"this generation is {code.removeprefix('already_')} already")
    return Reason(code.replace("_", " "))


def reason_of_run(record: RunRecord) -> Reason:
    """Return why a run stands as it does, which log says more, and what a person can do about this run.

    :param record: the record of the run.
    """
    text, remedy = reason_of(record.reason, skipped=record.status == "skipped")
    if record.reason == "config":
        text = f"{text}: see {_log_of(record)}"
    if record.was_reset and record.status in ("exhausted", "blocked", "skipped"):
        text = "; ".join(filter(None, (text, "its attempts were reset since")))
    return Reason(text, remedy)


def _log_of(record: RunRecord) -> str:
    """Return which log tells of the last failure of a run."""
    if record.level == "sweeper":
        return "the log of the sweeper"
    task_id, map_index, _, error = record.failed_try
    # A callback of the Dag knows no exception. If it takes over from a task, the exception of the task stays.
    if not task_id or (record.level == "dag" and error in ("", "task_failure", "timed_out", "all_tasks_deadlocked")):
        return "the log of the dag processor for the file of the Dag"
    return f"the log of task {task_id}{f'[{map_index}]' if map_index >= 0 else ''}, of its last try"
