"""The connection to Redis: redis-py's own, with every wait bounded."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from dag_retry._errors import ConfigError

# A callback has 20 s (`[core] task_success_overtime`) for Redis, login and clear together. redis-py by itself waits
# for 10 tries without a limit each; these are at most 3 tries of 2 s, and as many connects.
_TIMEOUT = 2.0
_RETRIES = 2


def connect(url: str) -> Redis:
    """Return a client for what redis-py takes as a URL. Nothing is sent yet.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://…`` for TLS, or
        ``unix://[[user]:password@]/path.sock[?db=0]``; options of redis-py's connection may follow as a query.
    :raises ConfigError: it is none of these.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": _TIMEOUT,
        "socket_timeout": _TIMEOUT,
        "retry": Retry(
            ExponentialWithJitterBackoff(cap=0.5, base=0.05),
            _RETRIES,
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
    }
    try:
        return Redis.from_url(url, **options)
    except (TypeError, ValueError) as error:
        # What Python says of a URL may quote a piece of it, and so of a password with a `/` or `#` that is not quoted.
        why = "a password's special characters must be quoted: / is %2F" if "@" in url else str(error)
        raise ConfigError(
            f"redis_url is not a Redis URL ({why}): use e.g. redis://:password@redis.example.com:6379/0, "
            "rediss://… for TLS, or unix:///run/redis.sock"
        ) from None
