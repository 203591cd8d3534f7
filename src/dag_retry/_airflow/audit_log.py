"""What people decided about a run, as Airflow's audit log has it.

A line's event is the name of an endpoint, and its extra is the request's body (``action_logging`` in
``airflow.api_fastapi.logging.decorators``, 3.2.2 to 3.4.0b2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dag_retry._airflow.client import ApiClient, Query, moment
from dag_retry._errors import ApiRefused

STATES_SET = ("patch_dag_run", "patch_task_instance", "patch_task_group_instances")
"""The events of requests that set the state of a run, of a task, or of a task group."""

STATES_SET_IN_BULK = "bulk_dag_runs"
"""The event of a request that sets the states of many runs (Airflow 3.3). The line's extra has their ids."""

# How long Airflow may take to set a state after its audit log has the request.
_REQUEST = timedelta(minutes=1)


class Line(NamedTuple):
    """A line of the audit log.

    :param at: when Airflow got the request.
    :param event: the name of the endpoint.
    :param dag_id: the Dag in the request's path; None if it has none.
    :param task_id: the task in the path; None if it has none.
    :param extra: the request's body, as JSON.
    """

    at: datetime
    event: str
    dag_id: str | None
    task_id: str | None
    extra: str | None


class Try(NamedTuple):
    """The failed try, as Airflow has it now.

    :param state: its state.
    :param end_date: when it ended; None if it has not.
    """

    state: str | None
    end_date: datetime | None


class SetByHand(NamedTuple):
    """A state that a person asked Airflow to set.

    :param at: when.
    :param state: the state.
    :param of_run: whether it is the state of the run, and not of a task.
    :param task_id: the task; None for those of a task group.
    :param map_index: the index of a mapped task, as the request had it; None for all.
    """

    at: datetime
    state: str
    of_run: bool = False
    task_id: str | None = None
    map_index: str | None = None

    def settles(self, task_id: str, map_index: int, failed: Try) -> bool:
        """Return whether a person has decided by this request what becomes of the run, or of the failed task.

        Airflow logs a request about a *task* before it checks the user's rights. So such a request counts only if the
        task has that state, and came by it then. Airflow checks the rights before it logs one about a *run*.

        :param task_id: the task that failed.
        :param map_index: its index; -1 if it is not mapped.
        :param failed: the failed try.
        """
        if self.of_run:
            return self.state in ("success", "failed")
        mine = self.task_id in (None, task_id) and self.map_index in (None, str(map_index))
        then = failed.end_date is not None and self.at <= failed.end_date <= self.at + _REQUEST
        return mine and then and self.state == failed.state


def read_states_set(line: Line, dag_id: str, run_id: str) -> Iterator[SetByHand]:
    """Yield the states that a request asked for in a run. A note is written by ``patch_dag_run`` too.

    :param line: the line; only one in bulk may be about another run.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    """
    extra = json_object(line.extra)
    if line.event == STATES_SET_IN_BULK:
        entities = [entity for action in _objects(extra.get("actions")) for entity in _objects(action.get("entities"))]
        for entity in entities:
            if (entity.get("dag_id") or line.dag_id, entity.get("dag_run_id")) == (dag_id, run_id):
                yield SetByHand(line.at, str(entity.get("state")), of_run=True)
    elif line.event == "patch_dag_run":
        yield SetByHand(line.at, str(extra.get("state")), of_run=True)
    else:
        state = str(extra.get("new_state")).lower()
        yield SetByHand(line.at, state, task_id=line.task_id, map_index=extra.get("map_index"))


def find_states_set(client: ApiClient, dag_id: str, run_id: str, since: str) -> Iterator[SetByHand]:
    """Yield the states that people asked for in a run, as far as Airflow's REST API shows them.

    The API shows no request about several Dags to anybody (``PermittedEventLogFilter``, 3.3.2). A user who may clear
    runs may lack the right to read the audit log. Then this yields nothing.

    :param client: asks Airflow.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param since: only later requests: a date, as Airflow writes dates.
    :raises ApiUnusable: the way to Airflow is broken.
    :raises ApiUnanswered: Airflow gave no clear answer in time.
    """
    mine: Query = {"dag_id": dag_id, "after": since, "order_by": "-when", "limit": 100}
    about: tuple[Query, ...] = ({"run_id": run_id, "included_events": STATES_SET}, {"event": STATES_SET_IN_BULK})
    for each in about:
        try:
            answer = client.get("eventLogs", query={**mine, **each})
        except ApiRefused:
            return
        for line in client.items(answer, "event_logs"):
            said = [moment(line["when"]), *(line.get(name) for name in ("event", "dag_id", "task_id", "extra"))]
            yield from read_states_set(Line._make(said), dag_id, run_id)


def json_object(extra: str | None) -> dict[str, Any]:
    """Return what a line's extra holds; nothing if that is no JSON object.

    :param extra: the extra.
    """
    try:
        found = json.loads(extra or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _objects(items: Any) -> list[dict[str, Any]]:
    """Return the objects of a list. Airflow logs a request before it looks at what the request holds."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
