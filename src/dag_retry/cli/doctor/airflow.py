"""Checks of Airflow: reachable, new enough, a login that may clear, and time enough for a callback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback.callbacks import share_of
from dag_retry._errors import ClearRefused, ClearUnconfirmed, ConfigError
from dag_retry._retry import TAG
from dag_retry.cli.doctor.finding import Finding

_OLDEST = (3, 2)
_SECONDS = 30.0
# A heartbeat comes every 5 s ([scheduler] scheduler_heartbeat_sec), and its run is healthy for 30 s.
_AHEAD, _BEHIND = 30.0, 60.0
# A clear on SQLite takes that long under load (measured).
_SLOW_CLEAR = 5.0
_NO_RUN = "dag-retry-doctor"


class _Api(AirflowApi):
    """Looks at more than a retry needs."""

    def get(self, *path: str, **query: int) -> dict[str, Any]:
        return self._call("GET", *path, query=query)

    def get_public(self, *path: str) -> dict[str, Any]:
        """Ask for what needs no login."""
        url = "/".join((self._settings.url, "api", "v2", *path))
        return self._http.send("GET", url).good(f"GET {url}")

    def may_clear(self, dag_id: str) -> bool:
        """Ask whether this user may clear the Dag's runs, by a dry run of one that does not exist.

        Airflow looks at the permission first: 403, else 404 (measured on 3.3.2).
        """
        try:
            self._call("POST", "dags", dag_id, "dagRuns", _NO_RUN, "clear", body={"dry_run": True})
        except ClearRefused as refusal:
            if refusal.reason not in ("http_403", "http_404"):
                raise
            return refusal.reason == "http_404"
        return True


def examine(dag_id: str | None, redis_now: int | None) -> Iterator[Finding]:
    """Yield what is found of Airflow, and of a Dag.

    :param dag_id: the Dag.
    :param redis_now: Redis's time in ms, where known.
    """
    yield _time_left()
    try:
        where = settings.api()
    except (ConfigError, ClearUnconfirmed) as error:
        yield Finding("Airflow's API", "fault", "its settings are not usable", str(error))
        return
    api = _Api(where, Deadline(_SECONDS))
    with api:
        try:
            yield _version(str(api.get_public("version").get("version")))
            health = api.get_public("monitor", "health")
        except ClearUnconfirmed as error:
            yield Finding("Airflow's API", "fault", str(error), "see that it runs, and that api_url is right and open")
            return
        except ClearRefused as error:
            remedy = "set api_url to the address of an Airflow 3: older ones have no /api/v2"
            yield Finding("Airflow's API", "fault", str(error), remedy)
            return
        yield from _health(health, redis_now)
        try:
            api.get("dags", limit=1)
        except (ClearRefused, ClearUnconfirmed) as error:
            yield _no_login(error, where)
            return
        yield Finding("login", "ok", f"as {where.username or where.client_id or 'the owner of the token'}")
        if dag_id is None:
            yield Finding("permission to clear", "unknown", "no Dag was named", "name one: dag-retry doctor DAG_ID")
            return
        try:
            yield from _of_dag(api, dag_id)
        except (ClearRefused, ClearUnconfirmed) as error:
            yield Finding(f"Dag {dag_id}", "fault", str(error), "see the id, and that this user may read the Dag")


def _time_left() -> Finding:
    check = "a callback's time"
    limit = sdk.task_limit()
    ours = share_of(limit)
    found = f"{ours:.3g} s of the {limit:.3g} s that Airflow leaves a failed task ([core] task_success_overtime, here)"
    remedy = "raise AIRFLOW__CORE__TASK_SUCCESS_OVERTIME to 20 wherever tasks run"
    if ours > limit:
        return Finding(check, "fault", f"{found}: it is killed before it ends", remedy)
    if ours < 2 * _SLOW_CLEAR:
        return Finding(check, "warning", f"{found}: a slow clear is left to the Dag level", remedy)
    return Finding(check, "ok", found)


def _version(version: str) -> Finding:
    try:
        known = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        known = ()
    if known < _OLDEST:
        why = "before 3.2 a clear does not always move clear_number, by which a failure is told from a later one"
        return Finding("Airflow version", "fault", version, f"upgrade it to 3.2 or newer: {why}")
    return Finding("Airflow version", "ok", version)


def _health(health: dict[str, Any], redis_now: int | None) -> Iterator[Finding]:
    scheduler = health.get("scheduler") or {}
    for name in ("scheduler", "dag_processor"):
        state = (health.get(name) or {}).get("status")
        if state != "healthy":
            what = "nothing is retried without it" if name == "scheduler" else "Dag-level callbacks run in it"
            yield Finding(name, "warning", f"it is {state}", f"start it: {what}")
    heartbeat = scheduler.get("latest_scheduler_heartbeat")
    if redis_now is None or not heartbeat or scheduler.get("status") != "healthy":
        return
    ahead = datetime.fromisoformat(heartbeat.replace("Z", "+00:00")).timestamp() - redis_now / 1000
    if -_BEHIND <= ahead <= _AHEAD:
        yield Finding("clocks", "ok", "Airflow's and Redis's agree")
    else:
        found = f"Airflow's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Redis's"
        yield Finding("clocks", "fault", found, "set both by NTP: what no callback claimed is found by comparing them")


def _no_login(error: ClearRefused | ClearUnconfirmed, where: settings.ApiSettings) -> Finding:
    if where.token and isinstance(error, ClearRefused) and error.reason in ("http_401", "http_403"):
        remedy = "the token is over, or not this Airflow's: set a new api_token, or a user and password instead"
    else:
        remedy = "correct api_username and api_password (or what you log in with); see that api_token_path is right"
    return Finding("login", "fault", str(error), remedy)


def _of_dag(api: _Api, dag_id: str) -> Iterator[Finding]:
    details = api.get("dags", dag_id, "details")
    if api.may_clear(dag_id):
        yield Finding("permission to clear", "ok", f"runs of {dag_id}")
    else:
        yield Finding(
            "permission to clear",
            "fault",
            f"this user may read {dag_id}, and not clear its runs",
            "give it a role that may edit Dag runs, as User or Op of the FAB auth manager",
        )
    if details.get("is_paused"):
        yield Finding("paused", "warning", f"{dag_id} is paused: what is cleared does not run", "unpause it")
    if most := details.get("max_consecutive_failed_dag_runs"):
        yield Finding(
            "paused",
            "warning",
            f"Airflow pauses {dag_id} after {most} failed runs in a row, and a Dag-level retry comes after the failure",
            'raise max_consecutive_failed_dag_runs, or attach level="both", which clears before the run fails',
        )
    yield _callbacks(dag_id, details)


def _callbacks(dag_id: str, details: dict[str, Any]) -> Finding:
    """Tell what Airflow tells: whether the ``default_args`` have a callback; nothing of the Dag's own (3.3.2)."""
    check = "callbacks"
    tagged = any(tag.get("name") == TAG for tag in details.get("tags") or [])
    task_level = (details.get("default_args") or {}).get("has_on_failure_callback")
    found = f"{'made' if tagged else 'not made'} with dag_args (tag {TAG}); default_args {{}} on_failure_callback"
    found = found.format("have an" if task_level else "have no")
    if tagged:
        return Finding(check, "ok", found)
    remedy = f"make {dag_id} with **retry.dag_args(…); where retry.on_failure is attached by hand, all is well"
    return Finding(check, "unknown" if task_level else "warning", found, remedy)
