"""The deployment's Redis, as the section ``[dag_retry]`` has it.

Callbacks, sweepers, the command line and the page all come through here, so that they agree. How to reach Airflow's
REST API is :func:`dag_retry._airflow.settings.api`, for all of them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dag_retry._airflow import section, settings

if TYPE_CHECKING:
    from dag_retry._redis.connection import Client
    from dag_retry._redis.counter import AttemptCounter
    from dag_retry._redis.due import Outbox
    from dag_retry._redis.overview import Overview


def connect(*, timeout: float) -> Client:
    """Return a client; only for a Cluster is anything sent yet.

    :param timeout: seconds for each connect and each answer; a call makes up to three tries.
    :raises ConfigError: a setting is missing or wrong.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    from dag_retry._redis.connection import connect

    return connect(settings.redis_url(), timeout=timeout)


def counter(client: Client) -> AttemptCounter:
    """Return the attempt counter.

    :param client: of the deployment's Redis.
    :raises ConfigError: ``namespace``, ``ttl`` or ``wait_replicas`` is not usable.
    """
    from dag_retry._redis.counter import AttemptCounter

    return AttemptCounter(client, **_counting())


def outbox(client: Client) -> Outbox:
    """Return what a sweeper takes due runs from.

    :param client: of the deployment's Redis.
    :raises ConfigError: ``namespace``, ``ttl`` or ``wait_replicas`` is not usable.
    """
    from dag_retry._redis.due import Outbox

    return Outbox(client, **_counting())


def overview(client: Client) -> Overview:
    """Return what an operator reads.

    :param client: of the deployment's Redis.
    :raises ConfigError: ``namespace`` is not usable.
    """
    from dag_retry._redis.overview import Overview

    return Overview(client, namespace=section.get("namespace"))


def _counting() -> dict[str, Any]:
    return {name: section.get(name) for name in ("namespace", "ttl", "wait_replicas")}
