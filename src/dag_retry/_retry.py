"""``DagRetry``: what a Dag attaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from dag_retry._airflow import options, sdk, settings
from dag_retry._errors import ConfigError
from dag_retry._exported import exported
from dag_retry._policy.conditions import Conditions, Kind
from dag_retry._policy.delays import Delay, Delays
from dag_retry._policy.hooks import Context, Hook, Hooks, listed
from dag_retry._policy.policy import Policy, Scope, limited
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import Lifetimes

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

    from dag_retry._callback.callbacks import Callbacks
    from dag_retry._callback.failure import Failure
    from dag_retry._redis.counter import ManualClear, MissingRecord
    from dag_retry._types import RunRecord

Level = Literal["both", "dag", "task"]

TAG = "dag-retry"
"""Of the Dags that ``dag_args`` makes: by it a sweeper, and whoever looks at the list of Dags, knows them."""


@exported
class DagRetry:
    """Retries a whole Dag run when it fails, at most ``max_attempts`` times.

    Making one does no I/O; a callback reads where Redis and the API are from Airflow's Connections ``dag_retry_redis``
    and ``dag_retry_api``, unless that is given here. Whatever is not given is taken from the option of the same name in
    the section ``[dag_retry]`` (``AIRFLOW__DAG_RETRY__…``), in which durations are seconds, lists have commas between
    their elements, and hooks are ``module:function``.

    Hooks are callables or Airflow notifiers, one or a list. They are called with the context, which then holds the
    :class:`Outcome` under ``dag_retry``.

    :param max_attempts: the Dag-level retries of a budget, 1 or more, at most the section's ``max_attempts_limit``;
        else 3.
    :param delay: how long to wait before each attempt: a ``timedelta``; a list of such, the last one holding for all
        that follow; or a function of the attempt (1 …). Else none. Who wins does not wait: a sweeper clears the run.
    :param backoff: what ``delay`` is multiplied with for each further attempt, 1 or more; else 1.
    :param max_delay: a ``timedelta`` to which delays grow at most, but for the jitter; else none.
    :param jitter: a ``timedelta`` up to which is added to each delay at random; else none.
    :param max_elapsed: a ``timedelta`` from the budget's first failure, after which no attempt begins; else none.
    :param ttl: a ``timedelta`` for which Redis keeps the record of a run after its last change; else 30 days.
    :param scope: clear the whole ``run``, or the tasks that ``failed`` and those after them; the latter is left to the
        Dag level, since a task that calls back is not yet failed for Airflow. Else ``run``.
    :param run_on_latest_version: whether the attempt runs with the latest version of the Dag; else as it was, or as
        Airflow's own settings of that name have it.
    :param retry_on: exception types, or their names (``requests.exceptions.ConnectionError``): no other is retried.
        Where no exception is known (a killed task, a time-out) this is no condition.
    :param give_up_on: exception types, or their names, that are not retried. ``AirflowFailException`` never is.
    :param task_ids: the tasks whose failure is retried; else all.
    :param retry_if: a function of the context; what it returns false for is not retried.
    :param reasons: which of Airflow's reasons are retried at the Dag level, of ``task_failure``, ``timed_out`` and
        ``all_tasks_deadlocked``; else all.
    :param skip_if_newer_run: whether a run is left alone once a newer one of the Dag has succeeded; else not.
    :param on_retry: called when the run has been cleared, or when its delay begins.
    :param on_exhausted: called once when every attempt has failed.
    :param on_blocked: called once when Airflow refused the clear for good.
    :param on_skipped: called once when a failure is not retried: by a condition, or since the Dag is paused.
    :param on_succeeded: called when a run that had failed succeeded.
    :param on_missing_record: where Redis knows nothing of a run, all clears it ever had count (``count_from_zero``: the
        cap holds even if Redis loses everything) or none (``start_fresh``); else the former.
    :param on_manual_clear: clearing an ended run by hand begins a fresh budget (``start_fresh``) or none (``keep``);
        else the former.
    :param redis: a URL (redis-py's, or one for Sentinel or a Cluster), or a client of your own with timeouts of your
        choice; option ``redis_url``.
    :param api: the address of Airflow, which may hold ``user:password@``; options ``api_url``, and for the credentials
        and the way there ``api_token``, ``api_username``, ``api_password``, ``api_client_id``, ``api_client_secret``,
        ``api_token_callable``, ``api_token_path``, ``api_ca_file``, ``api_proxy``.
    :param namespace: what the keys' names begin with; else ``dag-retry``.
    :param wait_replicas: how many replicas must have a claim before the run is cleared; else 0.
    :raises ConfigError: a parameter is wrong, or Airflow is older than 3.2.
    """

    def __init__(
        self,
        max_attempts: int | None = None,
        *,
        delay: Delay | None = None,
        backoff: float | None = None,
        max_delay: timedelta | None = None,
        jitter: timedelta | None = None,
        max_elapsed: timedelta | None = None,
        ttl: timedelta | None = None,
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
        on_missing_record: MissingRecord | None = None,
        on_manual_clear: ManualClear | None = None,
        redis: str | Redis | RedisCluster | None = None,
        api: str | None = None,
        namespace: str | None = None,
        wait_replicas: int | None = None,
    ) -> None:
        sdk.require_fence()
        self._made = time.monotonic()
        self._counting: dict[str, Any] = {
            "namespace": settings.namespace(namespace),
            "ttl": settings.ttl(ttl),
            "wait_replicas": options.whole_number("wait_replicas", wait_replicas, 0, least=0),
        }
        # Made here too, so that what a counter would not take is an error of the Dag file.
        Keys(self._counting["namespace"])
        lifetimes = Lifetimes(self._counting["ttl"])
        self._policy = Policy(
            max_attempts=limited(_attempts(max_attempts), options.named("max_attempts", max_attempts)),
            delays=Delays.of(delay, backoff, max_delay, jitter),
            max_elapsed=options.duration("max_elapsed", max_elapsed),
            scope=options.one_of("scope", scope, ("run", "failed")),
            run_on_latest_version=options.flag("run_on_latest_version", run_on_latest_version),
            skip_if_newer_run=options.flag("skip_if_newer_run", skip_if_newer_run),
            conditions=Conditions.of(retry_on, give_up_on, task_ids, retry_if, reasons),
            on_missing_record=options.one_of(
                "on_missing_record", on_missing_record, ("count_from_zero", "start_fresh")
            ),
            on_manual_clear=options.one_of("on_manual_clear", on_manual_clear, ("start_fresh", "keep")),
            longest_delay=lifetimes.longest_delay,
        )
        if not callable(self._policy.delays.delay):
            self._policy.delays_before()
        self._redis = redis
        self._api = partial(settings.api, api)
        self._hooks = Hooks(
            on_retry=on_retry,
            on_exhausted=on_exhausted,
            on_blocked=on_blocked,
            on_skipped=on_skipped,
            on_succeeded=on_succeeded,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> DagRetry:
        # Airflow copies default_args, callbacks and all, and a Redis client can't be copied. Nothing here changes.
        return self

    def dag_args(self, *, level: Level = "both", **dag_kwargs: Any) -> dict[str, Any]:
        """Return the keyword arguments of a Dag, with the callbacks attached before those that were there already.

        The Dag gets the tag ``dag-retry``.

        :param level: ``both`` clears the run at the first failure, and survives killed tasks; ``dag`` waits until all
            branches have ended, for Dags in which a failed task may still end in a successful run; ``task`` leaves
            killed tasks alone.
        :param dag_kwargs: the Dag's own arguments. Where tasks clear the run, ``retry_delay`` of the ``default_args``
            is 0 unless given: a task that clears its own run waits that long before it starts again.
        :raises ConfigError: there is no such level, or none with this scope, or a callback is not callable.
        """
        options.one_of("level", level, ("both", "dag", "task"))
        tasks_clear = level != "dag" and self._policy.scope == "run"
        if level == "task" and not tasks_clear:
            raise ConfigError("level is 'task', and scope 'failed' is for the Dag level: use level 'both' or 'dag'")
        arguments = dict(dag_kwargs)
        defaults: dict[str, Any] = dict(arguments.get("default_args") or {})
        if tasks_clear:
            defaults = {"retry_delay": timedelta(0)} | defaults
        arguments["default_args"] = _attached(
            defaults, "on_failure_callback", self.on_failure if tasks_clear else self.judge
        )
        if level != "task":
            arguments = _attached(arguments, "on_failure_callback", self.on_failure)
        arguments["tags"] = [*(tag for tag in arguments.get("tags") or () if tag != TAG), TAG]
        return _attached(arguments, "on_success_callback", self.on_success)

    def on_failure(self, context: Context) -> None:
        """Retry the run that this failure belongs to, if it is this callback that wins: for tasks and for Dags.

        :param context: what Airflow gives to a failure callback.
        :raises DagRetryError: what went wrong, after it was logged with what became of the run. Airflow itself logs
            and swallows what a callback raises.
        """
        self._callbacks().failed(context, clears=True)

    def judge(self, context: Context) -> None:
        """Leave a verdict for the Dag level, where a task fails in a way that is not to be retried: for tasks.

        The Dag level does not know the exception. ``dag_args`` attaches this where tasks don't clear the run.

        :param context: what Airflow gives to a failure callback of a task.
        :raises DagRetryError: what went wrong, after it was logged.
        """
        self._callbacks().failed(context, clears=False)

    def on_success(self, context: Context) -> None:
        """End the budget of a run that had failed: for the Dag's ``on_success_callback``.

        Where Redis is away this is a warning, since the record's TTL does the rest.

        :param context: what Airflow gives to a success callback of a Dag.
        :raises ConfigError: a setting is missing or wrong.
        """
        self._callbacks().succeeded(context)

    def read(self, dag_id: str, run_id: str) -> RunRecord | None:
        """Return what is known of a run, None where it never failed.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :raises CounterError: Redis is unreachable.
        :raises ConfigError: a setting is missing or wrong.
        """
        with self._callbacks().connected() as counter:
            return counter.read(dag_id, run_id)

    def _callbacks(self) -> Callbacks:
        # When a run has ended: a Dag file needs none of it.
        from dag_retry._callback.callbacks import Callbacks

        return Callbacks(
            self._policy,
            self._hooks,
            counting=self._counting,
            redis=self._redis,
            api=self._api,
            missing_record=self._missing_record,
            made=self._made,
        )

    @contextmanager
    def _missing_record(self, failure: Failure, policy: Policy) -> Iterator[MissingRecord | int]:
        """Give what counts where Redis knows nothing of a run, for as long as it is claimed."""
        yield policy.on_missing_record


def _attempts(argument: int | None) -> int:
    hint = " (to switch retries off, take the callbacks off the Dag)"
    return options.whole_number("max_attempts", argument, 3, least=1, hint=hint)


def _attached(arguments: dict[str, Any], name: str, callback: Hook) -> dict[str, Any]:
    """Return the arguments with a callback before those that were there, once."""
    there = listed(name, arguments[name]) if arguments.get(name) else []
    return arguments | {name: [callback, *(other for other in there if other != callback)]}
