"""What a person does to a run: a method for each verb."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dag_retry._defaults import NAMESPACE, TTL
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import Lifetimes
from dag_retry._redis.scripts import Verbs

if TYPE_CHECKING:
    from redis import Redis, RedisCluster


class Interventions:
    """What a person does to a run, by the command line or the page.

    Every method raises :class:`CounterError` if Redis is unreachable or refuses, and :class:`ConfigError` if an id is
    wrong.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param namespace: the namespace of the counter.
    :param ttl: the TTL of the counter.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = NAMESPACE, ttl: timedelta = TTL) -> None:
        self._verbs = Verbs(redis_client, Keys(namespace), Lifetimes(ttl).ttl)

    def hasten(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Make a run due that waits. A sweeper takes the run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks. The events show it.
        :return: whether the run waits.
        """
        return bool(self._verbs.run("hasten", dag_id, run_id, holder=holder))

    def retry(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Record that a person has cleared the run by the command line, or may have. The events show who.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks.
        :return: whether the run has a record.
        """
        return bool(self._verbs.run("retry", dag_id, run_id, holder=holder))

    def cancel(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Cancel the retry of a failure, which may be still to come.

        A callback that has just renewed its claim still clears the run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks. The events show it.
        :return: whether the failure is not retried. If not, its budget has ended already.
        """
        return bool(self._verbs.run("cancel", dag_id, run_id, holder=holder))

    def reset(self, dag_id: str, run_id: str, *, holder: str = "") -> bool:
        """Count the attempts of a run anew. A clear that is still to come is the first attempt.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param holder: who asks. The events show it.
        :return: whether the run has a record.
        """
        return bool(self._verbs.run("reset", dag_id, run_id, holder=holder))
