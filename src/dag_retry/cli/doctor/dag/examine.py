"""Checks of a Dag: whether its runs may be cleared, and what of its structure a retry meets."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from dag_retry._airflow.client import ApiClient, JsonObject
from dag_retry._errors import ApiRefused, ConfigError
from dag_retry._policy.policy import OVERRIDES, Policy
from dag_retry._retry import TAG
from dag_retry.cli.doctor.dag import callbacks, levels, operators, told
from dag_retry.cli.doctor.dag.attached import Attached, attached
from dag_retry.cli.doctor.dag.file import parse
from dag_retry.cli.doctor.dag.shape import Shape
from dag_retry.cli.doctor.finding import Finding

_NO_RUN = "dag-retry-doctor"
# Since then a task that clears its own run starts again without its retry_delay (measured on 3.4.0b2).
_AT_ONCE = (3, 4)


def examine(client: ApiClient, dag_id: str, version: tuple[int, ...], *, sweeps: bool) -> Iterator[Finding]:
    """Yield the findings about a Dag.

    :param client: a client of Airflow's API.
    :param dag_id: the Dag.
    :param version: Airflow's version.
    :param sweeps: whether a sweeper runs; also if Redis can't tell, or if it is a finding that none runs.
    """
    details = client.get("dags", dag_id, "details")
    yield _permission(client, dag_id)
    yield from _pauses(dag_id, details)
    who = callbacks.examine(dag_id, details)
    tasks = client.items(client.get("dags", dag_id, "tasks"), "tasks")
    dag = parse(dag_id, details)
    if isinstance(dag, Finding):
        yield who
        yield dag
        yield from told.examine(client, details, tasks, Shape(tasks), None, at_once=True)
        return
    ours = attached(dag)
    if ours.level is None or who.grade in ("ok", "fault"):
        yield who
    if ours.level is None and not ours.others:
        return
    yield from levels.callbacks(dag_id, ours, tagged=TAG in dag.tags)
    try:
        policies = _policies(details, ours)
    except ConfigError as error:
        yield Finding(f"params[{OVERRIDES!r}]", "fault", "no run is retried, since they are wrong", str(error))
        return
    delays = any(policy.delays.may_wait() for policy in policies)
    shape = Shape(tasks, whole_runs=not policies or any(policy.scope == "run" for policy in policies))
    yield from told.examine(client, details, tasks, shape, ours.level, at_once=delays or version >= _AT_ONCE)
    yield from levels.leaves(dag, ours)
    yield from levels.teardowns(dag, ours)
    yield from operators.children(dag.tasks, shape)
    yield from operators.resuming(dag.tasks, shape)
    if not sweeps:
        yield from levels.sweeper(ours, delays=delays)


def _policies(details: JsonObject, ours: Attached) -> list[Policy]:
    """Return the policies of the Dag's callbacks, with the limits that the Dag's params hold.

    :raises ConfigError: a limit is wrong.
    """
    params = {name: param.get("value") for name, param in (details.get("params") or {}).items()}
    context: dict[str, Any] = {"params": params, "dag_run": None}
    return [policy.of_run(context) for policy in ours.policies]


def _permission(client: ApiClient, dag_id: str) -> Finding:
    check = "permission to clear"
    if _may_clear(client, dag_id):
        return Finding(check, "ok", f"runs of {dag_id}")
    return Finding(
        check,
        "fault",
        f"this user may read {dag_id}, but may not clear its runs",
        "give it a role that may edit Dag runs, such as User or Op of the FAB auth manager",
    )


def _may_clear(client: ApiClient, dag_id: str) -> bool:
    """Return whether this user may clear the Dag's runs. To find out, ask for a dry run of a run that does not exist.

    Airflow checks the permission first. So it answers 403 without the permission, and 404 with it (measured on 3.3.2).
    """
    try:
        client.post("dags", dag_id, "dagRuns", _NO_RUN, "clear", body={"dry_run": True})
    except ApiRefused as refusal:
        if refusal.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise
        return refusal.status == HTTPStatus.NOT_FOUND
    return True


def _pauses(dag_id: str, details: JsonObject) -> Iterator[Finding]:
    if details.get("is_paused"):
        yield Finding("paused", "warning", f"{dag_id} is paused, so cleared runs do not run", "unpause it")
    if most := details.get("max_consecutive_failed_dag_runs"):
        yield Finding(
            "paused",
            "warning",
            f"Airflow pauses {dag_id} after {most} failed runs in a row, and a Dag-level retry comes after the failure",
            'raise max_consecutive_failed_dag_runs, or attach level="both", which clears before the run fails',
        )
