"""The connection of the command line to the deployment's Redis."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from dag_retry._callback import deployment

if TYPE_CHECKING:
    from dag_retry._redis.interventions import Interventions
    from dag_retry._redis.overview import Overview

REDIS_TIMEOUT = 2.0
"""Seconds that Redis has for each connect and each answer. A person waits longer than a callback may."""


@contextmanager
def connected() -> Iterator[tuple[Overview, Interventions]]:
    """Connect to the deployment's Redis. Give the overview, to read, and the interventions, to act.

    :raises ConfigError: a setting is missing or wrong.
    :raises CounterError: no node of the Cluster answers, or a named Connection was not found.
    """
    with closing(deployment.connect(timeout=REDIS_TIMEOUT)) as client:
        yield deployment.overview(client), deployment.interventions(client)


def operator() -> str:
    """Return how Redis's events name the person who acts: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # The user's id has no name.
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
