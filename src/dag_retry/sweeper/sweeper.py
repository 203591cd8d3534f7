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
from dag_retry._airflow.ways.supervisor import has_supervisor
from dag_retry._callback import deployment
from dag_retry._callback.holder import Holder, describe_run, process_name
from dag_retry._callback.time_budget import LONGEST, redis_timeout
from dag_retry._callback.verdict import act
from dag_retry._errors import ApiRefused, DagRetryError
from dag_retry._policy.hooks import Hooks
from dag_retry._types import Claim
from dag_retry.sweeper.unclaimed import UnclaimedRuns

if TYPE_CHECKING:
    from dag_retry._redis.connection import Client

log = logging.getLogger(__name__)

# In seconds. A sweeper may take as long for one run as a callback may.
_DEADLINE = LONGEST


class Sweeper:
    """Takes every run that is due, and finds unclaimed failures. Any number of sweepers may run at once.

    A sweeper reads no Dag file, so it calls the hooks of the section ``[dag_retry]``. Their context holds ``dag_id``,
    ``run_id``, and the :class:`Outcome` as ``dag_retry``.

    :param redis_client: a client of the deployment's Redis.
    :param airflow: the session with Airflow's REST API. Each run has its whole deadline.
    :param grace: how long the callbacks of a failed run may take to come.
    :param look_back: how far the first look for failed runs goes back.
    :raises ConfigError: a hook of the section is wrong.
    """

    def __init__(
        self,
        redis_client: Client,
        airflow: Airflow,
        *,
        grace: timedelta = timedelta(minutes=5),
        look_back: timedelta = timedelta(days=1),
    ) -> None:
        self._counter = deployment.counter(redis_client)
        self._due = deployment.due_runs(redis_client)
        self._overview = deployment.overview(redis_client)
        self._airflow = airflow
        self._hooks = Hooks()
        self._name = process_name()
        self._grace = grace
        self._looked_until = datetime.now(timezone.utc) - look_back

    def sweep(self, go_on: Callable[[], bool] = lambda: True) -> timedelta | None:
        """Finish every run that is due.

        :param go_on: asked before each run; the sweep ends when it returns False.
        :return: the time until the next run is due; None if there is none.
        :raises CounterError: Redis failed.
        :raises ApiUnanswered: Airflow gave no clear answer. The run that was taken stays due, and so do the others.
        """
        while True:
            runs, wait = self._due.read()
            for dag_id, run_id in runs:
                if not go_on():
                    return None
                if claim := self._due.take(dag_id, run_id, holder=self._name):
                    self._finish(claim)
            if not runs:
                return wait

    def find_unclaimed(self) -> int:
        """Look for failures that no callback has claimed, and claim them. If nobody left a policy, a human must look.

        A killed task calls nothing back. Airflow may never call the Dag-level callback either. Only the REST API lists
        failed runs, so this needs credentials.

        :return: how many such runs this look has found.
        :raises DagRetryError: Redis failed, or Airflow refused, or Airflow gave no clear answer.
        """
        if not settings.has_credentials():
            return 0
        until = datetime.now(timezone.utc) - self._grace
        found = 0
        self._airflow.deadline.renew()
        unclaimed = UnclaimedRuns(self._airflow, self._counter, self._due, grace=self._grace, holder=self._name)
        for run, claim in unclaimed.between(self._looked_until, until, self._overview.dag_ids()):
            found += 1
            sdk.count("unclaimed", run.dag_id)
            if claim is None:
                log.error(
                    "Dag retry: %s failed, and no callback claimed that. No policy is known: set %s, or retry the "
                    "run with: dag-retry retry %s %s",
                    describe_run(run.dag_id, run.run_id),
                    section.named("max_attempts"),
                    run.dag_id,
                    run.run_id,
                )
            else:
                self._finish(claim)
        # Airflow may record a failed run a moment after the run's end date.
        self._looked_until = until - timedelta(minutes=1)
        return found

    def _finish(self, claim: Claim) -> None:
        if claim.reason == "taken_over":
            sdk.count("taken_over", claim.dag_id)
        context: dict[str, Any] = {"dag_id": claim.dag_id, "run_id": claim.run_id}
        self._airflow.deadline.renew()
        try:
            act(Holder(claim, self._counter, "sweeper", self._hooks, context, self._airflow))
        except ApiRefused:
            return  # The run is blocked, and the hooks were told.
        except DagRetryError:
            raise
        except Exception:  # noqa: BLE001 (A hook failed and was logged. Its ending stays due.)
            return


@contextmanager
def sweeper() -> Iterator[Sweeper]:
    """Make a sweeper from the settings, after a first request to Airflow.

    Without that request, wrong credentials would block every run that is due. The sweeper's Dag needs no credentials,
    since its task has a supervisor.

    :raises ConfigError: a setting is missing or wrong.
    :raises ApiRefused: Airflow refuses the credentials.
    :raises ApiUnanswered: Airflow gives no clear answer, or a named Connection was not found.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    with Airflow(Deadline(_DEADLINE)) as airflow:
        if settings.has_credentials() or not has_supervisor():
            client = airflow.api.client
            client.items(client.get("dags", query={"limit": 1}), "dags")
        with closing(deployment.connect(timeout=redis_timeout(LONGEST))) as redis_client:
            yield Sweeper(redis_client, airflow)
