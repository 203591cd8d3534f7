"""Hazards of a Dag that Airflow's API tells: how its runs and tasks follow one another, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from dag_retry._airflow.client import ALL, ApiClient, JsonObject, moment
from dag_retry._errors import ApiRefused
from dag_retry._retry import Level
from dag_retry.cli.doctor.dag.shape import Shape, named, said_of
from dag_retry.cli.doctor.finding import Finding
from dag_retry.cli.output import duration

_RECENT = timedelta(days=1)
_PAGE = 100


def structure(
    details: JsonObject,
    tasks: list[JsonObject],
    shape: Shape,
    level: Level | None,
    *,
    at_once: bool,
) -> Iterator[Finding]:
    """Yield the findings that the Dag's details and its tasks tell.

    :param details: what Airflow's API tells of the Dag.
    :param tasks: what Airflow's API tells of the Dag's tasks.
    :param shape: the Dag's shape.
    :param level: the level; None if unknown.
    :param at_once: whether a task that clears its own run starts again at once, without its ``retry_delay``.
    """
    dag_id = str(details["dag_id"])
    yield from _waits_for_past(dag_id, details, tasks)
    yield from _narrow(dag_id, details, shape, level)
    yield from _own_retries(tasks, level, at_once=at_once)


def asked(client: ApiClient, details: JsonObject, shape: Shape) -> Iterator[Finding]:
    """Yield the findings for which Airflow's API is asked: about assets, backfills and runs.

    :param client: a client of Airflow's API.
    :param details: what Airflow's API tells of the Dag.
    :param shape: the Dag's shape.
    """
    dag_id = str(details["dag_id"])
    yield from _allowed("assets", lambda: _assets(client, dag_id, shape))
    yield from _allowed("backfills", lambda: _backfills(client, dag_id))
    yield from _allowed("Params", lambda: _params(client, dag_id, details))


def _allowed(check: str, find: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check that this user may not have the right for."""
    try:
        yield from find()
    except ApiRefused as refusal:
        yield Finding(check, "unknown", str(refusal), "let this user read them, or run doctor as an administrator")


def _waits_for_past(dag_id: str, details: JsonObject, tasks: list[JsonObject]) -> Iterator[Finding]:
    """Find runs that wait for each other for ever."""
    if details.get("max_active_runs") == 1 and any(task.get("depends_on_past") for task in tasks):
        yield Finding(
            "depends_on_past",
            "warning",
            f"{dag_id} has max_active_runs=1: a run cleared after its end and the next run wait for each other",
            "set max_active_runs to 2 or more; until then only a task-level clear without a delay retries its runs",
        )


def _narrow(dag_id: str, details: JsonObject, shape: Shape, level: Level | None) -> Iterator[Finding]:
    """Find branches that fail one after another, of which each takes an attempt."""
    most, width = details.get("max_active_tasks"), shape.width()
    if level != "dag" and isinstance(most, int) and most < width:
        yield Finding(
            "max_active_tasks",
            "warning",
            f"{dag_id} has {width} tasks side by side and runs {most} at once: branches may fail one after another",
            f'attach level="dag": one attempt for all of them, where level="{level or "both"}" takes one for each',
        )


def _own_retries(tasks: list[JsonObject], level: Level | None, *, at_once: bool) -> Iterator[Finding]:
    """Find tasks that retry themselves before the Dag does, and tasks that wait before they start again."""
    retrying = {task["task_id"] for task in tasks if (task.get("retries") or 0) > 0}
    hasty = {task["task_id"] for task in tasks if not _length(task.get("retry_delay"))}
    if retrying:
        hurried = named(retrying & hasty)
        yield Finding(
            "retries",
            "note",
            f"{named(retrying)}: tries of {'its' if len(retrying) == 1 else 'their'} own come first in each attempt"
            + (f"; those of {hurried} without a pause (retry_delay 0, as dag_args sets it)" if hurried else ""),
            "set retries=0 where the Dag's attempts are enough" + (", else a retry_delay" if hurried else ""),
        )
    late = {task["task_id"]: _length(task.get("retry_delay")) for task in tasks if task["task_id"] not in hasty}
    if not at_once and level in ("both", "task") and late:
        yield Finding(
            "retry_delay",
            "warning",
            f"{said_of(late, 'starts', 'start')} up to {duration(int(max(late.values()) * 1000))} late in an attempt: "
            "a task that clears its own run waits its retry_delay",
            'set retry_delay=timedelta(0) in default_args, or attach level="dag"',
        )


