"""What Redis, or redis-py, said: told to whoever is on call, with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dag_retry._errors import CounterError

# The first that is found in the classes and the text of what redis-py raises. It makes a class of most of the server's
# codes and cuts them off the text; Redis 6.2 hides them in the text where it was a script that met them.
_REMEDIES = {
    "MasterNotFound.*AuthenticationError": (
        "the sentinels refuse the login: give theirs (not that of Redis) as "
        "?sentinel_username=…&sentinel_password=… of redis_url"
    ),
    "MasterNotFound": (
        "no sentinel that answers knows a primary of this name: correct the sentinels' addresses and the service name "
        "in redis_url; during a failover this passes by itself"
    ),
    "AuthenticationError|AuthenticationWrongNumber|NOAUTH|unauthenticated": (
        "the login is refused: correct user and password in redis_url, special characters quoted"
    ),
    "NoPermission|NOPERM|can't run this command or subcommand|can't access at least one": (
        "its user lacks a right, or the namespace is not its own: give it what `ACL SETUSER retry` in the README gives"
    ),
    "ReadOnlyError|READONLY": (
        "this is a replica, or was made one: point redis_url at the primary, or use the Sentinel form "
        "redis+sentinel://…, which follows it"
    ),
    "OutOfMemory|OOM": (
        "its memory is full (maxmemory): give it more, or free some. Keep maxmemory-policy noeviction: allkeys-lru and "
        "the like may evict records, and so forget attempts"
    ),
    "BusyLoading|LOADING": (
        "it has just started and loads its data (LOADING): this passes by itself; if it lasts, see its log"
    ),
    "MISCONF": "it can't save its snapshots and so refuses writes (MISCONF): see its log, mostly a full disk",
    "WRONGTYPE|user_script:.*attempt to": (
        "a key under one of our names is not ours: rename or delete what begins with {<namespace>}:v1: and is not as "
        "the README says, or set another namespace"
    ),
    "ClusterDown|CLUSTERDOWN|SlotNotCovered|MasterDown|not covered": (
        "the Cluster has lost a part of its slots (CLUSTERDOWN): see CLUSTER INFO there; during a failover this passes "
        "by itself"
    ),
    "TryAgain|TRYAGAIN|TTL exhausted": (
        "the Cluster is moving the slot of these keys: this passes by itself; else run redis-cli --cluster check"
    ),
    "MovedError|AskError|CrossSlot|MOVED|CROSSSLOT": "this is a node of a Cluster: use redis+cluster://… as redis_url",
    "Cluster mode is not enabled|cluster support disabled": (
        "this is no node of a Cluster, or its user lacks +cluster|slots: use redis://…, or give it that right"
    ),
    "unknown command .SENTINEL": "this is a Redis, and not a sentinel: those mostly listen at port 26379",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is not trusted: ?ssl_ca_certs=… of redis_url must name the file of its CA, and the host in "
        "redis_url must be one the certificate was made for"
    ),
    # A server that wants TLS, or a certificate, says so by cutting the connection, at whatever moment.
    "CERTIFICATE_REQUIRED|EOF occurred|closed by server|reset by peer|Broken pipe|InvalidResponse": (
        "it cuts the connection: if its port speaks TLS, use rediss:// in place of redis://, with "
        "?ssl_certfile=…&ssl_keyfile=… where it asks for a client's certificate; else it may have too many clients "
        "(raise its maxclients): see its log"
    ),
    "SSL|TLS": "no TLS connection came about: if its port is a plain one, use redis:// in place of rediss://",
    # Redis says so right after the connect, before it is asked. redis-py then says no more than that.
    "max number of clients|DENIED|Connection not ready": (
        "it turns clients away: it has too many (raise its maxclients, or see who they are with CLIENT LIST), or is in "
        "protected mode (give it a password)"
    ),
    "Timeout": (
        "no answer in time: it is overloaded or stopped, a firewall drops what is sent there, or (rediss://) its port "
        "is a plain one"
    ),
    "ConnectionError|cannot be connected": (
        "unreachable: see that it runs, that host and port in redis_url are right, and that it may be reached from here"
    ),
}


@contextmanager
def counter_errors(redis: Any) -> Iterator[None]:
    """Turn what redis-py raises into a :class:`CounterError` that says where, and what to do.

    :param redis: the client, or where there is none yet, what to call it.
    :raises CounterError: redis-py raised something.
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
    """Yield the names of the error's class, and of those behind it: a Cluster's client raises one class for all."""
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
