"""Checks of a Dag: whether its runs may be cleared, and what of its structure a retry meets."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from dag_retry._airflow.client import ApiClient, JsonObject
from dag_retry._errors import ApiRefused, ConfigError
from dag_retry._policy.policy import OVERRIDES, Policy
from dag_retry._retry import TAG
from dag_retry.cli.doctor.dag import callbacks, levels, names, of_file, operators, told
from dag_retry.cli.doctor.dag.attached import Attached, attached
from dag_retry.cli.doctor.dag.file import parse
from dag_retry.cli.doctor.dag.search import search
from dag_retry.cli.doctor.dag.shape import Shape
from dag_retry.cli.doctor.finding import LOGIN, Finding

_NO_RUN = "dag-retry-doctor"
# Since then a task that clears its own run starts again without its retry_delay (measured on 3.4.0b2).
_AT_ONCE = (3, 4)
_UNASKED = "paused, assets, backfills, Params"


def examine(client: ApiClient, dag_id: str, version: tuple[int, ...], start: str) -> Iterator[Finding]:
    """Yield the findings about a Dag, as Airflow's API tells of it, and as its file makes it.

    :param client: a client of Airflow's API.
    :param dag_id: the Dag.
    :param version: Airflow's version.
    :param start: how to start a sweeper; empty if one runs, or if Redis can't tell.
    """
    details = client.get("dags", dag_id, "details")
    yield _permission(client, dag_id)
    if details.get("is_paused"):
        yield Finding("paused", "warning", f"{dag_id} is paused, so cleared runs do not run", "unpause it")
    if details.get("has_import_errors"):
        found, remedy = "Airflow can't import the Dag's file as it is now", "airflow dags list-import-errors shows why"
        yield Finding("import error", "fault", found, remedy)
    tasks = client.items(client.get("dags", dag_id, "tasks"), "tasks")
    dag = parse(dag_id, details)
    if isinstance(dag, Finding):
        yield from _pauses(details)
        yield callbacks.examine(dag_id, details)
        yield dag
        yield from told.structure(details, tasks, Shape(tasks), None, at_once=True)
        yield from told.asked(client, details, Shape(tasks))
        return
    yield from _parsed(dag, details, tasks, version, start, client)


def examine_here(dag_id: str, start: str) -> Iterator[Finding]:
    """Yield the findings about a Dag that its file tells. There are no credentials to ask Airflow's API with.

    :param dag_id: the Dag.
    :param start: how to start a sweeper; empty if one runs, or if Redis can't tell.
    """
    dag = search(dag_id)
    if isinstance(dag, Finding):
        yield dag
        return
    from airflow import __version__ as version

    yield Finding(_UNASKED, "unknown", "only Airflow's API tells", LOGIN)
    yield from _parsed(dag, of_file.details(dag), of_file.tasks(dag), numbers(version), start, None)


def _parsed(
    dag: Any,
    details: JsonObject,
    tasks: list[JsonObject],
    version: tuple[int, ...],
    start: str,
    client: ApiClient | None,
) -> Iterator[Finding]:
    """Yield the findings about a Dag whose file was parsed here.

    :param dag: the Dag, as its file made it.
    :param details: what Airflow's API tells, or would tell, of the Dag.
    :param tasks: the same of its tasks.
    :param version: Airflow's version.
    :param start: how to start a sweeper; empty if one runs, or if Redis can't tell.
    :param client: a client of Airflow's API; None without credentials.
    """
    dag_id = dag.dag_id
    yield Finding("Dag file", "ok", str(dag.fileloc))
    yield from _pauses(details)
    who = callbacks.examine(dag_id, details)
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
    yield from told.structure(details, tasks, shape, ours.level, at_once=delays or version >= _AT_ONCE)
    if client:
        yield from told.asked(client, details, shape)
    yield from names.examine(dag, ours.policies)
    yield from levels.leaves(dag, ours)
    yield from levels.teardowns(dag, ours)
    yield from operators.children(dag.tasks, shape)
    yield from operators.resuming(dag.tasks, shape)
    if start:
        yield from levels.sweeper(ours, start, delays=delays, login=client is not None)


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


def _pauses(details: JsonObject) -> Iterator[Finding]:
    if most := details.get("max_consecutive_failed_dag_runs"):
        yield Finding(
            "paused",
            "warning",
            f"Airflow pauses {details['dag_id']} after {most} failed runs in a row, and a Dag-level retry comes after "
            "the failure",
            'raise max_consecutive_failed_dag_runs, or attach level="both", which clears before the run fails',
        )


def numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version of Airflow; none if the text is no version.

    :param version: the version, e.g. ``3.3.2``.
    """
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return ()
