"""Checks of Airflow: its address, version and health, our login and rights, and the time that a callback has."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.client import ApiClient, moment
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.tested import TESTED_TEXT, untested
from dag_retry._airflow.ways.atomic import ROUTE
from dag_retry._callback.time_budget import time_budget
from dag_retry._errors import ApiError, ApiUnanswered, ApiUnusable, ConfigError
from dag_retry.cli.doctor.dag import examine as dag
from dag_retry.cli.doctor.dag.missing import missing
from dag_retry.cli.doctor.finding import LOGIN, Finding

_OLDEST = (3, 2)
_SECONDS = 30.0
# The scheduler sends a heartbeat every 5 s ([scheduler] scheduler_heartbeat_sec), and is healthy for 30 s after one.
_AHEAD, _BEHIND = 30.0, 60.0
# A clear on SQLite may take 5 s under load (measured).
_SLOW_CLEAR = 5.0
_WAY = "way to clear"


def examine(dag_id: str | None, redis_now: int | None, start: str) -> Iterator[Finding]:
    """Yield the findings about Airflow, and about a Dag.

    :param dag_id: the Dag; None if the user named none.
    :param redis_now: Redis's time, in ms; None if unknown.
    :param start: how to start a sweeper; empty if one runs, or if Redis can't tell.
    """
    yield _time_left()
    try:
        if not settings.has_credentials():
            yield Finding(
                _WAY,
                "warning",
                "no credentials: task-level callbacks clear by their supervisor; the sweeper's Dag clears all else",
                f"put the sweeper's Dag among your Dags (dag_retry.sweeper.sweeper_dag()); or {LOGIN}",
            )
            if dag_id is not None:
                yield from dag.examine_here(dag_id, start)
            return
        where = settings.api()
    except (ConfigError, ApiUnusable) as error:
        yield Finding("Airflow's API", "fault", "its settings are wrong", str(error))
        return
    with ApiClient(where, Deadline(_SECONDS)) as client:
        try:
            version = str(client.get_public("version").get("version"))
            yield _version(version)
            health = client.get_public("monitor", "health")
        except ApiUnanswered as error:
            remedy = "see that it runs, that api_url is right, and that this host can reach it"
            yield Finding("Airflow's API", "fault", str(error), remedy)
            return
        except ApiError as error:
            remedy = "set api_url to the address of an Airflow 3: older ones have no /api/v2"
            yield Finding("Airflow's API", "fault", str(error), remedy)
            return
        yield from _health(health, redis_now)
        try:
            client.get("dags", query={"limit": 1})
        except ApiError as error:
            yield _no_login(error, where)
            return
        yield _way(client)
        yield Finding("login", "ok", f"as {where.username or where.client_id or 'the owner of the token'}")
        if dag_id is None:
            yield Finding("permission to clear", "unknown", "no Dag was named", "name one: dag-retry doctor DAG_ID")
            return
        try:
            yield from dag.examine(client, dag_id, dag.numbers(version), start)
        except ApiError as error:
            yield missing(client, dag_id, error)


def _time_left() -> Finding:
    check = "a callback's time"
    limit = sdk.task_limit()
    ours = time_budget(limit)
    found = f"{ours:.3g} s of the {limit:.3g} s that Airflow leaves a failed task ([core] task_success_overtime here)"
    remedy = "raise AIRFLOW__CORE__TASK_SUCCESS_OVERTIME to 20 wherever tasks run"
    if ours > limit:
        return Finding(check, "fault", f"{found}: Airflow kills a callback before it ends", remedy)
    if ours < 2 * _SLOW_CLEAR:
        return Finding(check, "warning", f"{found}: a slow clear is left to the Dag level", remedy)
    return Finding(check, "ok", found)


def _way(client: ApiClient) -> Finding:
    """Tell by which way callbacks clear runs."""
    try:
        answer = client.get_from(ROUTE)
    except ApiError:
        return Finding(
            _WAY,
            "warning",
            "REST: between a look and the clear, a tenth of a second remains",
            "install airflow-dag-retry where the API server runs: its route clears atomically",
        )
    if answer.get("ready") is True:
        return Finding(_WAY, "ok", "atomic: one transaction decides and clears")
    return Finding(
        _WAY,
        "warning",
        f"REST: the route in the API server does not know this Airflow: {answer.get('why_not')}",
        "upgrade airflow-dag-retry where the API server runs",
    )


def _version(version: str) -> Finding:
    if dag.numbers(version) < _OLDEST:
        why = "before 3.2 a clear does not always change clear_number, and an old failure can look like a new one"
        return Finding("Airflow version", "fault", version, f"upgrade it to 3.2 or newer: {why}")
    if how := untested(version):
        remedy = f"tested with {TESTED_TEXT}: " + (
            "upgrade Airflow" if how == "older" else "look for a newer airflow-dag-retry, or try a failing Dag first"
        )
        return Finding("Airflow version", "warning", f"{version}, {how} than all that were tested", remedy)
    return Finding("Airflow version", "ok", f"{version} (tested with {TESTED_TEXT})")


def _health(health: dict[str, Any], redis_now: int | None) -> Iterator[Finding]:
    scheduler = health.get("scheduler") or {}
    for name in ("scheduler", "dag_processor"):
        state = (health.get(name) or {}).get("status")
        if state != "healthy":
            what = "nothing is retried without it" if name == "scheduler" else "it runs Dag-level callbacks"
            yield Finding(name, "warning", f"it is {state}", f"start it: {what}")
    heartbeat = scheduler.get("latest_scheduler_heartbeat")
    if redis_now is None or not heartbeat or scheduler.get("status") != "healthy":
        return
    ahead = moment(heartbeat).timestamp() - redis_now / 1000
    if -_BEHIND <= ahead <= _AHEAD:
        yield Finding("clocks", "ok", "Airflow's and Redis's agree")
    else:
        found = f"Airflow's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Redis's"
        yield Finding("clocks", "fault", found, "set both by NTP: the sweeper compares them to find unclaimed failures")


def _no_login(error: ApiError, where: settings.ApiSettings) -> Finding:
    if where.token and error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        remedy = "the token has expired, or is another Airflow's: set a new api_token, or a user and a password"
    else:
        remedy = "correct api_username and api_password (or your other credentials), and check api_token_path"
    return Finding("login", "fault", str(error), remedy)
