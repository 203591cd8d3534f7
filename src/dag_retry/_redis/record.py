"""The reader of schema v1: what the scripts say of a run, as the public types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from dag_retry._errors import CounterError
from dag_retry._types import Claim, ClearOption, FailedTry, RunRecord, Status, Verdict

_OWN_HOOKS = "own_hooks"


def text(value: Any) -> str:
    """Return an answer of Redis as text, whether the client decodes answers or not. Other bytes are escaped."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def claim_of(answer: str | bytes, **asked: Any) -> Claim:
    """Return the claim that an answer of ``lua/claim.lua`` describes.

    :param answer: the answer, decoded or not.
    :param asked: the fields of the claim that were asked with.
    """
    said = json.loads(answer)
    verdict, flags = Verdict(said["verdict"]), _flags_of(said["flags"])
    return Claim(
        verdict=verdict,
        reason=said["reason"],
        attempt=int(said["attempt"]),
        max_attempts=int(said["max_attempts"]),
        failed_try=FailedTry(said["task_id"], int(said["map_index"]), said["ti_id"], said["error"]),
        clear_options=flags.clear_options,
        own_hooks=flags.own_hooks,
        status=_standing(verdict, said),
        due_at=int(said["due_at"]),
        base=int(said["base"]),
        **asked,
    )


def _standing(verdict: Verdict, said: Mapping[str, str]) -> Status:
    if verdict is Verdict.LOST:
        return Status(said["status"])
    if verdict is Verdict.WON:
        return Status.CLAIMED if said["due_at"] == "0" else Status.WAITING
    return Status(verdict.value)


class _Flags(NamedTuple):
    clear_options: frozenset[ClearOption]
    own_hooks: bool


def flags_text(clear_options: Iterable[ClearOption], *, own_hooks: bool) -> str:
    """Return the record's field ``flags``: words with commas between them.

    :param clear_options: how to clear the run.
    :param own_hooks: whether the Dag has hooks of its own.
    """
    return ",".join(sorted({*clear_options, *([_OWN_HOOKS] if own_hooks else [])}))


def _flags_of(flags: str) -> _Flags:
    """Read the record's field ``flags``."""
    words = frozenset(filter(None, flags.split(",")))
    return _Flags(cast(frozenset[ClearOption], words - {_OWN_HOOKS}), _OWN_HOOKS in words)


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
            clear_options=(flags := _flags_of(fields["flags"])).clear_options,
            own_hooks=flags.own_hooks,
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
