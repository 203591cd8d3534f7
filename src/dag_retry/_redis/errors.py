"""Errors of Redis and redis-py, in words for whoever is on call: what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dag_retry._errors import CounterError

# The first pattern that is found in the classes and the text of an error gives its remedy. redis-py makes a class of
# most of the server's error codes and cuts them off the text. Redis 6.2 leaves a script's error code in the text.
_REMEDIES = {
    "MasterNotFound.*AuthenticationError": (
        "the sentinels refuse the login: give theirs (not that of Redis) as "
        "?sentinel_username=…&sentinel_password=… of redis_url"
    ),
    "MasterNotFound": (
        "no sentinel that answers knows a primary of this name: correct the sentinels' addresses and the service name "
        "in redis_url. During a failover this passes by itself"
    ),
    "AuthenticationError|AuthenticationWrongNumber|NOAUTH|unauthenticated": (
        "the login is refused: correct user and password in redis_url, and quote special characters"
    ),
    # What a script says whose user lacks a right: Redis 6.2, Redis 7.0 (two texts), Valkey 9.
    "NoPermission|NOPERM|can't run this command or subcommand|can't access at least one|ACL failure in script": (
        "its user lacks a right, or the namespace is not its own: grant the rights of `ACL SETUSER retry` in "
        "lua/README.md"
    ),
    "ReadOnlyError|READONLY": (
        "this is a replica, or has become one: point redis_url at the primary, or use the form redis+sentinel://…, "
        "where the next call asks the sentinels for the primary"
    ),
    "OutOfMemory|OOM": (
        "its memory is full (maxmemory): raise maxmemory, or delete something. Keep maxmemory-policy noeviction: "
        "others, such as allkeys-lru, may evict records and so forget attempts"
    ),
    "BusyLoading|LOADING": (
        "it has just started and loads its data (LOADING): this passes by itself. If it lasts, read the log of Redis"
    ),
    "MISCONF": (
        "it can't save its snapshots and so refuses writes (MISCONF): read the log of Redis. Mostly a disk is full"
    ),
    "WRONGTYPE|user_script:.*attempt to|not of schema v1": (
        "a key under one of our names is not ours: rename or delete the key that begins with {<namespace>}:v1: and is "
        "not as lua/README.md says, or set another namespace"
    ),
    "ClusterDown|CLUSTERDOWN|SlotNotCovered|MasterDown|not covered": (
        "the Cluster has lost a part of its slots (CLUSTERDOWN): run CLUSTER INFO there. During a failover this passes "
        "by itself"
    ),
    "TryAgain|TRYAGAIN|TTL exhausted": (
        "the Cluster is moving the slot of these keys: this passes by itself. If it lasts, run redis-cli --cluster "
        "check"
    ),
    "MovedError|AskError|CrossSlot|MOVED|CROSSSLOT": "this is a node of a Cluster: use redis+cluster://… as redis_url",
    "Cluster mode is not enabled|cluster support disabled": (
        "this is no node of a Cluster, or its user lacks +cluster|slots: use redis://…, or grant that right"
    ),
    "unknown command .SENTINEL": "this is a Redis, and not a sentinel: sentinels mostly listen at port 26379",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is not trusted: ?ssl_ca_certs=… of redis_url must name the file of its CA, and the "
        "certificate must be made for the host in redis_url"
    ),
    # A server that wants TLS, a client's certificate or a password may cut the connection without an answer.
    "CERTIFICATE_REQUIRED|EOF occurred|closed by server|reset by peer|Broken pipe|InvalidResponse": (
        "it cuts the connection. If its port speaks TLS, use rediss:// in place of redis://. If it asks for a client's "
        "certificate, add ?ssl_certfile=…&ssl_keyfile=…. If it wants a login, correct user and password in redis_url. "
        "Else it may have too many clients (raise its maxclients): read the log of Redis"
    ),
    "SSL|TLS": "there is no TLS connection: if its port does not speak TLS, use redis:// in place of rediss://",
    # A server may send its refusal before any request. redis-py then says only "Connection not ready".
    "max number of clients|DENIED|Connection not ready": (
        "it turns clients away: it has too many (raise its maxclients, or list them with CLIENT LIST), or is in "
        "protected mode (set a password)"
    ),
    "Timeout": (
        "no answer in time: it is overloaded or stopped, or a firewall drops our packets, or (rediss://) its port does "
        "not speak TLS"
    ),
    "ConnectionError|cannot be connected": (
        "unreachable: see that it runs, that host and port in redis_url are right, and that this host can reach it"
    ),
}


@contextmanager
def counter_errors(redis: Any) -> Iterator[None]:
    """Turn an error of redis-py into a :class:`CounterError` that names the server and says what to do.

    :param redis: the client, or the server's name if there is no client yet.
    :raises CounterError: redis-py raised an error.
    """
    from redis.exceptions import RedisClusterException, RedisError

    try:
        yield
    except (RedisError, RedisClusterException) as error:
        said = f"{type(error).__name__}: {error}"
        clues = " ".join([*_classes(error), said])
        remedy = next((text for pattern, text in _REMEDIES.items() if re.search(pattern, clues)), "it refuses")
        raise CounterError(f"{redis if isinstance(redis, str) else _where(redis)}: {remedy} [{said}]") from error


def _classes(error: BaseException | None) -> Iterator[str]:
    """Yield the class names of the error and of its causes: a Cluster's client raises one class for all."""
    while error:
        yield type(error).__name__
        error = error.__cause__ or error.__context__


def _where(client: Any) -> str:
    """Return the client's address, without user and password."""
    if nodes := getattr(client, "nodes_manager", None):
        return f"Redis Cluster of {', '.join(nodes.startup_nodes)}"
    pool = client.connection_pool
    options = pool.connection_kwargs
    if sentinel := getattr(pool, "sentinel_manager", None):
        sentinels = [other.connection_pool.connection_kwargs for other in sentinel.sentinels]
        known_to = ", ".join(f"{other['host']}:{other['port']}" for other in sentinels)
        return f"Redis {pool.service_name!r} of the sentinels {known_to}"
    return (
        f"Redis at {options.get('path') or '{}:{}'.format(options.get('host', 'localhost'), options.get('port', 6379))}"
    )
