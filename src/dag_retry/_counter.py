"""The attempt counter: typed calls of the Lua scripts. It knows Redis, and nothing of Airflow or HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dag_retry._errors import ConfigError, CounterError
from dag_retry._keys import Keys
from dag_retry._words import Claim, FailedTry, RunRecord, Status, Verdict

if TYPE_CHECKING:
    from redis import Redis

Level = Literal["task", "dag", "sweeper"]
MissingRecord = Literal["count_from_zero", "start_fresh"]
ManualClear = Literal["start_fresh", "keep"]

# Airflow's own rule for a dag_id (airflow.sdk.definitions._internal.node.validate_key).
_DAG_ID = re.compile(r"[\w.-]+")


@cache
def _script(verb: str) -> str:
    """Return the text of a verb's script. In a wheel ``lua`` lies in the package, in a checkout beside ``src``."""
    folder = resources.files("dag_retry") / "lua"
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "lua"
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("record.lua", f"{verb}.lua"))


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


class AttemptCounter:
    """Counts the Dag-level retries of runs in Redis, one atomic script a call.

    Every method raises :class:`CounterError` where Redis is unreachable, refuses the script, or holds something
    else under the run's key; nothing is claimed then that another callback, or the same one, can't take up.

    :param redis_client: a ``redis.Redis`` with timeouts of your choice, decoding its answers or not. redis-py
        resends a script after a lost reply; every answer is made to be asked for twice.
    :param namespace: separates deployments or teams that share a Redis; letters, digits, ``.``, ``_``, ``-``.
    :param ttl: how long a record is kept after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :raises ConfigError: a namespace or duration is unusable.
    """

    def __init__(
        self,
        redis_client: Redis,
        *,
        namespace: str = "dag-retry",
        ttl: timedelta = timedelta(days=30),
        lease: timedelta = timedelta(seconds=60),
    ) -> None:
        if not isinstance(namespace, str) or not re.fullmatch(r"[\w.-]+", namespace):
            raise ConfigError(f"namespace is {namespace!r}: use letters, digits, '.', '_' and '-', e.g. 'dag-retry'")
        for name, value, example in (("ttl", ttl, "timedelta(days=30)"), ("lease", lease, "timedelta(seconds=60)")):
            if not isinstance(value, timedelta) or _ms(value) < 1:
                raise ConfigError(f"{name} is {value!r}: use a positive timedelta, e.g. {example}")
        if lease >= ttl:
            raise ConfigError(f"lease ({lease}) must be shorter than ttl ({ttl}): a claim must outlive its lease")
        self._redis = redis_client
        self._keys = Keys(namespace)
        self._ttl = _ms(ttl)
        self._lease = _ms(lease)

    def claim(
        self,
        dag_id: str,
        run_id: str,
        *,
        generation: int,
        max_attempts: int,
        claim_id: str | None = None,
        holder: str = "",
        takeover: bool = False,
        level: Level = "task",
        failed_try: FailedTry = FailedTry(),  # noqa: B008 (frozen)
        on_missing_record: MissingRecord = "count_from_zero",
        on_manual_clear: ManualClear = "start_fresh",
    ) -> Claim:
        """Ask to be the one that retries this run in this generation.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param generation: ``dag_run.clear_number`` as the failed try saw it.
        :param max_attempts: the cap of a budget, 1 or more.
        :param claim_id: the same id gets the same answer; a new one is made where none is given.
        :param holder: who asks, for the reader: host and process.
        :param takeover: every task of the run has ended, so a winner at the task level that has not confirmed is dead.
        :param level: where the caller runs.
        :param failed_try: what is needed to finish the claim should the caller die.
        :param on_missing_record: without a record every clear of the run counts (``count_from_zero``: the cap holds
            although Redis forgot), or none (``start_fresh``).
        :param on_manual_clear: what a clear by hand after an ending begins: a fresh budget, or (``keep``) none.
        :return: the verdict, and why.
        :raises ConfigError: an id, the generation or the cap is not usable.
        """
        _check_count("generation", generation, 0)
        _check_count("max_attempts", max_attempts, 1)
        claim_id = claim_id or uuid.uuid4().hex
        verdict, reason, attempt, cap, task_id, map_index, ti_id = self._run(
            "claim",
            dag_id,
            run_id,
            self._lease,
            claim_id,
            generation,
            max_attempts,
            holder,
            level,
            int(takeover),
            on_missing_record,
            on_manual_clear,
            failed_try.task_id,
            failed_try.map_index,
            failed_try.ti_id,
            failed_try.error,
        )
        return Claim(
            verdict=Verdict(_text(verdict)),
            reason=_text(reason),
            attempt=int(attempt),
            max_attempts=int(cap),
            generation=generation,
            claim_id=claim_id,
            dag_id=dag_id,
            run_id=run_id,
            holder=holder,
            failed_try=FailedTry(_text(task_id), int(map_index), _text(ti_id), failed_try.error),
        )

    def renew(self, claim: Claim) -> bool:
        """Ask whether the claim still is the one that clears the run, and give it a new lease.

        :return: whether it is; where not, nothing may be cleared for it.
        """
        return bool(self._run("renew", claim.dag_id, claim.run_id, self._lease, claim.claim_id))

    def confirm(self, claim: Claim, *, reason: Literal["cleared", "already_cleared"] = "cleared") -> bool:
        """Record that the run has been cleared.

        :param reason: whether this claim cleared it, or found that somebody already had.
        :return: whether the claim was still the holder's; where not, nothing is changed.
        """
        return bool(self._run("confirm", claim.dag_id, claim.run_id, claim.claim_id, reason))

    def block(self, claim: Claim, *, reason: str) -> bool:
        """Record that Airflow refused the clear for good.

        :param reason: why, as a code such as ``http_403``.
        :return: whether the claim was still the holder's, and so is the one to tell it.
        """
        return bool(self._run("block", claim.dag_id, claim.run_id, self._lease, claim.claim_id, reason))

    def acknowledge(self, claim: Claim) -> bool:
        """Record that the ending (exhausted, blocked) was told; an unacknowledged one is told again.

        :return: whether this claim was the one to tell it.
        """
        return bool(self._run("acknowledge", claim.dag_id, claim.run_id, claim.claim_id))

    def succeed(self, dag_id: str, run_id: str, *, generation: int | None = None) -> RunRecord | None:
        """Record that a run which had failed succeeded. A run that never failed leaves nothing.

        :param generation: ``dag_run.clear_number`` where known.
        :return: the record where this success ended a budget, else None.
        """
        if generation is not None:
            _check_count("generation", generation, 0)
        flat = self._run("succeed", dag_id, run_id, "" if generation is None else generation)
        return _record(dag_id, run_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return what is known of a run, or None where it never failed (or its TTL is over)."""
        from redis.exceptions import RedisError

        _check_ids(dag_id, run_id)
        try:
            fields: Any = self._redis.hgetall(self._keys.run(dag_id, run_id))
        except RedisError as error:
            raise _counter_error(error) from error
        return _record(dag_id, run_id, fields)

    def _run(self, verb: str, dag_id: str, run_id: str, *arguments: str | int) -> Any:
        from redis.exceptions import RedisError

        _check_ids(dag_id, run_id)
        try:
            return self._redis.register_script(_script(verb))(
                keys=self._keys.of(dag_id, run_id), args=[dag_id, run_id, self._ttl, *arguments]
            )
        except RedisError as error:
            raise _counter_error(error) from error


def _check_ids(dag_id: str, run_id: str) -> None:
    if not isinstance(dag_id, str) or not _DAG_ID.fullmatch(dag_id):
        raise ConfigError(f"dag_id is {dag_id!r}: Airflow's are letters, digits, '.', '_' and '-', e.g. 'daily_load'")
    if not isinstance(run_id, str) or not run_id:
        raise ConfigError(f"run_id is {run_id!r}: use the Dag run's, e.g. 'manual__2026-01-01T00:00:00+00:00'")


def _check_count(name: str, value: int, least: int) -> None:
    # bool is an int in Python, and True attempts is a mistake.
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}: use a whole number, {least} or more")


def _counter_error(error: Exception) -> CounterError:
    return CounterError(f"Redis: {type(error).__name__}: {error}")


def _record(dag_id: str, run_id: str, raw: Mapping[Any, Any]) -> RunRecord | None:
    if not raw:
        return None
    fields = {_text(name): _text(value) for name, value in raw.items()}
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
            reason=fields["reason"],
            acknowledged=fields["acknowledged"] == "1",
            created_at=int(fields["created_at"]),
            updated_at=int(fields["updated_at"]),
            due_at=int(fields["due_at"]),
        )
    except (KeyError, ValueError) as error:
        raise CounterError(
            f"Redis: the record of run {run_id!r} of Dag {dag_id!r} (schema {fields.get('schema')!r}) is not "
            f"readable as schema '1': {error!r}"
        ) from error