def _assets(client: ApiClient, dag_id: str, shape: Shape) -> Iterator[Finding]:
    """Find assets that other Dags run on, and that a retried run updates again."""
    found = client.items(client.get("assets", query={"dag_ids": dag_id, "limit": _PAGE}), "assets")
    producers: dict[str, set[str]] = {}
    for asset in found:
        for task in asset.get("producing_tasks") or ():
            if task.get("dag_id") == dag_id and asset.get("scheduled_dags") and shape.is_repeated(task["task_id"]):
                producers.setdefault(task["task_id"], set()).update(each["dag_id"] for each in asset["scheduled_dags"])
    if producers:
        yield Finding(
            "assets",
            "warning",
            f"{named(producers)} may succeed in a run that fails, and then each attempt updates the asset again: "
            f"{said_of(set().union(*producers.values()), 'runs', 'run')} each time",
            "give the asset to one last task, after all that may fail, or let those Dags bear a repetition",
        )


def _backfills(client: ApiClient, dag_id: str) -> Iterator[Finding]:
    """Find backfills whose failed runs Airflow would not run again.

    Airflow starts no queued run of a paused backfill (``DagRun.get_queued_dag_runs_to_set_running``), and pauses a
    backfill that is cancelled. A backfill that completed by itself is not paused.
    """
    found = client.items(
        client.get("backfills", query={"dag_id": dag_id, "limit": _PAGE, "order_by": "-id"}), "backfills"
    )
    paused = [f"backfill {each['id']}" for each in found if each.get("is_paused") and not each.get("completed_at")]
    cancelled = [f"backfill {each['id']}" for each in found if each.get("is_paused") and each.get("completed_at")]
    if paused:
        yield Finding(
            "backfills",
            "warning",
            f"{said_of(paused, 'is', 'are')} paused: Airflow runs nothing of a paused backfill, cleared runs neither",
            "unpause the backfill, and clear by hand what has failed there meanwhile",
        )
    if cancelled and any(run.get("run_type") == "backfill" for run in _runs(client, dag_id, ["running"])):
        yield Finding(
            "backfills",
            "warning",
            f"{said_of(cancelled, 'is', 'are')} cancelled, and a run of a backfill still runs: once cleared, that run "
            "stays queued for ever",
            "make another backfill, with reprocess behavior failed, for what fails of it",
        )


def _params(client: ApiClient, dag_id: str, details: JsonObject) -> Iterator[Finding]:
    """Find runs whose conf violates the Dag's Params as they are now. Before each callback Airflow raises for them."""
    from airflow.sdk import Param
    from airflow.sdk.exceptions import AirflowException

    declared = details.get("params") or {}
    unfit: dict[str, str] = {}
    for run in _runs(client, dag_id, ["queued", "running", "failed"]) if declared else ():
        conf = run.get("conf") or {}
        for name, param in declared.items():
            value = conf.get(name, param.get("value"))
            try:
                Param(schema=param.get("schema") or {}).resolve(value)
            except (AirflowException, ValueError):
                unfit.setdefault(str(run["dag_run_id"]), f"{name}={value!r}")
    if unfit:
        run_id, value = next(iter(unfit.items()))
        more = f" (and {len(unfit) - 1} more)" if len(unfit) > 1 else ""
        yield Finding(
            "Params",
            "warning",
            f"{value} of run {run_id}{more} does not fit the Dag's Params: Airflow calls no Dag-level callback for it, "
            "and each attempt fails",
            "let the Params take what runs were triggered with, or trigger such a run anew",
        )


def _runs(client: ApiClient, dag_id: str, states: list[str]) -> list[JsonObject]:
    """Return the latest runs in these states, without those that ended long ago."""
    asked = {"dag_ids": [dag_id], "states": states, "order_by": "-run_after", "page_limit": _PAGE}
    found = client.items(client.post("dags", ALL, "dagRuns", "list", body=asked), "dag_runs")
    since = datetime.now(timezone.utc) - _RECENT
    return [run for run in found if not (end := run.get("end_date")) or moment(end) > since]


def _length(told: Any) -> float:
    """Return a duration that Airflow's API tells, in seconds."""
    if not isinstance(told, dict):
        return 0.0
    given = {unit: told.get(unit) or 0 for unit in ("days", "seconds", "microseconds")}
    return timedelta(**given).total_seconds()
