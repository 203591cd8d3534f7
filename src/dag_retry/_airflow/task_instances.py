"""The task instance of a failed try, as Airflow has it now."""

from __future__ import annotations

from http import HTTPStatus

from dag_retry._airflow.client import ALL, ApiClient, JsonObject, fit_a_path
from dag_retry._errors import ApiRefused
from dag_retry._types import FailedTry


def find_task_instance(client: ApiClient, dag_id: str, run_id: str, failed_try: FailedTry) -> JsonObject:
    """Return the task instance of a failed try as it is now; empty if its run has none any more.

    A clear can remove a mapped index. The answer must be about this task instance: another one has another id, and
    would look like a cleared one.

    :param client: asks Airflow.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param failed_try: the try that failed.
    :raises ApiRefused: the run is gone, the user may not read its Dag, or the answer is about something else.
    :raises ApiUnanswered: Airflow gave no clear answer in time.
    """
    task_id, map_index = failed_try.task_id, failed_try.map_index
    if not fit_a_path(dag_id, run_id, task_id):
        return _find_in_list(client, dag_id, run_id, task_id, map_index)
    run = ("dags", dag_id, "dagRuns", run_id)
    index = (str(map_index),) if map_index >= 0 else ()
    try:
        found = client.get(*run, "taskInstances", task_id, *index)
    except ApiRefused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        # This raises if the run is gone too.
        client.check(client.get(*run), dag_id=dag_id, dag_run_id=run_id)
        return {}
    return client.check(found, dag_id=dag_id, dag_run_id=run_id, task_id=task_id, map_index=map_index)


def _find_in_list(client: ApiClient, dag_id: str, run_id: str, task_id: str, map_index: int) -> JsonObject:
    """Find the task instance by the endpoint that takes ids in its body. It takes no index.

    Measured on Airflow 3.2.2 and 3.3.2: the endpoint takes the ids literally, even ``~``. A page of 100 indexes takes
    30 ms and 109 kB. The list is empty if the run is gone, or if the user may not read the Dag
    (``ReadableTIFilterDep``).
    """
    path = ("dags", ALL, "dagRuns", ALL, "taskInstances", "list")
    run = {"dag_ids": [dag_id], "dag_run_ids": [run_id]}
    # The order is by index. A clear changes ids, so an order by id could move an index from one page to another.
    query = run | {"task_ids": [task_id], "order_by": "map_index", "page_limit": 100}
    offset = 0
    while page := client.items(client.post(*path, body=query | {"page_offset": offset}), "task_instances"):
        for found in page:
            client.check(found, dag_id=dag_id, dag_run_id=run_id, task_id=task_id)
            if found.get("map_index") == map_index:
                return found
        offset += len(page)
    if not client.items(client.post(*path, body=run | {"page_limit": 1}), "task_instances"):
        raise ApiRefused(
            f"Airflow lists no task of run {run_id!r} of Dag {dag_id!r}: the run is gone, or the user of dag_retry may "
            "not read the Dag",
            reason="http_404",
        )
    return {}


def find_failed(client: ApiClient, dag_id: str, run_id: str) -> JsonObject | None:
    """Return a task instance of a run that failed, else one whose upstream task failed; None if there is none.

    :param client: asks Airflow.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    """
    path = ("dags", ALL, "dagRuns", ALL, "taskInstances", "list")
    for state in ("failed", "upstream_failed"):
        query = {"dag_ids": [dag_id], "dag_run_ids": [run_id], "state": [state], "page_limit": 1}
        if found := client.items(client.post(*path, body=query), "task_instances"):
            return client.check(found[0], dag_id=dag_id, dag_run_id=run_id)
    return None
