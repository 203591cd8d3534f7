"""``DagRetry``, whose callbacks a Dag attaches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from dag_retry._airflow import sdk, section
from dag_retry._defaults import MAX_ATTEMPTS
from dag_retry._errors import ConfigError
from dag_retry._exported import exported
from dag_retry._policy import dag_level
from dag_retry._policy.conditions import Conditions, Kind
from dag_retry._policy.delays import Delay, Delays
from dag_retry._policy.hooks import Context, Hook, Hooks, listed
from dag_retry._policy.policy import Policy, Scope, limited
from dag_retry._redis.lifetimes import Lifetimes

if TYPE_CHECKING:
    from dag_retry._callback.callbacks import Callbacks
    from dag_retry._callback.failure import Failure
    from dag_retry._redis.counter import ManualClear, MissingRecord
    from dag_retry._types import RunRecord

log = logging.getLogger(__name__)

Level = Literal["both", "dag", "task"]

TAG = "dag-retry"
"""The tag of each Dag that is made with ``dag_args``. Sweepers find these Dags by it."""


@exported
class DagRetry:
    """Retries a whole Dag run when it fails, at most ``max_attempts`` times.

    A parameter that is not given comes from the option of the same name in the section ``[dag_retry]`` of Airflow's
    configuration (``AIRFLOW__DAG_RETRY__…``). The addresses of Redis and of Airflow's REST API are options only, so
    that callbacks, sweepers, the command line and the page agree. The constructor does no I/O.

    Hooks are callables or Airflow notifiers, one or a list. They are called with Airflow's context, which then holds
    the :class:`Outcome` as ``dag_retry``.

    :param max_attempts: the Dag-level retries of a budget, 1 or more, at most the section's ``max_attempts_limit``.
    :param delay: how long to wait before each attempt: a ``timedelta``; a list of them, whose last one holds for all
        further attempts; or a function of the attempt (1 …). The winner does not wait: a sweeper clears the run.
    :param backoff: the factor from each delay to the next; 1 or more.
    :param max_delay: a ``timedelta``: the longest delay, without its jitter. It needs a ``delay``.
    :param jitter: a ``timedelta``: the most that is added to each delay at random.
    :param max_elapsed: a ``timedelta`` after the budget's first failure; no attempt begins later.
    :param scope: what is cleared: the whole ``run``, or the tasks that ``failed`` and those after them. While a task
        calls back, Airflow does not count it as failed. So with ``failed`` only the Dag level clears.
    :param run_on_latest_version: whether the attempt runs with the latest version of the Dag; else Airflow's own
        settings of that name decide.
    :param retry_on: exception types, or their names (``requests.exceptions.ConnectionError``): no other exception is
        retried. A failure without a known exception (a killed task, a time-out) meets this condition. A name with a dot
        is looked up when a task fails.
    :param give_up_on: exception types, or their names, that are not retried. ``AirflowFailException`` never is.
    :param task_ids: the tasks whose failure is retried; else all.
    :param retry_if: a function of the context; a failure is retried where it returns true.
    :param reasons: which of Airflow's reasons are retried at the Dag level: ``task_failure``, ``timed_out``,
        ``all_tasks_deadlocked``; else all.
    :param skip_if_newer_run: whether a run is left alone once a newer run of its Dag has succeeded.
    :param on_retry: called when the run has been cleared, or when its delay begins.
    :param on_exhausted: called once when every attempt has failed.
    :param on_blocked: called once when Airflow refused the clear for good.
    :param on_skipped: called once when a failure is not retried: by a condition, or because the Dag is paused.
    :param on_succeeded: called when a run that had failed succeeded.
    :param on_manual_clear: what a clear by hand of a run that had ended begins: a fresh budget (``start_fresh``), or
        none (``keep``).
    :raises ConfigError: a parameter or an option is wrong, or Airflow is older than 3.2.
    """

    def __init__(  # noqa: PLR0913 - the public constructor
        self,
        max_attempts: int | None = None,
        *,
        delay: Delay | None = None,
        backoff: float | None = None,
        max_delay: timedelta | None = None,
        jitter: timedelta | None = None,
        max_elapsed: timedelta | None = None,
        scope: Scope | None = None,
        run_on_latest_version: bool | None = None,
        retry_on: Kind | Sequence[Kind] | None = None,
        give_up_on: Kind | Sequence[Kind] | None = None,
        task_ids: str | Sequence[str] | None = None,
        retry_if: Callable[[Any], object] | None = None,
        reasons: str | Sequence[str] | None = None,
        skip_if_newer_run: bool | None = None,
        on_retry: Hook | Sequence[Hook] | None = None,
        on_exhausted: Hook | Sequence[Hook] | None = None,
        on_blocked: Hook | Sequence[Hook] | None = None,
        on_skipped: Hook | Sequence[Hook] | None = None,
        on_succeeded: Hook | Sequence[Hook] | None = None,
        on_manual_clear: ManualClear | None = None,
    ) -> None:
        sdk.check_version()
        self._made = time.monotonic()
        self._policy = Policy(
            max_attempts=limited(
                section.get("max_attempts", max_attempts) or MAX_ATTEMPTS, section.named("max_attempts", max_attempts)
            ),
            delays=Delays.of(delay, backoff, max_delay, jitter),
            max_elapsed=section.get("max_elapsed", max_elapsed),
            scope=section.get("scope", scope),
            run_on_latest_version=section.get("run_on_latest_version", run_on_latest_version),
            skip_if_newer_run=section.get("skip_if_newer_run", skip_if_newer_run),
            conditions=Conditions.of(retry_on, give_up_on, task_ids, retry_if, reasons),
            on_manual_clear=section.get("on_manual_clear", on_manual_clear),
            longest_delay=Lifetimes(section.get("ttl")).longest_delay,
        )
        if not callable(self._policy.delays.delay):
            self._policy.delays_before()
        self._policy.check_way()
        self._hooks = Hooks(
            on_retry=on_retry,
            on_exhausted=on_exhausted,
            on_blocked=on_blocked,
            on_skipped=on_skipped,
            on_succeeded=on_succeeded,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> DagRetry:
        # Airflow copies default_args and the callbacks in them. A hook may hold an object that can't be copied, such as
        # a client or a lock. A DagRetry never changes, so it needs no copy.
        return self

    def dag_args(self, *, level: Level = "both", **dag_kwargs: Any) -> dict[str, Any]:
        """Return the keyword arguments of a Dag, with our callbacks before its own, and with the tag ``dag-retry``.

        If the Dag's arguments have ``max_active_runs=1`` and ``depends_on_past``, only a task can retry a run, and only
        without a delay. If no task will, this logs a warning.

        :param level: ``both`` clears the run at the first failure by which the run is certainly lost, if no teardown is
            still to come, and leaves other failures and killed tasks to the Dag level; ``dag`` waits until all
            branches have ended; ``task`` clears at any failure, even if the run might still have succeeded, and leaves
            killed tasks alone.
        :param dag_kwargs: the Dag's own arguments. If tasks clear the run, ``retry_delay`` of the ``default_args`` is 0
            unless given: a task that clears its own run waits that long before it starts again.
        :raises ConfigError: there is no such level, or the scope does not allow it, or a callback is not callable.
        """
        if level not in get_args(Level):
            raise ConfigError(f"level is {level!r}: use {' or '.join(map(repr, get_args(Level)))}")
        tasks_clear = level != "dag" and self._policy.scope == "run"
        if level == "task" and not tasks_clear:
            raise ConfigError("level is 'task', and scope 'failed' is for the Dag level: use level 'both' or 'dag'")
        arguments = dict(dag_kwargs)
        defaults: dict[str, Any] = dict(arguments.get("default_args") or {})
        if tasks_clear:
            defaults = {"retry_delay": timedelta(0)} | defaults
        if not tasks_clear or self._policy.delays.may_wait():
            _warn_of_a_wait_for_ever(arguments, defaults)
        arguments["default_args"] = _attached(
            defaults, "on_failure_callback", self.on_failure if tasks_clear else self.judge
        )
        if level != "task":
            arguments = _attached(arguments, "on_failure_callback", self.on_failure)
        arguments["tags"] = [*(tag for tag in arguments.get("tags") or () if tag != TAG), TAG]
        return _attached(arguments, "on_success_callback", self.on_success)

    @dag_level.ours(retries=True)
    def on_failure(self, context: Context) -> None:
        """Claim a failure, and retry the run if the claim is won: the ``on_failure_callback`` of tasks and of Dags.

        :param context: what Airflow gives to a failure callback.
        :raises DagRetryError: what went wrong, after it was logged. Airflow logs and swallows what a callback raises.
        """
        self._callbacks().failed(context, clears=True)

    @dag_level.ours(retries=False)
    def judge(self, context: Context) -> None:
        """Record that a task's failure is not retried, if this is so. This is an ``on_failure_callback`` of tasks.

        The Dag level does not know the exception, and relies on that record. ``dag_args`` attaches this callback if
        tasks don't clear the run.

        :param context: what Airflow gives to a failure callback of a task.
        :raises DagRetryError: what went wrong, after it was logged.
        """
        self._callbacks().failed(context, clears=False)

    @dag_level.ours(retries=False)
    def on_success(self, context: Context) -> None:
        """End the budget of a run that had failed. This is the ``on_success_callback`` of a Dag.

        If Redis does not answer, this logs a warning, and the record ends with its TTL.

        :param context: what Airflow gives to a success callback of a Dag.
        :raises ConfigError: a setting is missing or wrong.
        """
        self._callbacks().succeeded(context)

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return the record of a run, None if the run never failed.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :raises CounterError: Redis is unreachable.
        :raises ConfigError: a setting is missing or wrong.
        """
        with self._callbacks().connected() as counter:
            return counter.read(dag_id, run_id)

    def _callbacks(self) -> Callbacks:
        # Imported here: a Dag file is parsed often, and needs none of this before a run has ended.
        from dag_retry._callback.callbacks import Callbacks

        return Callbacks(
            self._policy,
            self._hooks,
            missing_record=self._missing_record,
            made=self._made,
        )

    @contextmanager
    def _missing_record(self, failure: Failure) -> Iterator[MissingRecord | int]:
        """Give what counts if Redis has no record of the run. The block claims the failure."""
        yield "count_from_zero"


def _warn_of_a_wait_for_ever(arguments: dict[str, Any], defaults: dict[str, Any]) -> None:
    if arguments.get("max_active_runs") == 1 and (
        defaults.get("depends_on_past") or defaults.get("wait_for_downstream")
    ):
        log.warning(
            "Dag retry: this Dag has max_active_runs=1 and depends_on_past, and a run of it that is cleared after its "
            "end waits for ever. So no run of it is retried. Set max_active_runs to 2 or more, or use level 'both' "
            "with scope 'run' and no delay."
        )


def _attached(arguments: dict[str, Any], name: str, callback: Hook) -> dict[str, Any]:
    """Return the arguments with a callback before the callbacks of that name, once."""
    there = listed(name, arguments[name]) if arguments.get(name) else []
    return arguments | {name: [callback, *(other for other in there if other != callback)]}
