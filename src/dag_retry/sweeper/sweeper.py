"""One sweep: whatever is due is taken, and finished as a callback would have done."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback import deployment
from dag_retry._callback.holder import Holder, named
from dag_retry._errors import ClearRefused, DagRetryError
from dag_retry._policy.hooks import Hooks
from dag_retry._retry import TAG
from dag_retry._types import Claim
from dag_retry.sweeper.failed_runs import FailedRuns

if TYPE_CHECKING:
    from dag_retry._redis.due import Outbox

log = logging.getLogger(__name__)

# Seconds for one run: far less than the lease of what was taken.
_DEADLINE = 15.0
# Seconds for each try of a call of Redis.
_REDIS_TRY = 1.0


class Sweeper:
    """Takes due runs, and finds failed runs that no callback has claimed. Any number of sweepers may run at once.

    A sweeper reads no Dag files, so it calls the hooks of the section ``[dag_retry]``. Their context holds ``dag_id``,
    ``run_id`` and the :class:`Outcome` under ``dag_retry``.

    :param outbox: what is due.
    :param grace: how long after a run has failed its callbacks may still be on their way.
    :param look_back: how far the first look for failed runs goes back.
    :raises ConfigError: a hook of the section is wrong.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        grace: timedelta = timedelta(minutes=5),
        look_back: timedelta = timedelta(days=1),
    ) -> None:
        self._outbox = outbox
        self._holder = Holder(outbox, settings.api, Hooks())
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._grace = grace
        self._looked_until = datetime.now(timezone.utc) - look_back

    def sweep(self, go_on: Callable[[], bool] = lambda: True) -> timedelta | None:
        """Finish what is due.

        :param go_on: asked before each run.
        :return: how long it is until the next run is due, None where there is none.
        :raises CounterError: Redis failed.
        :raises ClearUnconfirmed: Airflow gives no clear answer. The run that was taken stays due, and so do the others.
        """
        while True:
            runs, wait = self._outbox.due()
            for dag_id, run_id in runs:
                if not go_on():
                    return None
                if claim := self._outbox.take(dag_id, run_id, holder=self._name):
                    self._finish(claim)
            if not runs:
                return wait

    def find_unclaimed(self) -> int:
        """Look for failed runs whose failure no callback has claimed: they need a human.

        A killed task calls nobody back, and the Dag-level callback can be lost too.

        :return: how many new ones were found.
        :raises DagRetryError: Redis failed, or Airflow refused, or gave no clear answer.
        """
        until = datetime.now(timezone.utc) - self._grace
        found = 0
        with FailedRuns(settings.api(), Deadline(_DEADLINE)) as airflow:
            ours = self._outbox.dag_ids() | airflow.tagged(TAG)
            for run in airflow.between(self._looked_until, until, ours):
                if self._outbox.miss(
                    run.dag_id, run.run_id, queued_at=run.queued_at, grace=self._grace, holder=self._name
                ):
                    found += 1
                    sdk.count("unclaimed", run.dag_id)
                    log.error(
                        "Dag retry: %s failed, and no callback told us (lost_callback): it was not retried. Retry it "
                        "with: dag-retry retry %s %s",
                        named(run.dag_id, run.run_id),
                        run.dag_id,
                        run.run_id,
                    )
        # Airflow may record a run as failed a moment after the run's `end_date`.
        self._looked_until = until - timedelta(minutes=1)
        return found

    def _finish(self, claim: Claim) -> None:
        if claim.reason == "taken_over":
            sdk.count("taken_over", claim.dag_id)
        context: dict[str, Any] = {"dag_id": claim.dag_id, "run_id": claim.run_id}
        try:
            self._holder.act(context, claim, Deadline(_DEADLINE))
        except ClearRefused:
            return  # blocked, and told
        except DagRetryError:
            raise
        except Exception:  # noqa: BLE001 (of a hook, and logged: the ending stays due, to be told again)
            return


@contextmanager
def sweeper() -> Iterator[Sweeper]:
    """Make the deployment's sweeper, once Airflow lets it in: else it would find every run that is due refused.

    :raises ConfigError: a setting is missing or wrong.
    :raises ClearRefused: Airflow does not let the sweeper in.
    :raises ClearUnconfirmed: Airflow gives no clear answer, or a named Connection was not found.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    with FailedRuns(settings.api(), Deadline(_DEADLINE)) as airflow:
        airflow.enter()
    with closing(deployment.connect(timeout=_REDIS_TRY)) as client:
        yield Sweeper(deployment.outbox(client))
