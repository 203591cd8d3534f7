"""The deployment's Redis, as the section ``[dag_retry]`` has it.

Callbacks, sweepers, the command line and the page all come through here, so that they agree. How to reach Airflow's
REST API is :func:`dag_retry._airflow.settings.api`, for all of them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag_retry._airflow import section, settings

if TYPE_CHECKING:
    from dag_retry._redis.connection import Client
    from dag_retry._redis.counter import AttemptCounter
    from dag_retry._redis.due import DueRuns
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

    return AttemptCounter(
        client,
        namespace=section.get("namespace"),
        ttl=section.get("ttl"),
        wait_replicas=section.get("wait_replicas"),
    )


def due_runs(client: Client) -> DueRuns:
    """Return what a sweeper takes due runs from.

    :param client: of the deployment's Redis.
    :raises ConfigError: ``namespace`` or ``ttl`` is not usable.
    """
    from dag_retry._redis.due import DueRuns

    return DueRuns(client, namespace=section.get("namespace"), ttl=section.get("ttl"))


def overview(client: Client) -> Overview:
    """Return what an operator reads.

    :param client: of the deployment's Redis.
    :raises ConfigError: ``namespace`` is not usable.
    """
    from dag_retry._redis.overview import Overview

    return Overview(client, namespace=section.get("namespace"))
