"""One sweep: whatever is due is taken, and finished as a callback would have done."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from dag_retry._airflow import sdk, settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback.holder import Holder, named
from dag_retry._errors import ClearRefused, DagRetryError
from dag_retry._policy.hooks import Hooks
from dag_retry._redis.counter import AttemptCounter
from dag_retry._redis.due import DueRuns
from dag_retry._redis.overview import Overview
from dag_retry._retry import TAG
from dag_retry._types import Claim
from dag_retry.sweeper.failed_runs import FailedRuns

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

log = logging.getLogger(__name__)

# For one run, in seconds: far less than the lease of what was taken.
_DEADLINE = 15.0
# For each try of a call of Redis, in seconds.
_REDIS_TRY = 1.0


class Sweeper:
    """Takes what is due, and finds failed runs that no callback has claimed. Any number may run at once.

    The hooks that it calls are those of the section ``[dag_retry]``: those of a Dag are in its file, which it does not
    read. Their context holds ``dag_id``, ``run_id`` and the :class:`Outcome` under ``dag_retry``.

    :param redis_client: where attempts are counted.
    :param namespace: what the keys' names begin with; else as the section has it.
    :param api: the address of Airflow; else as the Connection or the section has it.
    :param grace: how long after a run has failed its callbacks may still be on their way.
    :param look_back: how far the first look for failed runs goes back.
    :raises ConfigError: a setting is wrong.
    """

    def __init__(
        self,
        redis_client: Redis | RedisCluster,
        *,
        namespace: str | None = None,
        api: str | None = None,
        grace: timedelta = timedelta(minutes=5),
        look_back: timedelta = timedelta(days=1),
    ) -> None:
        kept: dict[str, Any] = {"namespace": settings.namespace(namespace), "ttl": settings.ttl()}
        counter = AttemptCounter(redis_client, **kept)
        self._due = DueRuns(redis_client, **kept)
        self._overview = Overview(redis_client, namespace=kept["namespace"])
        self._api = partial(settings.api, api)
        self._holder = Holder(counter, self._api, Hooks())
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._grace = grace
        self._looked_until = datetime.now(timezone.utc) - look_back

    def sweep(self, go_on: Callable[[], bool] = lambda: True) -> timedelta | None:
        """Finish what is due.

        :param go_on: asked before each run.
        :return: how long it is until the next run is due, None where there is none.
        :raises CounterError: Redis failed.
        :raises ClearUnconfirmed: Airflow gives no clear answers; what was taken stays due, and so does the rest.
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
        """Look for runs that failed, and whose failure no callback has claimed: they need a human.

        A task that is killed calls nobody back, and the Dag-level callback can be lost too.

        :return: how many were found that were not known.
        :raises DagRetryError: Redis failed, or Airflow refused, or gave no clear answer.
        """
        until = datetime.now(timezone.utc) - self._grace
        found = 0
        with FailedRuns(self._api(), Deadline(_DEADLINE)) as airflow:
            ours = self._overview.dag_ids() | airflow.tagged(TAG)
            for run in airflow.between(self._looked_until, until, ours):
                if self._due.miss(
                    run.dag_id, run.run_id, queued_at=run.queued_at, grace=self._grace, holder=self._name
                ):
                    found += 1
                    sdk.count("unclaimed", run.dag_id)
                    log.error(
                        "Dag retry: %s failed, and no callback told us (no_callback): it was not retried. Retry it "
                        "with: dag-retry retry %s %s",
                        named(run.dag_id, run.run_id),
                        run.dag_id,
                        run.run_id,
                    )
        # A run may be recorded as failed a moment after the time that it bears.
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
        except Exception:  # noqa: BLE001 (a hook's, which was logged: what it was to tell stays due)
            return


@contextmanager
def sweeper() -> Iterator[Sweeper]:
    """Make a sweeper from the settings, once Airflow lets it in: else it would find every run that is due refused.

    :raises ConfigError: a setting is missing or wrong.
    :raises ClearRefused: Airflow does not let it in.
    :raises ClearUnconfirmed: Airflow gives no clear answer.
    :raises CounterError: Redis is a Cluster that is unreachable.
    """
    from dag_retry._redis.connection import connect

    with FailedRuns(settings.api(None), Deadline(_DEADLINE)) as airflow:
        airflow.enter()
    with closing(connect(settings.redis_url(None), timeout=_REDIS_TRY)) as client:
        yield Sweeper(client)
