"""Schema v1, read: the HASH of a run as a :class:`RunRecord`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dag_retry._errors import CounterError
from dag_retry._types import ClearOption, FailedTry, RunRecord, Status


def text(value: Any) -> str:
    """Return what Redis answered as text, whether its client decodes answers or not; other bytes are shown escaped."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def options_of(flags: str) -> frozenset[ClearOption]:
    """Return the options that a record holds, with commas between them."""
    return cast(frozenset[ClearOption], frozenset(filter(None, flags.split(","))))


def record_of(dag_id: str, run_id: str, raw: Mapping[Any, Any]) -> RunRecord | None:
    """Return the record that a HASH of schema v1 holds, None where it is empty.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param raw: the HASH, decoded or not.
    :raises CounterError: it is not readable: of another schema, half-written, or not ours.
    """
    if not raw:
        return None
    fields = {text(name): text(value) for name, value in raw.items()}
    try:
        return RunRecord(
            dag_id=dag_id,
            run_id=run_id,
            status=Status(fields["status"]),
            generation=int(fields["generation"]),
            base=int(fields["base"]),
            attempt=int(fields["attempt"]),
            max_attempts=int(fields["max_attempts"]),
            claim_id=fields["claim_id"],
            holder=fields["holder"],
            level=fields["level"],
            failed_try=FailedTry(fields["task_id"], int(fields["map_index"]), fields["ti_id"], fields["error"]),
            options=options_of(fields["options"]),
            reason=fields["reason"],
            acknowledged=fields["acknowledged"] == "1",
            created_at=int(fields["created_at"]),
            budget_at=int(fields["budget_at"]),
            updated_at=int(fields["updated_at"]),
            due_at=int(fields["due_at"]),
        )
    except (KeyError, ValueError) as error:
        raise CounterError(
            f"Redis: the record of run {run_id!r} of Dag {dag_id!r} (schema {fields.get('schema')!r}) is not "
            f"readable as schema '1': {error!r}"
        ) from error
