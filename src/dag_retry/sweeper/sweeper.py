"""A sweep takes every run that is due, and finishes the run as its callback would have done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from dag_retry._airflow import sdk, section, settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._callback import deployment
from dag_retry._callback.holder import Holder, describe_run, process_name
from dag_retry._callback.time_budget import LONGEST, redis_timeout
from dag_retry._callback.verdict import act
from dag_retry._errors import (
    ApiError,
    ApiRefused,
    ApiUnanswered,
    ApiUnusable,
    ConfigError,
    CounterError,
    DagRetryError,
)
from dag_retry._policy.hooks import Hooks
from dag_retry._redis.views import Unreadable
from dag_retry._types import Claim, RunRecord
from dag_retry.sweeper.retrying import LostSuccesses, queued_long
from dag_retry.sweeper.unclaimed import UnclaimedRuns
from dag_retry.sweeper.way import WayToAirflow, fault_code

if TYPE_CHECKING:
    from dag_retry._redis.connection import Client

log = logging.getLogger(__name__)

# In seconds. A sweeper may take as long for one run as a callback may, or as Airflow has for one answer and these more.
_DEADLINE, _BESIDE = LONGEST, 5.0
# In seconds: how long one look at Airflow's runs takes, for failures and for successes.
_LOOK = 30.0
# What can't be finished is due again after the first pause, which is the lease. It doubles, up to the longest.
_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)


class Sweeper:
    """Takes every run that is due, and finds unclaimed failures. Any number of sweepers may run at once.

    A sweeper reads no Dag file, so it calls the hooks of the section ``[dag_retry]``. Their context holds ``dag_id``,
    ``run_id``, and the :class:`Outcome` as ``dag_retry``.

    :param redis_client: a client of the deployment's Redis.
    :param airflow: the session with Airflow's REST API. Each run has its whole deadline.
    :param grace: how long the callbacks of a run that has ended may take to come.
    :param look_back: how far the first look at Airflow's runs goes back.
    :param begun: whether this process has swept before.
    :raises ConfigError: a hook of the section is wrong.
    """

    def __init__(
        self,
        redis_client: Client,
        airflow: Airflow,
        *,
        grace: timedelta = timedelta(minutes=5),
        look_back: timedelta = timedelta(days=1),
        begun: bool = False,
    ) -> None:
        self._counter = deployment.counter(redis_client)
        self._due = deployment.due_runs(redis_client)
        self._overview = deployment.overview(redis_client)
        self._airflow = airflow
        self._hooks = Hooks()
        self._name = process_name()
        self.way = WayToAirflow(airflow, deployment.heartbeats(redis_client), self._name, begun=begun)
        """The way to Airflow."""
        self._grace = grace
        self._look_back = look_back
        self._unclaimed = UnclaimedRuns(
            airflow, self._counter, self._due, self._overview, grace=grace, holder=self._name
        )

    def sweep(self, go_on: Callable[[], bool] = lambda: True) -> timedelta | None:
        """Finish every run that is due. A run that can't be finished is due again later, and stops no other.

        :param go_on: asked before each run; the sweep ends when it returns False.
        :return: the time until the next run is due; None if there is none.
        :raises CounterError: Redis failed.
        :raises ApiError: the way to Airflow is broken. The run that was taken is due again, and so are the others.
        :raises ConfigError: the same, because of a setting.
        """
        looked_at: list[tuple[str, str]] = []
        while True:
            runs, wait = self._due.read()
            # If they are still due, other sweepers have them in hand.
            if not runs or runs == looked_at:
                return wait
            for dag_id, run_id in runs:
                if not go_on():
                    return None
                self.way.beat()
                if claim := self._take(dag_id, run_id):
                    self._finish(claim)
            looked_at = runs

    def look(self) -> int:
        """Look at Airflow's runs: for failures that nobody has claimed, for lost successes, and into the queue.

        A killed task calls nothing back. Airflow may never call the Dag-level callback either. Then this claims the
        failure. If nobody left a policy, a human must look. Only the REST API lists runs, so this needs credentials.

        Redis holds up to where the last look has come. So any sweeper goes on from there.

        :return: how many unclaimed failures this look has found.
        :raises DagRetryError: Redis failed, or Airflow refused, or Airflow gave no clear answer.
        """
        if not settings.has_credentials():
            return 0
        until = datetime.now(timezone.utc) - self._grace
        last = self._overview.heartbeat()
        looked_until = last.looked_until if last else 0
        since = until - self._look_back
        if looked_until:
            since = datetime.fromtimestamp(looked_until / 1000, timezone.utc)
        found = 0
        for run, claim in self._unclaimed.between(since, until, Deadline(_LOOK), self.way.check):
            found += 1
            sdk.count("unclaimed", run.dag_id)
            if claim:
                self._finish(claim)
            else:
                log.error(
                    "Dag retry: %s failed, and no callback claimed that. No policy is known: set %s, or retry the "
                    "run with: dag-retry retry %s %s",
                    describe_run(run.dag_id, run.run_id),
                    section.named("max_attempts"),
                    run.dag_id,
                    run.run_id,
                )
        retrying = self._overview.retrying()
        successes = LostSuccesses(self._airflow, self._counter, self._hooks)
        reached = successes.settle(since, self._unclaimed.looked_until, Deadline(_LOOK), retrying)
        # Airflow may record the end of a run a moment after the run's end date.
        reached = min(reached, until - timedelta(minutes=1))
        queued = queued_long(self._airflow, retrying)
        self.way.looked(looked_until, int(reached.timestamp() * 1000), queued)
        return found

    def _take(self, dag_id: str, run_id: str) -> Claim | None:
        """Take a run that is due; None if another holder has taken it, or if its record can't be read."""
        try:
            return self._due.take(dag_id, run_id, holder=self._name)
        except CounterError as error:
            if not isinstance(self._overview.run(dag_id, run_id), Unreadable):
                raise
            self._due.quarantine(dag_id, run_id, pause=_LONGEST_PAUSE)
            log.error(
                "Dag retry: %s is due, and its record in Redis can't be read: %s. Delete or repair the record, then "
                "clear the run by hand. A sweeper looks again in an hour.",
                describe_run(dag_id, run_id),
                error,
            )
            return None

    def _finish(self, claim: Claim) -> None:
        """Finish a claim, or put it off."""
        if claim.reason == "taken_over":
            sdk.count("taken_over", claim.dag_id)
        context: dict[str, Any] = {"dag_id": claim.dag_id, "run_id": claim.run_id}
        self._airflow.deadline.renew()
        try:
            decision = act(Holder(claim, self._counter, "sweeper", self._hooks, context, self._airflow))
            if decision and decision.outcome == "already_cleared":
                self._look_again(claim)
        except ApiRefused:
            return  # The run is blocked, and the hooks were told.
        except (ApiUnanswered, ApiUnusable, ConfigError) as error:
            self._put_off(claim, error)
        except DagRetryError:
            raise
        except Exception as error:  # noqa: BLE001 (mostly a hook failed, and was logged)
            self._postpone(claim, "sweeper_failed", f"{type(error).__name__}: {error}")

    def _look_again(self, claim: Claim) -> None:
        """Have the next look begin where the budget began, but not before the first look would.

        Somebody has cleared the run, unknown to Redis. The run may have ended again since. A look passes over the end
        of a run that somebody holds, so no later look would list that end.
        """
        record = self._overview.run(claim.dag_id, claim.run_id)
        if isinstance(record, RunRecord):
            first = datetime.now(timezone.utc) - self._look_back
            self.way.look_from(max(record.budget_at, int(first.timestamp() * 1000)))

    def _put_off(self, claim: Claim, error: ApiUnanswered | ApiUnusable | ConfigError) -> None:
        """Put off a claim that could not be cleared, or raise what is wrong with the way to Airflow."""
        asked = error.retry_after if isinstance(error, ApiUnanswered) else 0
        pause = max(_PAUSE, min(timedelta(seconds=asked), _LONGEST_PAUSE))
        try:
            self.way.check()
        except (ApiError, ConfigError) as fault:
            self._counter.postpone(claim, reason=fault_code(fault), pause=pause)
            raise
        self._postpone(claim, "config" if isinstance(error, ConfigError) else error.reason, str(error), pause)

    def _postpone(self, claim: Claim, reason: str, why: str, pause: timedelta = _PAUSE) -> None:
        """Put off a claim for longer and longer."""
        if self._counter.postpone(claim, reason=reason, pause=pause, longest=_LONGEST_PAUSE):
            run = describe_run(claim.dag_id, claim.run_id)
            log.error("Dag retry: %s can't be finished now, and a sweeper tries again later: %s", run, why)


@contextmanager
def sweeper(*, begun: bool = False) -> Iterator[Sweeper]:
    """Make a sweeper from the settings, and check the way to Airflow. While the way is broken, nothing is taken.

    The sweeper's Dag needs no credentials, since its task has a supervisor.

    :param begun: whether this process has swept before. A setting that is wrong is then a fault of a sweeper that runs.
    :raises ConfigError: a setting is missing or wrong, or another sweeper lives and uses another Airflow.
    :raises ApiError: the way to Airflow does not work.
    :raises CounterError: Redis failed, or a named Connection was not found.
    """
    with (
        Airflow(Deadline(max(_DEADLINE, section.get("api_timeout").total_seconds() + _BESIDE))) as airflow,
        closing(deployment.connect(timeout=redis_timeout(LONGEST))) as redis_client,
    ):
        made = Sweeper(redis_client, airflow, begun=begun)
        made.way.check()
        yield made
