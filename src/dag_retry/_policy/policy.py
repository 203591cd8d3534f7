"""The policy: what is retried, how often, when and how. A Dag has one, and a run may have other limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dag_retry._airflow import options, sdk, section
from dag_retry._errors import ConfigError
from dag_retry._policy import dag_level
from dag_retry._policy.conditions import Conditions
from dag_retry._policy.delays import Delays
from dag_retry._policy.lost_runs import is_lost

if TYPE_CHECKING:
    from dag_retry._callback.failure import Failure
    from dag_retry._redis.counter import ManualClear
    from dag_retry._types import ClearOption

Scope = Literal["run", "failed"]

# The key that holds other limits, in `dag_run.conf` and in the params of a Dag.
OVERRIDES = "dag_retry"


class Policy(NamedTuple):
    """The policy of a Dag or of one run. The other parameters are those of ``DagRetry``.

    :param longest_delay: the longest delay for which Redis keeps a record.
    :param enabled: whether this run is retried at all.
    """

    max_attempts: int
    delays: Delays
    max_elapsed: timedelta | None
    scope: Scope
    run_on_latest_version: bool
    skip_if_newer_run: bool
    conditions: Conditions
    on_manual_clear: ManualClear
    longest_delay: timedelta
    enabled: bool = True

    def of_run(self, context: Mapping[str, Any]) -> Policy:
        """Return the policy of a run. The params of its Dag, and its own conf, may hold limits under ``dag_retry``.

        :param context: what Airflow gave to the callback.
        :raises ConfigError: a limit is wrong, or above ``max_attempts_limit``.
        """
        of_dag = (context.get("params") or {}).get(OVERRIDES)
        # Airflow may copy the run's conf into the params. The run's own limits win.
        of_run = (getattr(context["dag_run"], "conf", None) or {}).get(OVERRIDES)
        policy = self
        for where, overrides in ((f"params[{OVERRIDES!r}]", of_dag), (f"dag_run.conf[{OVERRIDES!r}]", of_run)):
            if overrides is not None:
                policy = policy._overridden(where, overrides)
        return policy

    def check_way(self) -> None:
        """Check that the deployment can clear as the policy says. Without credentials only whole runs are cleared.

        :raises ConfigError: the policy needs credentials for Airflow's REST API, and there are none.
        """
        needs = {
            "scope 'failed'": self.scope == "failed",
            "run_on_latest_version": self.run_on_latest_version,
            "skip_if_newer_run": self.skip_if_newer_run,
        }
        wanted = [name for name, is_set in needs.items() if is_set]
        if not wanted:
            return
        from dag_retry._airflow import settings

        if not settings.has_credentials():
            raise ConfigError(
                f"{' and '.join(wanted)}: this needs credentials for Airflow's REST API, and there are none. Set "
                f"{section.named('api_token')} or {section.named('api_username')} and {section.named('api_password')}"
            )

    def skip(self, failure: Failure, context: Mapping[str, Any]) -> str:
        """Return why a failure is not retried, as a code; empty if it is retried.

        :param failure: the failure.
        :param context: what Airflow gave to the callback.
        :raises ConfigError: a condition can't be evaluated.
        """
        return self.conditions.skip(failure, context) if self.enabled else "disabled"

    def clears_now(self, failure: Failure, context: Mapping[str, Any]) -> bool:
        """Return whether a callback may clear the run. If not, it leaves the failure to the Dag level.

        A task-level callback that has nobody to leave the failure to may clear the run.

        :param failure: the failure.
        :param context: what Airflow gave to the callback.
        """
        if context.get("reason"):
            return True
        dag, failed_try = context.get("dag"), failure.failed_try
        return self.scope == "run" and (
            not dag_level.is_attached(dag)
            or is_lost(
                dag,
                failed_try.task_id,
                mapped=failed_try.map_index >= 0,
                read_states=partial(sdk.task_states, context),
            )
        )

    def delays_before(self) -> list[timedelta]:
        """Return the delay before each attempt. The last one holds for all later attempts.

        :raises ConfigError: the ``delay`` function failed, or a delay is longer than Redis keeps the record.
        """
        return self.delays.before(self.max_attempts, longest=self.longest_delay)

    def clear_options(self, reason: str | None) -> set[ClearOption]:
        """Return how the run is to be cleared.

        Only after ``task_failure`` are failed tasks all that must run again. After a time-out or a deadlock, some
        tasks are unfinished, and Airflow does not count these as failed.

        :param reason: the reason that Airflow gives at the Dag level; None at the task level.
        """
        chosen: dict[ClearOption, bool] = {
            "only_failed": self.scope == "failed" and reason == "task_failure",
            "run_on_latest_version": self.run_on_latest_version,
            "skip_if_newer_run": self.skip_if_newer_run,
        }
        return {option for option, wanted in chosen.items() if wanted}

    def _overridden(self, where: str, overrides: Any) -> Policy:
        if not isinstance(overrides, Mapping):
            raise ConfigError(f"{where} is {overrides!r}: use an object, e.g. {{'max_attempts': 5}}")
        policy = self
        for key, value in overrides.items():
            if key == "max_attempts" and isinstance(value, int) and not isinstance(value, bool) and value >= 1:
                policy = policy._replace(max_attempts=limited(value, f"{where}[{key!r}]"))
            elif key == "enabled" and isinstance(value, bool):
                policy = policy._replace(enabled=value)
            elif key == "delay" and (delay := _delay(value)):
                policy = policy._replace(delays=self.delays._replace(delay=delay, backoff=1))
            else:
                raise ConfigError(
                    f"{where}[{key!r}] is {value!r}: use max_attempts (1 or more), delay (seconds, or a list of "
                    "seconds) and enabled (true or false)"
                )
        return policy


def limited(max_attempts: int, where: str) -> int:
    """Return a number of attempts that ``max_attempts_limit`` allows.

    :param max_attempts: the number.
    :param where: where the number is set, for the message.
    :raises ConfigError: the number is above the limit.
    """
    limit = section.get("max_attempts_limit")
    if limit and max_attempts > limit:
        raise ConfigError(
            f"{where} is {max_attempts}, and {section.named('max_attempts_limit')} allows {limit}: use no more, "
            "or raise the limit (0 for none)"
        )
    return max_attempts


def _delay(value: Any) -> list[timedelta] | None:
    values = value if isinstance(value, list) else [value]
    delays = [options.seconds(each) for each in values if not isinstance(each, (bool, str))]
    usable = [delay for delay in delays if delay is not None and delay >= timedelta(0)]
    return usable if usable and len(usable) == len(values) else None
