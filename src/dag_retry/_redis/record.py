"""The reader of schema v1: what the scripts say of a run, as the public types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from dag_retry._errors import CounterError
from dag_retry._types import Claim, ClearOption, FailedTry, RunRecord, Status, Verdict


def text(value: Any) -> str:
    """Return an answer of Redis as text, whether the client decodes answers or not. Other bytes are escaped."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def claim_of(answer: str | bytes, **asked: Any) -> Claim:
    """Return the claim that an answer of ``lua/claim.lua`` describes.

    :param answer: the answer, decoded or not.
    :param asked: the fields of the claim that were asked with.
    """
    said = json.loads(answer)
    return Claim(
        verdict=Verdict(said["verdict"]),
        reason=said["reason"],
        attempt=int(said["attempt"]),
        max_attempts=int(said["max_attempts"]),
        failed_try=FailedTry(said["task_id"], int(said["map_index"]), said["ti_id"], said["error"]),
        clear_options=_clear_options_of(said["clear"]),
        due_at=int(said["due_at"]),
        base=int(said["base"]),
        **asked,
    )


def _clear_options_of(flags: str) -> frozenset[ClearOption]:
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
            clear_options=_clear_options_of(fields["clear"]),
            run_started=int(fields["run_started"]),
            budget_at=int(fields["budget_at"]),
            updated_at=int(fields["updated_at"]),
            due_at=int(fields["due_at"]),
            faults=int(fields.get("faults", "0")),
        )
    except (KeyError, ValueError) as error:
        raise CounterError(
            f"Redis: the record of run {run_id!r} of Dag {dag_id!r} is not readable as schema v1: {error!r}"
        ) from error
