"""A failure comes in and is claimed; a success comes in and ends the budget of a run that had failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Literal

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback import deployment
from dag_retry._callback.failure import Failure, UnknownTry
from dag_retry._callback.holder import Holder, describe_run, process_name
from dag_retry._callback.time_budget import LONGEST, redis_timeout, time_budget, without_redis
from dag_retry._callback.unclaimed import leave_unknown, log_nothing, put_unclaimed, what_follows
from dag_retry._callback.verdict import act
from dag_retry._errors import ApiError, ConfigError, CounterError, DagRetryError
from dag_retry._policy import dag_level
from dag_retry._policy.hooks import Context, Hooks, put_outcome
from dag_retry._policy.policy import Policy
from dag_retry._redis.counter import AttemptCounter, MissingRecord
from dag_retry._types import Status, Verdict

log = logging.getLogger(__name__)


class Callbacks:
    """The callbacks of a Dag.

    :param policy: what is retried, how often, when and how.
    :param hooks: the hooks to tell.
    :param missing_record: gives what counts if Redis has no record of the run. The block claims the failure.
    :param made: when the Dag file was parsed, in seconds by the monotonic clock.
    """

    def __init__(
        self,
        policy: Policy,
        hooks: Hooks,
        *,
        missing_record: Callable[[Failure], AbstractContextManager[MissingRecord | int]],
        made: float,
    ) -> None:
        self._policy = policy
        self._hooks = hooks
        self._missing_record = missing_record
        self._made = made

    def failed(self, context: Context, *, clears: bool) -> None:
        """Claim a failure, and do what the answer asks for.

        :param context: what Airflow gives to a failure callback.
        :param clears: whether this callback may clear the run. If not, it claims only failures that are not retried.
        :raises DagRetryError: what went wrong, after it was logged.
        """
        if unknown := UnknownTry.of(context):
            leave_unknown(unknown, context, self._policy.max_attempts)
            return
        with _logged("%s"):
            failure = Failure.of(context)
        run = describe_run(failure.dag_id, failure.run_id)
        nothing: str | None = "test" if sdk.is_test(context) else failure.skip
        # Later callbacks find an outcome, even if this one fails.
        put_unclaimed(context, failure, nothing or "error", self._policy.max_attempts)
        if nothing:
            log_nothing(run, nothing)
            return
        policy, delays, skip, unusable = self._judged(failure, context)
        leaves = not (clears and policy.clears_now(failure, context))
        if leaves and not skip:
            put_unclaimed(context, failure, "left_to_dag_level", policy.max_attempts)
            log.info("Dag retry: %s: this callback leaves the failure to the Dag level.", run)
            return
        if not skip and (failure.level == "dag" or any(delays)) and dag_level.clear_waits_for_ever(context["dag"]):
            skip, delays = "depends_on_past", []
        budget = self._time_budget(failure.level)
        with ExitStack() as stack:
            airflow = stack.enter_context(Airflow(Deadline(without_redis(budget))))
            with _logged("%s failed and was NOT retried, nothing was cleared: %s. %s", run, not_retried=failure.dag_id):
                if failure.heartbeat_timeout and (nothing := self._restarts(failure, airflow)):
                    put_unclaimed(context, failure, nothing, policy.max_attempts)
                    log_nothing(run, nothing)
                    return
                counter = stack.enter_context(self.connected(budget))
                missing_record = stack.enter_context(self._missing_record(failure))
                with sdk.timed("claim", failure.dag_id):
                    claim = counter.claim(
                        failure.dag_id,
                        failure.run_id,
                        generation=failure.generation,
                        max_attempts=policy.max_attempts,
                        holder=process_name(),
                        takeover=failure.tasks_ended,
                        level=failure.level,
                        failed_try=failure.failed_try,
                        clear_options=policy.clear_options(context.get("reason")),
                        own_hooks=self._hooks.own,
                        skip=skip,
                        leave=leaves,
                        delays=delays,
                        max_elapsed=policy.max_elapsed,
                        run_after=failure.run_after,
                        run_started=failure.run_started,
                        on_missing_record=missing_record,
                        on_manual_clear=policy.on_manual_clear,
                    )
            sdk.count("taken_over" if claim.reason == "taken_over" else claim.verdict.value, claim.dag_id)
            put_outcome(context, claim.status, claim, claim.reason)
            if claim.verdict is Verdict.LOST:
                log.info("Dag retry: %s: this callback lost its claim (%s), and does nothing.", run, claim.reason)
                if claim.reason == "already_retrying" and failure.tasks_ended:
                    self._queue_stranded(failure, airflow)
            elif leaves:
                log.info(
                    "Dag retry: %s: the failure is not retried (%s). If the run fails, the Dag level tells the hooks.",
                    run,
                    claim.reason,
                )
            else:
                act(Holder(claim, counter, failure.level, self._hooks, context, airflow))
        if unusable:
            raise unusable

    def succeeded(self, context: Context) -> None:
        """End the budget of a run that had failed. If Redis is unreachable, this logs a warning.

        :param context: what Airflow gives to a success callback of a Dag.
        :raises ConfigError: a setting is missing or wrong. It was logged.
        """
        if context.get("reason") != "success":
            log.warning("Dag retry: on_success is for the on_success_callback of a Dag. Nothing was changed.")
            return
        # Airflow leaves dag_run out if the run's last task has no Dag version (`produce_dag_callback`).
        dag_id, run_id, dag_run = context["dag"].dag_id, context["run_id"], context.get("dag_run")
        run = describe_run(dag_id, run_id)
        if sdk.is_test(context):
            log_nothing(run, "test")
            return
        deadline = Deadline(self._time_budget("dag"))
        with _logged("%s succeeded, and that was not recorded: %s.", run):
            try:
                with self.connected() as counter:
                    record = counter.succeed(
                        dag_id,
                        run_id,
                        generation=dag_run.clear_number if dag_run else None,
                        run_started=getattr(dag_run, "start_date", None),
                    )
            except CounterError as error:
                log.warning("Dag retry: %s succeeded, and that was not recorded: %s.", run, error)
                return
        if record:
            # Imported here: a run that never failed does not need it, nor what it loads: requests.
            from dag_retry._callback.endings import note_ending

            sdk.count("succeeded", dag_id)
            log.info("Dag retry: %s succeeded on attempt %d of %d.", run, record.attempt, record.max_attempts)
            self._hooks.tell(context, Status.SUCCEEDED, record, record.reason)
            with Airflow(deadline) as airflow:
                note_ending(airflow, Status.SUCCEEDED, record, record.reason)

    @contextmanager
    def connected(self, budget: float = LONGEST) -> Iterator[AttemptCounter]:
        """Connect to the deployment's Redis, and give the counter.

        :param budget: the callback's time budget, in seconds.
        :raises ConfigError: a setting is missing or wrong.
        :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
        """
        with closing(deployment.connect(timeout=redis_timeout(budget))) as client:
            yield deployment.counter(client)

    def _judged(self, failure: Failure, context: Context) -> tuple[Policy, list[timedelta], str, ConfigError | None]:
        """Return the run's policy and delays, why the failure is not retried, and what is wrong with the policy."""
        try:
            policy = self._policy.of_run(context)
            skip = policy.skip(failure, context)
            return policy, [] if skip else policy.delays_before(), skip, None
        except ConfigError as error:
            log.error("Dag retry: %s: %s.", describe_run(failure.dag_id, failure.run_id), error)
            return self._policy, [], "config", error

    def _time_budget(self, level: Literal["task", "dag"]) -> float:
        """Return how many seconds a callback of that level may take."""
        if level == "task":
            return time_budget(sdk.task_limit())
        # The dag processor first parses the Dag file. One process then calls back for all runs of the file.
        return time_budget(sdk.dag_processor_limit() - (time.monotonic() - self._made))

    def _restarts(self, failure: Failure, airflow: Airflow) -> str | None:
        """Return why a heartbeat timeout is not claimed: its try is no longer the current one, or nobody knows.

        Without credentials nobody can ask. The context says then whether the task is restarting.
        """
        if not settings.has_credentials():
            return "restarting" if failure.restarting else None
        run = (failure.dag_id, failure.run_id)
        try:
            current = airflow.api.is_still_current_try(*run, failure.failed_try, failure.try_number)
        except ApiError as error:
            log.warning("Dag retry: %s: %s.", describe_run(*run), error)
            return "perhaps_restarting"
        return None if current else "restarting"

    def _queue_stranded(self, failure: Failure, airflow: Airflow) -> None:
        """Queue the run if a clear has overlapped its end. Airflow then says that the cleared generation has failed."""
        if not settings.has_credentials():
            return
        run = describe_run(failure.dag_id, failure.run_id)
        with _logged("%s: whether Airflow left the run failed after the clear is not known: %s.", run):
            if airflow.api.queue_stranded(failure.dag_id, failure.run_id, failure.failed_try):
                log.warning("Dag retry: %s was cleared while its end was recorded, so it was queued again.", run)


@contextmanager
def _logged(message: str, *arguments: str, not_retried: str | None = None) -> Iterator[None]:
    """Log an error of ours before Airflow swallows it.

    :param message: what was not done. It has places for the arguments and the error.
    :param not_retried: the Dag, if the error means that its run is not retried. This is counted too, and the message
        has a place for what follows.
    """
    try:
        yield
    except DagRetryError as error:
        log.error("Dag retry: " + message, *arguments, error, *([what_follows(error)] if not_retried else []))
        if not_retried:
            sdk.count("not_retried", not_retried)
        raise
