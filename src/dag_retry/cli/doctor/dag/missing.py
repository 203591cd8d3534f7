"""A Dag that Airflow's API does not show, and why that may be."""

from __future__ import annotations

from http import HTTPStatus

from dag_retry._airflow.client import ApiClient
from dag_retry._errors import ApiError
from dag_retry.cli.doctor.dag.file import last_line
from dag_retry.cli.doctor.finding import Finding

_PAGE = 100


def missing(client: ApiClient, dag_id: str, error: ApiError) -> Finding:
    """Return the finding for a Dag that Airflow does not show.

    :param client: a client of Airflow's API.
    :param dag_id: the Dag.
    :param error: what Airflow said.
    """
    check, found = f"Dag {dag_id}", str(error)
    if error.status != HTTPStatus.NOT_FOUND:
        return Finding(check, "fault", found, "let this user read the Dag")
    if broken := _import_error(client, dag_id):
        return Finding(check, "fault", f"{found}. {broken}", "correct that file, or the id")
    remedy = (
        "correct the id, or let this user read the Dag. The Dag's file may also have an import error (airflow dags "
        "list-import-errors shows it), or is not parsed yet"
    )
    return Finding(check, "fault", found, remedy)


def _import_error(client: ApiClient, dag_id: str) -> str:
    """Return the import error of the file that may hold the Dag; empty if there is none, or this user may not see it.

    The file is one whose name or error names the Dag, else one whose error is of this package.
    """
    try:
        answer = client.get("importErrors", query={"limit": _PAGE, "order_by": "-timestamp"})
        errors = [
            (str(each.get("filename")), str(each.get("stack_trace"))) for each in client.items(answer, "import_errors")
        ]
    except ApiError:
        return ""
    for word in (dag_id, "dag_retry"):
        for file, error in errors:
            if word in file or word in error:
                return f"Airflow can't import {file}: {last_line(error)}"
    return ""
