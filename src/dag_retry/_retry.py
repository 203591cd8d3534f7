"""``DagRetry``: what a Dag attaches, and what becomes of each failure."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from dag_retry import _airflow, _settings
from dag_retry._counter import AttemptCounter, ManualClear, MissingRecord
from dag_retry._deadline import Deadline
from dag_retry._errors import ClearRefused, ClearUnconfirmed, ConfigError, CounterError, DagRetryError
from dag_retry._failure import Failure
from dag_retry._words import Claim, Outcome, RunRecord, Status, Verdict

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

# airflow.sdk.Context is a TypedDict, which takes no key of ours; the callbacks must fit where it is asked for.
Context: TypeAlias = Any
Hook = Callable[[Any], Any]
Level = Literal["both", "dag", "task"]

# What a callback may take, in seconds: well within a worker's grace of 20 s, and far less than a claim's lease.
_BUDGET = 15.0


class DagRetry:
    """Retries a whole Dag run when it fails, at most ``max_attempts`` times.

    Making one does no I/O; a callback reads the settings that are not given here from Airflow's Connections
    ``dag_retry_redis`` and ``dag_retry_api``, then from the section ``[dag_retry]`` (``AIRFLOW__DAG_RETRY__…``).

    Hooks are callables or Airflow notifiers, one or a list. They are called with the context, which then holds the
    :class:`Outcome` under ``dag_retry``.

    :param max_attempts: the Dag-level retries of a budget, 1 or more; section key ``max_attempts``, else 3.
    :param ttl: how long Redis keeps the record of a run after its last change; key ``ttl`` (seconds), else 30 days.
    :param on_retry: called when the run has been cleared.
    :param on_exhausted: called once when every attempt has failed.
    :param on_blocked: called once when Airflow refused the clear for good.
    :param on_succeeded: called when a run that had failed succeeded.
    :param on_missing_record: where Redis knows nothing of a run, all clears it ever had count (``count_from_zero``: the
        cap holds even if Redis loses everything) or none (``start_fresh``).
    :param on_manual_clear: clearing an ended run by hand begins a fresh budget (``start_fresh``) or none (``keep``).
    :param redis: a URL as redis-py takes it, or a client of your own with timeouts of your choice; key ``redis_url``.
    :param api: the address of Airflow, which may hold ``user:password@``; keys ``api_url``, ``api_token``,
        ``api_username``, ``api_password``.
    :param namespace: what the keys' names begin with; key ``namespace``, else ``dag-retry``.
    :raises ConfigError: a parameter is wrong, or Airflow is older than 3.2.
    """

    def __init__(
        self,
        max_attempts: int | None = None,
        *,
        ttl: timedelta | None = None,
        on_retry: Hook | Sequence[Hook] = (),
        on_exhausted: Hook | Sequence[Hook] = (),
        on_blocked: Hook | Sequence[Hook] = (),
        on_succeeded: Hook | Sequence[Hook] = (),
        on_missing_record: MissingRecord = "count_from_zero",
        on_manual_clear: ManualClear = "start_fresh",
        redis: str | Redis | None = None,
        api: str | None = None,
        namespace: str | None = None,
    ) -> None:
        _airflow.require_fence()
        self._max_attempts = _settings.max_attempts(max_attempts)
        self._counter = partial(AttemptCounter, namespace=_settings.namespace(namespace), ttl=_settings.ttl(ttl))
        # Made once here, without a client, so that a wrong name or duration is an error of the Dag file.
        self._counter(cast(Any, None))
        self._policy = {
            "on_missing_record": _one_of("on_missing_record", on_missing_record, "count_from_zero", "start_fresh"),
            "on_manual_clear": _one_of("on_manual_clear", on_manual_clear, "start_fresh", "keep"),
        }
        self._redis = redis
        self._api = api
        self._hooks = {
            Status.RETRYING: _listed("on_retry", on_retry),
            Status.EXHAUSTED: _listed("on_exhausted", on_exhausted),
            Status.BLOCKED: _listed("on_blocked", on_blocked),
            Status.SUCCEEDED: _listed("on_succeeded", on_succeeded),
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> DagRetry:
        # Airflow copies default_args, callbacks and all, and a Redis client can't be copied. Nothing here changes.
        return self

    def dag_args(self, *, level: Level = "both", **dag_kwargs: Any) -> dict[str, Any]:
        """Return the keyword arguments of a Dag, with the callbacks attached before those that were there already.

        :param level: ``both`` clears the run at the first failure, and survives killed tasks; ``dag`` waits until all
            branches have ended, for Dags in which a failed task may still end in a successful run; ``task`` leaves
            killed tasks alone.
        :param dag_kwargs: the Dag's own arguments. Where tasks call back, ``retry_delay`` of the ``default_args`` is
            0 unless given: a task that clears its own run waits that long before it starts again.
        :raises ConfigError: there is no such level, or a callback is not callable.
        """
        _one_of("level", level, "both", "dag", "task")
        arguments = dict(dag_kwargs)
        if level != "dag":
            defaults: dict[str, Any] = {"retry_delay": timedelta(0)} | dict(arguments.get("default_args") or {})
            arguments["default_args"] = _attached(defaults, "on_failure_callback", self.on_failure)
        if level != "task":
            arguments = _attached(arguments, "on_failure_callback", self.on_failure)
        return _attached(arguments, "on_success_callback", self.on_success)

    def on_failure(self, context: Context) -> None:
        """Retry the run that this failure belongs to, if it is this callback that wins: for tasks and for Dags.

        :param context: what Airflow gives to a failure callback.
        :raises DagRetryError: what went wrong, after it was logged with what became of the run. Airflow itself logs
            and swallows what a callback raises.
        """
        with _loud("%s"):
            failure = Failure.of(context)
        run = _named(failure.dag_id, failure.run_id)
        if failure.skip:
            log.info("Dag retry: %s: nothing to retry (%s).", run, failure.skip)
            return
        deadline = Deadline(min(_BUDGET, 0.75 * _airflow.grace()))
        with ExitStack() as stack:
            with _loud(
                "%s failed and was NOT retried, nothing was cleared: %s. Mend this, then clear it by hand.",
                run,
                not_retried=failure.dag_id,
            ):
                if failure.lost and not self._is_lost(failure, deadline):
                    log.info("Dag retry: %s: nothing to retry (restarting).", run)
                    return
                counter = stack.enter_context(self._connected())
                claim = counter.claim(
                    failure.dag_id,
                    failure.run_id,
                    generation=failure.generation,
                    max_attempts=self._max_attempts,
                    holder=f"{socket.gethostname()}:{os.getpid()}",
                    takeover=failure.tasks_ended,
                    level=failure.level,
                    failed_try=failure.failed_try,
                    **self._policy,
                )
            _airflow.count("taken_over" if claim.reason == "taken_over" else claim.verdict.value, claim.dag_id)
            if claim.verdict is Verdict.LOST:
                log.info("Dag retry: %s: nothing to do, this failure is in hand (%s).", run, claim.reason)
            elif claim.verdict is Verdict.EXHAUSTED:
                self._give_up(context, counter, claim)
            else:
                self._retry(context, counter, claim, deadline)

    def on_success(self, context: Context) -> None:
        """End the budget of a run that had failed: for the Dag's ``on_success_callback``.

        Where Redis is away this is a warning, since the record's TTL does the rest.

        :param context: what Airflow gives to a success callback of a Dag.
        :raises ConfigError: a setting is missing or wrong.
        """
        if context.get("reason") != "success":
            log.warning("Dag retry: on_success is for the on_success_callback of a Dag: nothing was changed.")
            return
        # Airflow leaves dag_run out where the run's last task has no Dag version (`produce_dag_callback`).
        dag_run = context.get("dag_run")
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        with _loud("%s succeeded, and that was not recorded: %s.", _named(dag_id, run_id)):
            try:
                with self._connected() as counter:
                    record = counter.succeed(dag_id, run_id, generation=dag_run.clear_number if dag_run else None)
            except CounterError as error:
                log.warning("Dag retry: %s succeeded, and that was not recorded: %s.", _named(dag_id, run_id), error)
                return
        if record:
            _airflow.count("succeeded", dag_id)
            log.info(
                "Dag retry: %s succeeded on attempt %d of %d.",
                _named(dag_id, run_id),
                record.attempt,
                record.max_attempts,
            )
            self._tell(context, Status.SUCCEEDED, record, record.reason)

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return what is known of a run, None where it never failed.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :raises CounterError: Redis is unreachable.
        :raises ConfigError: a setting is missing or wrong.
        """
        with self._connected() as counter:
            return counter.read(dag_id, run_id)

    @contextmanager
    def _connected(self) -> Iterator[AttemptCounter]:
        if self._redis is not None and not isinstance(self._redis, str):
            yield self._counter(self._redis)
            return
        from dag_retry._redis import connect

        with closing(connect(_settings.redis_url(self._redis))) as client:
            yield self._counter(client)

    def _is_lost(self, failure: Failure, deadline: Deadline) -> bool:
        from dag_retry._api import AirflowApi

        with AirflowApi(_settings.api(self._api), deadline) as session:
            return session.is_lost(failure.dag_id, failure.run_id, failure.failed_try, failure.try_number)

    def _retry(self, context: Context, counter: AttemptCounter, claim: Claim, deadline: Deadline) -> None:
        from dag_retry._finish import finish

        run = _named(claim.dag_id, claim.run_id)
        attempt = f"attempt {claim.attempt} of {claim.max_attempts}"
        try:
            done = finish(counter, claim, partial(_settings.api, self._api), deadline)
        except ClearRefused as refusal:
            log.error(
                "Dag retry: %s failed and is blocked (%s): %s. Mend this, then clear it by hand.",
                run,
                refusal.reason,
                refusal,
            )
            self._end(context, counter, claim, Status.BLOCKED, refusal.reason)
            raise
        except (ClearUnconfirmed, CounterError) as error:
            log.error(
                "Dag retry: %s failed, %s is claimed, and it is not known whether the run was cleared: %s. "
                "The Dag-level callback finishes this once all tasks have ended; if the run stays failed, clear it "
                "by hand.",
                run,
                attempt,
                error,
            )
            _airflow.count("unconfirmed", claim.dag_id)
            raise
        if done == "not_holder":
            log.info("Dag retry: %s: nothing to do, another callback finishes %s.", run, attempt)
            return
        _airflow.count("cleared", claim.dag_id)
        log.info("Dag retry: %s: %s begins (%s).", run, attempt, done.replace("_", " "))
        self._tell(context, Status.RETRYING, claim, claim.reason)

    def _give_up(self, context: Context, counter: AttemptCounter, claim: Claim) -> None:
        why = f"all {claim.max_attempts} attempts failed"
        if claim.reason == "generation":
            why = f"it was cleared {claim.generation} times, by hand too, and {claim.max_attempts} attempts are allowed"
        run = _named(claim.dag_id, claim.run_id)
        log.error("Dag retry: gave up on %s: %s. Mend the cause, then clear it by hand.", run, why)
        self._end(context, counter, claim, Status.EXHAUSTED, claim.reason)

    def _end(self, context: Context, counter: AttemptCounter, claim: Claim, status: Status, reason: str) -> None:
        """Tell an ending, then acknowledge it: where a hook fails, or this process dies, it is told again."""
        if status is Status.BLOCKED:
            _airflow.count("blocked", claim.dag_id)
        self._tell(context, status, claim, reason)
        run = _named(claim.dag_id, claim.run_id)
        with _loud("%s: that it is %s was told, and not recorded: %s. It may be told again.", run, status.value):
            counter.acknowledge(claim)

    def _tell(self, context: Context, status: Status, what: Claim | RunRecord, reason: str) -> None:
        """Call the hooks, each of them whatever became of the others.

        :raises Exception: the first that a hook raised.
        """
        context["dag_retry"] = Outcome(
            status, reason, what.attempt, what.max_attempts, what.dag_id, what.run_id, what.failed_try
        )
        failed: Exception | None = None
        for hook in self._hooks[status]:
            try:
                hook(context)
            except Exception as error:
                log.exception(
                    "Dag retry: %s is %s, and a hook that was to tell it failed.",
                    _named(what.dag_id, what.run_id),
                    status.value,
                )
                failed = failed or error
        if failed:
            raise failed


@contextmanager
def _loud(message: str, *arguments: str, not_retried: str | None = None) -> Iterator[None]:
    """Log what went wrong before Airflow swallows it; where a run of that Dag was not retried, count it too."""
    try:
        yield
    except DagRetryError as error:
        log.error("Dag retry: " + message, *arguments, error)
        if not_retried:
            _airflow.count("not_retried", not_retried)
        raise


def _named(dag_id: str, run_id: str) -> str:
    return f"run {run_id!r} of Dag {dag_id!r}"


def _one_of(name: str, value: str, *allowed: str) -> Any:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}: use {' or '.join(map(repr, allowed))}")
    return value


def _listed(name: str, callbacks: Any) -> list[Any]:
    listed = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    for callback in listed:
        if not callable(callback):
            raise ConfigError(f"{name} is {callback!r}: use a function or notifier, or a list of them")
    return listed


def _attached(arguments: dict[str, Any], name: str, callback: Hook) -> dict[str, Any]:
    """Return the arguments with a callback before those that were there, once."""
    others = [other for other in _listed(name, arguments.get(name)) if other != callback]
    return arguments | {name: [callback, *others]}
