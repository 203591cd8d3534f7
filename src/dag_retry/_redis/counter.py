"""The attempt counter: typed calls of the Lua scripts. It knows Redis, and nothing of Airflow or HTTP."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from dag_retry._errors import ConfigError, CounterError
from dag_retry._exported import exported
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import LEASE, Lifetimes
from dag_retry._redis.record import options_of, record_of
from dag_retry._redis.scripts import Script, script
from dag_retry._types import Claim, ClearOption, FailedTry, RunRecord, Verdict

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

Level = Literal["task", "dag", "sweeper"]
MissingRecord = Literal["count_from_zero", "start_fresh"]
ManualClear = Literal["start_fresh", "keep"]

# Airflow's own rule for a dag_id (airflow.sdk.definitions._internal.node.validate_key).
_DAG_ID = re.compile(r"[\w.-]+")


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


@exported
class AttemptCounter:
    """Counts the Dag-level retries of runs in Redis, one atomic script a call.

    Every method raises :class:`CounterError` where Redis is unreachable, refuses the script, or holds something
    else under the run's key; nothing is claimed then that another callback, or the same one, can't take up.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster`` with timeouts of your choice, decoding its answers
        or not. redis-py resends a script after a lost reply; every answer is made to be asked for twice.
    :param namespace: separates deployments or teams that share a Redis; letters, digits, ``.``, ``_``, ``-``.
    :param ttl: how long a record is kept after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :param wait_replicas: how many replicas must have a claim before it is won. Where they don't acknowledge it within
        half of the client's ``socket_timeout`` (1 s where it has none), ``claim`` raises :class:`CounterError`, and the
        claim stays due. Not for a Cluster.
    :raises ConfigError: a namespace, duration or number is unusable.
    """

    def __init__(
        self,
        redis_client: Redis | RedisCluster,
        *,
        namespace: str = "dag-retry",
        ttl: timedelta = timedelta(days=30),
        lease: timedelta = LEASE,
        wait_replicas: int = 0,
    ) -> None:
        _check_count("wait_replicas", wait_replicas, 0)
        if wait_replicas and hasattr(redis_client, "get_primaries"):
            raise ConfigError(f"wait_replicas is {wait_replicas}, and redis_url a Cluster's: leave it at 0 there")
        self._redis = redis_client
        self._wait_replicas = wait_replicas
        self._keys = Keys(namespace)
        self._lifetimes = Lifetimes(ttl, lease)
        self._sent: set[Script] = set()

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
        options: Collection[ClearOption] = (),
        skip: str = "",
        delays: Sequence[timedelta] = (),
        max_elapsed: timedelta | None = None,
        on_missing_record: MissingRecord | int = "count_from_zero",
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
        :param options: how the run is to be cleared, for the same reason.
        :param skip: why this failure is not to be retried, as a code; empty where it is. A claim that would be won is
            ``SKIPPED`` then: an ending.
        :param delays: before each attempt; the last one holds for all that follow. A claim that is won then waits:
            its ``due_at`` says until when, and a sweeper takes it.
        :param max_elapsed: an attempt that would begin later than this after the budget's first failure is exhausted.
        :param on_missing_record: without a record every clear of the run counts (``count_from_zero``: the cap holds
            although Redis forgot), or none (``start_fresh``), or as many attempts are used as another counter holds.
        :param on_manual_clear: what a clear by hand after an ending begins: a fresh budget, or (``keep``) none.
        :return: the verdict, and why.
        :raises ConfigError: an id, the generation, the cap or a duration is not usable.
        """
        _check_count("generation", generation, 0)
        _check_count("max_attempts", max_attempts, 1)
        for delay in delays:
            if not timedelta(0) <= delay <= self._lifetimes.longest_delay:
                raise ConfigError(
                    f"a delay is {delay}: use none that is negative, or above {self._lifetimes.longest_delay}"
                )
        claim_id = claim_id or uuid.uuid4().hex
        answer = self._run(
            "claim",
            dag_id,
            run_id,
            self._lifetimes.lease,
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
            ",".join(sorted(options)),
            skip,
            _ms(max_elapsed) if max_elapsed else 0,
            ",".join(str(_ms(delay)) for delay in delays),
        )
        verdict, reason, attempt, cap, task_id, map_index, ti_id, error, kept, due = json.loads(answer)
        claim = Claim(
            verdict=Verdict(verdict),
            reason=reason,
            attempt=int(attempt),
            max_attempts=int(cap),
            generation=generation,
            claim_id=claim_id,
            dag_id=dag_id,
            run_id=run_id,
            holder=holder,
            failed_try=FailedTry(task_id, int(map_index), ti_id, error),
            options=options_of(kept),
            due_at=int(due),
        )
        if self._wait_replicas and claim.verdict is Verdict.WON:
            self._wait(claim)
        return claim

    def renew(self, claim: Claim) -> bool:
        """Ask whether the claim still is the one that clears the run, and give it a new lease.

        :return: whether it is; where not, nothing may be cleared for it.
        """
        return bool(self._run("renew", claim.dag_id, claim.run_id, self._lifetimes.lease, claim.claim_id))

    def confirm(self, claim: Claim, *, reason: Literal["cleared", "already_cleared"] = "cleared") -> bool:
        """Record that the run has been cleared.

        :param reason: whether this claim cleared it, or found that somebody already had.
        :return: whether the claim was still the holder's; where not, nothing is changed.
        """
        return bool(self._run("confirm", claim.dag_id, claim.run_id, claim.claim_id, reason))

    def block(self, claim: Claim, *, reason: str) -> bool:
        """Record that Airflow refused the clear for good: an ending, once it is acknowledged.

        :param reason: why, as a code such as ``http_403``.
        :return: whether the claim was still the holder's, and so is the one to tell it.
        """
        return bool(
            self._run("block", claim.dag_id, claim.run_id, self._lifetimes.lease, claim.claim_id, "blocked", reason)
        )

    def skip(self, claim: Claim, *, reason: str) -> bool:
        """Record that the run of a claim which was won is not cleared after all: an ending.

        :param reason: why, as a code such as ``dag_paused``.
        :return: whether the claim was still the holder's, and so is the one to tell it.
        """
        return bool(
            self._run("block", claim.dag_id, claim.run_id, self._lifetimes.lease, claim.claim_id, "skipped", reason)
        )

    def acknowledge(self, claim: Claim) -> bool:
        """Record that the ending (exhausted, blocked, skipped) was told; an unacknowledged one is told again.

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
        return record_of(dag_id, run_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    def hasten(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Have a run that waits retried now: the sweeper takes it.

        :param holder: who asks, for the reader.
        :return: whether it waits.
        """
        return bool(self._run("hasten", dag_id, run_id, holder))

    def cancel(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Have a failure that waits, or is claimed, not retried. A callback past its last look clears all the same.

        :param holder: who asks, for the reader.
        :return: whether there was a clear to come.
        """
        return bool(self._run("cancel", dag_id, run_id, holder))

    def reset(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Count the attempts of a run anew; a clear that is still to come is the first.

        :param holder: who asks, for the reader.
        :return: whether there is a record.
        """
        return bool(self._run("reset", dag_id, run_id, holder))

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return what is known of a run, or None where it never failed (or its TTL is over)."""
        _check_ids(dag_id, run_id)
        with counter_errors(self._redis):
            fields: Any = self._redis.hgetall(self._keys.run(dag_id, run_id))
        return record_of(dag_id, run_id, fields)

    def _end(self, claim: Claim, status: str, reason: str) -> bool:
        lease = self._lifetimes.lease
        return bool(self._run("block", claim.dag_id, claim.run_id, lease, claim.claim_id, status, reason))

    def _run(self, verb: str, dag_id: str, run_id: str, *arguments: str | int) -> Any:
        script, call = self._call(verb, dag_id, run_id, *arguments)
        return self._eval(script, *call)

    def _call(self, verb: str, dag_id: str, run_id: str, *arguments: str | int) -> tuple[Script, tuple[Any, ...]]:
        """Return a verb's script, and what EVAL takes after its text."""
        _check_ids(dag_id, run_id)
        keys = self._keys.of(dag_id, run_id)
        argv = json.dumps([str(argument) for argument in (dag_id, run_id, self._lifetimes.ttl, *arguments)])
        return script("record", verb), (len(keys), *keys, argv)

    def _eval(self, script: Script, *call: Any) -> Any:
        """Run a script in one round trip: at first by its text, so that it need not be known; then by its hash."""
        with counter_errors(self._redis):
            if script in self._sent:
                from redis.exceptions import NoScriptError

                try:
                    return self._redis.evalsha(script.sha, *call)
                except NoScriptError:
                    pass  # SCRIPT FLUSH, a restart, or another server since a failover
            answer = self._redis.eval(script.text, *call)
            self._sent.add(script)
            return answer

    def _wait(self, claim: Claim) -> None:
        """Wait for the replicas. ``WAIT`` speaks of what its own connection has written (redis.io/commands/wait).

        So a write goes before it, both in one go, and both again where redis-py repeats them on a new connection. That
        write is a renewal: it tells, too, whether a failover since has forgotten the claim.
        """
        answer_timeout = self._redis.get_connection_kwargs().get("socket_timeout") or 2
        with counter_errors(self._redis), self._redis.pipeline(transaction=False) as pipeline:
            script, call = self._call("renew", claim.dag_id, claim.run_id, self._lifetimes.lease, claim.claim_id)
            pipeline.eval(script.text, *call)
            pipeline.wait(self._wait_replicas, int(answer_timeout * 500))
            holder, acknowledged = pipeline.execute()
        if not holder or acknowledged < self._wait_replicas:
            why = (
                f"only {acknowledged} of {self._wait_replicas} replicas have it"
                if holder
                else "Redis forgot that since"
            )
            raise CounterError(
                f"attempt {claim.attempt} is claimed, but {why}: nothing was cleared, and the claim stays due. "
                "See INFO replication on the primary, or lower wait_replicas"
            )


def _check_ids(dag_id: str, run_id: str) -> None:
    if not isinstance(dag_id, str) or not _DAG_ID.fullmatch(dag_id):
        raise ConfigError(f"dag_id is {dag_id!r}: Airflow's are letters, digits, '.', '_' and '-', e.g. 'daily_load'")
    if not isinstance(run_id, str) or not run_id:
        raise ConfigError(f"run_id is {run_id!r}: use the Dag run's, e.g. 'manual__2026-01-01T00:00:00+00:00'")


def _check_count(name: str, value: int, least: int) -> None:
    # bool is an int in Python, and True attempts is a mistake.
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}: use a whole number, {least} or more")
