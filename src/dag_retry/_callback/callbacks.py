"""What a callback does: it claims the failure, or ends the budget of a run that succeeded."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Literal

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback import deployment
from dag_retry._callback.failure import Failure
from dag_retry._callback.holder import Holder, named, note_ending
from dag_retry._errors import ConfigError, CounterError, DagRetryError
from dag_retry._policy.hooks import Context, Hooks
from dag_retry._policy.policy import Policy
from dag_retry._redis.counter import AttemptCounter, MissingRecord
from dag_retry._types import Status, Verdict

log = logging.getLogger(__name__)

# What a callback may take, in seconds: at most, which is far less than a claim's lease; of what Airflow gives it, which
# leaves the rest to hooks; and at least, so that a failure that Airflow leaves no time for is claimed and thus due.
_MOST, _SHARE, _LEAST = 15.0, 0.75, 1.5
# Of it for each try of a call of Redis, and for a whole call at its worst (`connect` says why).
_REDIS_TRY, _REDIS_CALL = 1 / 15, 3.3 / 15


def share_of(limit: float) -> float:
    """Return what a callback may take, in seconds, of what Airflow gives it."""
    return max(_LEAST, min(_MOST, _SHARE * limit))


class Callbacks:
    """The callbacks of a Dag.

    :param policy: what is retried, how often, when and how.
    :param hooks: whom to tell.
    :param missing_record: gives what counts where Redis has no record of a run, while that run is claimed.
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
        self._api = settings.api
        self._missing_record = missing_record
        self._made = made

    def failed(self, context: Context, *, clears: bool) -> None:
        """Claim a failure, and do what follows.

        :param context: what Airflow gives to a failure callback.
        :param clears: whether this callback may clear the run; else it only says what is not to be retried.
        :raises DagRetryError: what went wrong, after it was logged.
        """
        with _loud("%s"):
            failure = Failure.of(context)
        run = named(failure.dag_id, failure.run_id)
        if failure.skip:
            log.info("Dag retry: %s: nothing to retry (%s).", run, failure.skip)
            return
        policy, delays, skip, unusable = self._judged(failure, context)
        if not skip and not (clears and (policy.scope == "run" or context.get("reason"))):
            log.info("Dag retry: %s: left to the Dag level.", run)
            return
        seconds = self._seconds(failure.level)
        # What follows the last request is recorded in Redis.
        deadline = Deadline(seconds * (1 - _REDIS_CALL))
        with ExitStack() as stack:
            with _loud(
                "%s failed and was NOT retried, nothing was cleared: %s. Mend this, then clear it by hand.",
                run,
                not_retried=failure.dag_id,
            ):
                if failure.lost and not self._is_lost(failure, deadline):
                    log.info("Dag retry: %s: nothing to retry (restarting).", run)
                    return
                counter = stack.enter_context(self.connected(seconds))
                missing_record = stack.enter_context(self._missing_record(failure))
                with sdk.timed("claim", failure.dag_id):
                    claim = counter.claim(
                        failure.dag_id,
                        failure.run_id,
                        generation=failure.generation,
                        max_attempts=policy.max_attempts,
                        holder=f"{socket.gethostname()}:{os.getpid()}",
                        takeover=failure.tasks_ended,
                        level=failure.level,
                        failed_try=failure.failed_try,
                        options=policy.options(context.get("reason")),
                        skip=skip,
                        delays=delays,
                        max_elapsed=policy.max_elapsed,
                        on_missing_record=missing_record,
                        on_manual_clear=policy.on_manual_clear,
                    )
            sdk.count("taken_over" if claim.reason == "taken_over" else claim.verdict.value, claim.dag_id)
            if claim.verdict is Verdict.LOST:
                log.info("Dag retry: %s: nothing to do, this failure is in hand (%s).", run, claim.reason)
            else:
                Holder(counter, self._api, self._hooks).act(context, claim, deadline)
        if unusable:
            raise unusable

    def succeeded(self, context: Context) -> None:
        """End the budget of a run that had failed; where Redis is away this is a warning.

        :param context: what Airflow gives to a success callback of a Dag.
        :raises ConfigError: a setting is missing or wrong, after it was logged.
        """
        if context.get("reason") != "success":
            log.warning("Dag retry: on_success is for the on_success_callback of a Dag: nothing was changed.")
            return
        # Airflow leaves dag_run out where the run's last task has no Dag version (`produce_dag_callback`).
        dag_run = context.get("dag_run")
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        deadline = Deadline(self._seconds("dag"))
        with _loud("%s succeeded, and that was not recorded: %s.", named(dag_id, run_id)):
            try:
                with self.connected() as counter:
                    record = counter.succeed(dag_id, run_id, generation=dag_run.clear_number if dag_run else None)
            except CounterError as error:
                log.warning("Dag retry: %s succeeded, and that was not recorded: %s.", named(dag_id, run_id), error)
                return
        if record:
            sdk.count("succeeded", dag_id)
            log.info(
                "Dag retry: %s succeeded on attempt %d of %d.",
                named(dag_id, run_id),
                record.attempt,
                record.max_attempts,
            )
            self._hooks.tell(context, Status.SUCCEEDED, record, record.reason)
            note_ending(self._api, deadline, Status.SUCCEEDED, record, record.reason)

    @contextmanager
    def connected(self, seconds: float = _MOST) -> Iterator[AttemptCounter]:
        """Give the deployment's counter.

        :param seconds: what a callback may take in all.
        :raises ConfigError: a setting is missing or wrong.
        :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
        """
        with closing(deployment.connect(timeout=seconds * _REDIS_TRY)) as client:
            yield deployment.counter(client)

    def _judged(self, failure: Failure, context: Context) -> tuple[Policy, list[timedelta], str, ConfigError | None]:
        """Return a run's policy and delays, why its failure is not to be retried, and what is wrong with the policy."""
        try:
            policy = self._policy.of_run(context)
            skip = policy.skip(failure, context)
            return policy, [] if skip else policy.delays_before(), skip, None
        except ConfigError as error:
            log.error("Dag retry: %s: %s.", named(failure.dag_id, failure.run_id), error)
            return self._policy, [], "config", error

    def _seconds(self, level: Literal["task", "dag"]) -> float:
        """Return how long a callback of that level may take."""
        if level == "task":
            return share_of(sdk.task_limit())
        # The dag processor begins by parsing the Dag file, and one process then calls back for all its runs.
        return share_of(sdk.dag_processor_limit() - (time.monotonic() - self._made))

    def _is_lost(self, failure: Failure, deadline: Deadline) -> bool:
        from dag_retry._airflow.api import AirflowApi

        with AirflowApi(self._api(), deadline) as session:
            return session.is_lost(failure.dag_id, failure.run_id, failure.failed_try, failure.try_number)


@contextmanager
def _loud(message: str, *arguments: str, not_retried: str | None = None) -> Iterator[None]:
    """Log what went wrong before Airflow swallows it; where a run of that Dag was not retried, count it too."""
    try:
        yield
    except DagRetryError as error:
        log.error("Dag retry: " + message, *arguments, error)
        if not_retried:
            sdk.count("not_retried", not_retried)
        raise
