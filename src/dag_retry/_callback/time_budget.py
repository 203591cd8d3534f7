"""How many seconds a callback takes, of those that Airflow gives it."""

from __future__ import annotations

LONGEST = 15.0
"""A callback takes at most 15 s, a quarter of a claim's lease."""

_SHARE = 0.75
"""A callback takes at most three quarters of what Airflow gives it. Hooks have the rest."""

_SHORTEST = 1.5
"""A callback takes at least 1.5 s. So a failure is claimed, and is due, even if Airflow leaves no time."""

_REDIS_TIMEOUT = 1 / 15
"""The Redis timeout is 1/15 of the callback's time budget."""

_REDIS_CALL = 3.2 * _REDIS_TIMEOUT
"""A call of Redis takes at most 3.2 times the Redis timeout: see ``dag_retry._redis.connection.connect``."""


def time_budget(limit: float) -> float:
    """Return how many seconds a callback may take in all.

    :param limit: the seconds after which Airflow kills the callback's process.
    """
    return max(_SHORTEST, min(LONGEST, _SHARE * limit))


def redis_timeout(budget: float) -> float:
    """Return the seconds that Redis has for each connect and each answer.

    :param budget: the callback's time budget, in seconds.
    """
    return budget * _REDIS_TIMEOUT


def without_redis(budget: float) -> float:
    """Return the seconds after which a callback sends no more requests, so that it can still record the outcome.

    :param budget: the callback's time budget, in seconds.
    """
    return budget * (1 - _REDIS_CALL)
