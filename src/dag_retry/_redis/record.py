"""The reader of schema v1: it turns the HASH of a run into a :class:`RunRecord`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dag_retry._errors import CounterError
from dag_retry._types import ClearOption, FailedTry, RunRecord, Status


def text(value: Any) -> str:
    """Return an answer of Redis as text, whether the client decodes answers or not. Other bytes are escaped."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def clear_options_of(flags: str) -> frozenset[ClearOption]:
    """Return how to clear the run.

    :param flags: the record's field ``clear``: flags with commas between them.
    """
    return cast(frozenset[ClearOption], frozenset(filter(None, flags.split(","))))


def record_of(dag_id: str, run_id: str, raw: Mapping[Any, Any]) -> RunRecord | None:
    """Return the record that a HASH of schema v1 holds; None if the HASH is empty.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param raw: the HASH, decoded or not.
    :raises CounterError: the HASH lacks a field, or a field has a wrong value.
    """
    if not raw:
        return None
    fields = {text(name): text(value) for name, value in raw.items()}
    try:
        return RunRecord(
            dag_id=dag_id,
            run_id=run_id,
            status=Status(fields["status"]),
            reason=fields["reason"],
            attempt=int(fields["attempt"]),
            max_attempts=int(fields["max_attempts"]),
            generation=int(fields["generation"]),
            base=int(fields["base"]),
            lost=int(fields["lost"]),
            claim_id=fields["claim_id"],
            level=fields["level"],
            failed_try=FailedTry(fields["task_id"], int(fields["map_index"]), fields["ti_id"], fields["error"]),
            clear_options=clear_options_of(fields["clear"]),
            budget_at=int(fields["budget_at"]),
            updated_at=int(fields["updated_at"]),
            due_at=int(fields["due_at"]),
        )
    except (KeyError, ValueError) as error:
        raise CounterError(
            f"Redis: the record of run {run_id!r} of Dag {dag_id!r} is not readable as schema v1: {error!r}"
        ) from error
