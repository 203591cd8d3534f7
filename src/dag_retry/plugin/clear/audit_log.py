"""What Airflow's audit log says of a run: which clears this route made, and which states people have set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from dag_retry.plugin.clear.messages import ClearRequest

OUR_CLEAR = "dag_retry_clear"
"""The event of the line that this route writes with each clear."""

STATES_SET = ("patch_dag_run", "patch_task_instance", "patch_task_group_instances")
"""The events of requests that set the state of a run, of a task, or of a task group."""

STATES_SET_IN_BULK = "bulk_dag_runs"
"""The event of a request that sets the states of many runs (Airflow 3.3). The line's extra has their ids."""


class Line(Protocol):
    """A line of the audit log, as ``airflow.models.log.Log`` has it."""

    dttm: datetime
    event: str
    dag_id: str | None
    task_id: str | None
    extra: str | None


class OurClear(NamedTuple):
    """A clear that this route has made.

    :param claim_id: the claim for which.
    :param generation: the generation of the failure.
    :param attempt: the attempt that began.
    :param dag_run: ``dag_run.id``, by which a run is told from another that had its ids.
    """

    claim_id: str
    generation: int
    attempt: int
    dag_run: int


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


def write_our_clear(asked: ClearRequest, attempt: int, dag_run: int) -> str:
    """Return the extra of the line for a clear.

    :param asked: the claim.
    :param attempt: the attempt that begins.
    :param dag_run: ``dag_run.id``.
    """
    told = asked.model_dump(include={"claim_id", "generation", "base", "max_attempts"})
    return json.dumps(told | {"attempt": attempt, "dag_run": dag_run})


def read_our_clear(extra: str | None) -> OurClear | None:
    """Return the clear that a line tells of; None if another version wrote what can't be read.

    :param extra: the extra of the line.
    """
    try:
        return OurClear(**{name: value for name, value in _object(extra).items() if name in OurClear._fields})
    except TypeError:
        return None


def read_states_set(line: Line, dag_id: str, run_id: str) -> Iterator[SetByHand]:
    """Yield the states that a request asked for in a run.

    :param line: the line.
    :param dag_id: the Dag.
    :param run_id: the Dag run.
    """
    extra = _object(line.extra)
    if line.event == STATES_SET_IN_BULK:
        entities = [entity for action in _objects(extra.get("actions")) for entity in _objects(action.get("entities"))]
        for entity in entities:
            if (entity.get("dag_id") or line.dag_id, entity.get("dag_run_id")) == (dag_id, run_id):
                yield SetByHand(line.dttm, str(entity.get("state")), of_run=True)
    elif line.event == "patch_dag_run":
        yield SetByHand(line.dttm, str(extra.get("state")), of_run=True)
    else:
        state = str(extra.get("new_state")).lower()
        yield SetByHand(line.dttm, state, task_id=line.task_id, map_index=extra.get("map_index"))


def _objects(items: Any) -> list[dict[str, Any]]:
    """Return the objects of a list. Airflow logs a request before it looks at what the request holds."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _object(extra: str | None) -> dict[str, Any]:
    """Return what a line holds; nothing if that is no JSON object."""
    try:
        found = json.loads(extra or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
