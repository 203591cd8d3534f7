"""The deployment's Redis, as the section ``[dag_retry]`` describes it.

Callbacks, sweepers, the command line and the page all use these functions, so that they agree. All of them find
Airflow's REST API by :func:`dag_retry._airflow.settings.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dag_retry._airflow import section, settings

if TYPE_CHECKING:
    from dag_retry._redis.connection import Client
    from dag_retry._redis.counter import AttemptCounter
    from dag_retry._redis.due import DueRuns
    from dag_retry._redis.heartbeat import Heartbeats
    from dag_retry._redis.interventions import Interventions
    from dag_retry._redis.overview import Overview


def connect(*, timeout: float) -> Client:
    """Return a client of the deployment's Redis. Only the client of a Cluster connects at once.

    :param timeout: the seconds for each connect and each answer.
    :raises ConfigError: a setting is missing or wrong.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    from dag_retry._redis.connection import connect

    return connect(settings.redis_url(), timeout=timeout)


def counter(client: Client) -> AttemptCounter:
    """Return the attempt counter.

    :param client: a client of the deployment's Redis.
    :raises ConfigError: ``namespace``, ``ttl`` or ``wait_replicas`` is wrong.
    """
    from dag_retry._redis.counter import AttemptCounter

    return AttemptCounter(client, **_options("namespace", "ttl", "wait_replicas"))


def due_runs(client: Client) -> DueRuns:
    """Return the runs that are due, for a sweeper.

    :param client: a client of the deployment's Redis.
    :raises ConfigError: ``namespace``, ``ttl`` or ``wait_replicas`` is wrong.
    """
    from dag_retry._redis.due import DueRuns

    return DueRuns(client, **_options("namespace", "ttl", "wait_replicas"))


def heartbeats(client: Client) -> Heartbeats:
    """Return the heartbeat, for a sweeper.

    :param client: a client of the deployment's Redis.
    :raises ConfigError: ``namespace`` or ``ttl`` is wrong.
    """
    from dag_retry._redis.heartbeat import Heartbeats

    return Heartbeats(client, **_options("namespace", "ttl"))


def interventions(client: Client) -> Interventions:
    """Return what a person can do to a run.

    :param client: a client of the deployment's Redis.
    :raises ConfigError: ``namespace`` or ``ttl`` is wrong.
    """
    from dag_retry._redis.interventions import Interventions

    return Interventions(client, **_options("namespace", "ttl"))


def overview(client: Client) -> Overview:
    """Return the overview, for operators.

    :param client: a client of the deployment's Redis.
    :raises ConfigError: ``namespace`` is wrong.
    """
    from dag_retry._redis.overview import Overview

    return Overview(client, **_options("namespace"))


def _options(*names: str) -> dict[str, Any]:
    return {name: section.get(name) for name in names}
