"""What people decided about a run, as Airflow's audit log has it."""

from __future__ import annotations

import json


def is_decision(event: str, extra: str | None, *, task_id: str | None, failed_task_id: str) -> bool:
    """Return whether a line of the audit log says that a person ended the run, or set the failed task to success.

    A line's event is the name of an endpoint, and its extra is the request's body (``action_logging`` in
    ``airflow.api_fastapi.logging.decorators``, 3.2.2 to 3.4.0b2). A note is written by ``patch_dag_run`` too.

    :param event: the line's event.
    :param extra: the line's extra, a JSON object.
    :param task_id: the line's task; None if it has none.
    :param failed_task_id: the task that failed.
    """
    try:
        said = json.loads(extra or "{}")
    except ValueError:
        return False
    if event == "patch_dag_run":
        return said.get("state") in ("success", "failed")
    return event == "patch_task_instance" and task_id == failed_task_id and said.get("new_state") == "success"
