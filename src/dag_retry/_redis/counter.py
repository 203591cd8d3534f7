"""The attempt counter: a method for each verb, with typed arguments and answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from dag_retry._defaults import NAMESPACE, TTL
from dag_retry._exported import exported
from dag_retry._redis.claim_verbs import ClaimVerbs
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import LEASE, Lifetimes, ms, ms_since_epoch
from dag_retry._redis.record import claim_of, flags_text, record_of
from dag_retry._redis.replicas import Replicas
from dag_retry._redis.scripts import Verbs, check_count, check_ids, new_claim_id
from dag_retry._types import Claim, ClearOption, FailedTry, RunRecord

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

Level = Literal["task", "dag", "sweeper"]
MissingRecord = Literal["count_from_zero", "start_fresh"]
ManualClear = Literal["start_fresh", "keep"]


@exported
class AttemptCounter(ClaimVerbs):
    """Counts the Dag-level retries of runs in Redis, with one atomic script for each call.

    Every method raises :class:`CounterError` if Redis is unreachable or refuses, or if the run's key holds something
    else. A claim that was made stays due.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``, which may decode its answers. redis-py sends a
        script again after a lost reply; a repeated call gets the same answer.
    :param namespace: separates deployments or teams that share a Redis; letters, digits, ``.``, ``_``, ``-``.
    :param ttl: how long Redis keeps a record after its last change.
    :param lease: how long a winner may take before another callback finishes its claim.
    :param wait_replicas: how many replicas must have a claim before it is won. If they don't acknowledge it within half
        of the client's ``socket_timeout`` (1 s without one), ``claim`` raises :class:`CounterError`, and the claim
        stays due. Not for a Cluster.
    :raises ConfigError: the namespace, a duration or a number is wrong.
    """

    def __init__(
        self,
        redis_client: Redis | RedisCluster,
        *,
        namespace: str = NAMESPACE,
        ttl: timedelta = TTL,
        lease: timedelta = LEASE,
        wait_replicas: int = 0,
    ) -> None:
        self._redis = redis_client
        self._keys = Keys(namespace)
        lifetimes = Lifetimes(ttl, lease)
        super().__init__(Verbs(redis_client, self._keys, lifetimes.ttl), lifetimes)
        self._replicas = Replicas(redis_client, self._verbs, wait_replicas)

    def claim(  # noqa: PLR0913 - the public method
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
        clear_options: Collection[ClearOption] = (),
        own_hooks: bool = False,
        skip: str = "",
        leave: bool = False,
        delays: Sequence[timedelta] = (),
        max_elapsed: timedelta | None = None,
        run_started: datetime | None = None,
        run_after: datetime | None = None,
        on_missing_record: MissingRecord | int = "count_from_zero",
        on_manual_clear: ManualClear = "start_fresh",
    ) -> Claim:
        """Ask to be the one that retries this run in this generation.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param generation: ``dag_run.clear_number``, as the failed try saw it.
        :param max_attempts: the cap of a budget, 1 or more.
        :param claim_id: names the claim; the same id gets the same answer. By default a new id is made.
        :param holder: who asks: host and process. The events show it.
        :param takeover: whether every task of the run has ended, so that a winner at the task level is dead.
        :param level: where the caller runs.
        :param failed_try: the failed try, kept for whoever finishes the claim.
        :param clear_options: how to clear the run, kept for whoever finishes the claim.
        :param own_hooks: whether the Dag has hooks of its own for endings. A sweeper does not have them, so a claim at
            the level ``sweeper`` then leaves an ending to a callback of the Dag.
        :param skip: why this failure is not retried, as a code; empty if it is retried. A claim that would be won is
            then ``SKIPPED``, which is an ending.
        :param leave: whether an ending is left to a Dag-level callback, which tells the hooks once the run has failed.
            Nobody else tells them for a day. If the run succeeds instead, there is nothing to tell.
        :param delays: the delay before each attempt; the last one holds for all later attempts. A claim that is won
            then waits until its ``due_at``, when a sweeper takes it.
        :param max_elapsed: no attempt begins later than this after the budget's first failure.
        :param run_started: ``dag_run.start_date``. It tells a run that was deleted, and made anew under the same id.
        :param run_after: ``dag_run.run_after``: the run can't have failed earlier. If Redis has remembered everything
            since then, a run without a record never failed, and no clear counts.
        :param on_missing_record: what counts if the run has no record: every clear (``count_from_zero``, so that the
            cap holds although Redis forgot), no clear (``start_fresh``), or the attempts that another counter holds.
        :param on_manual_clear: what a clear by hand after an ending begins: a fresh budget, or (``keep``) none.
        :return: the verdict, and why.
        :raises ConfigError: an id, the generation, the cap or a duration is wrong.
        """
        check_count("generation", generation, 0)
        check_count("max_attempts", max_attempts, 1)
        self._lifetimes.check_delays(*delays)
        claim_id = claim_id or new_claim_id()
        answer, acknowledged = self._replicas.run(
            "claim",
            dag_id,
            run_id,
            lease=self._lifetimes.left if leave else self._lifetimes.lease,
            claim_id=claim_id,
            generation=generation,
            max_attempts=max_attempts,
            holder=holder,
            level=level,
            task_id=failed_try.task_id,
            map_index=failed_try.map_index,
            ti_id=failed_try.ti_id,
            error=failed_try.error,
            flags=flags_text(clear_options, own_hooks=own_hooks),
            takeover=1 if takeover else None,
            skip=skip or None,
            leave=1 if leave else None,
            delays=[ms(delay) for delay in delays] or None,
            max_elapsed=ms(max_elapsed) if max_elapsed else None,
            run_started=ms_since_epoch(run_started),
            run_after=ms_since_epoch(run_after),
            on_missing_record=None if on_missing_record == "count_from_zero" else on_missing_record,
            on_manual_clear=None if on_manual_clear == "start_fresh" else on_manual_clear,
        )
        claim = claim_of(answer, dag_id=dag_id, run_id=run_id, generation=generation, claim_id=claim_id, holder=holder)
        self._replicas.check(claim, acknowledged)
        return claim

    def succeed(
        self, dag_id: str, run_id: str, *, generation: int | None = None, run_started: datetime | None = None
    ) -> RunRecord | None:
        """Record that a run which had failed has succeeded. A run that never failed leaves no record.

        :param generation: ``dag_run.clear_number``, if known.
        :param run_started: ``dag_run.start_date``, if known.
        :return: the record if this success ended a budget, else None. Without a clear nothing has recovered.
        """
        if generation is not None:
            check_count("generation", generation, 0)
        started = ms_since_epoch(run_started)
        flat = self._verbs.run("succeed", dag_id, run_id, generation=generation, run_started=started, holder="")
        return record_of(dag_id, run_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return the record of a run; None if the run never failed, or if the record's TTL is over."""
        check_ids(dag_id, run_id)
        with counter_errors(self._redis):
            return record_of(dag_id, run_id, cast("Any", self._redis.hgetall(self._keys.run(dag_id, run_id))))
