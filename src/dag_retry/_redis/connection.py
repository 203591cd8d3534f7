"""The connection to Redis, standalone, Sentinel or Cluster: redis-py's own clients, with every wait bounded."""

from __future__ import annotations

import inspect
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis, RedisCluster
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.cluster import ClusterNode
from redis.connection import (
    AbstractConnection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from dag_retry._errors import ConfigError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.tls import TlsConnection

_FORMS = (
    "redis://:password@redis.example.com:6379/0, rediss://… for TLS, unix:///run/redis.sock, "
    "redis+sentinel://:password@sentinel1:26379,sentinel2:26379/mymaster/0 or "
    "redis+cluster://:password@node1:6379,node2:6379"
)
_SEVERAL_HOSTS = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<login>[^@/?#]*@)?(?P<hosts>[^@/?#]+)"
    r"(/(?P<path>[^?#]*))?(\?(?P<query>[^#]*))?"
)
_TIMEOUTS = ("socket_connect_timeout", "socket_timeout")

# The options of a connection differ between versions of redis-py.
_TAKES = inspect.signature(AbstractConnection).parameters


def _lean() -> dict[str, Any]:
    """Return the options with which a new connection sends nothing by itself, except a login and a database.

    By default redis-py 8 makes four round trips: HELLO, maintenance notifications, its name and its version.
    """
    options: dict[str, Any] = {"protocol": 2}
    if "maint_notifications_config" in _TAKES:
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options | dict.fromkeys(["driver_info"] if "driver_info" in _TAKES else ["lib_name", "lib_version"])


Client = Redis | RedisCluster


def connect(url: str, *, timeout: float = 1.0) -> Client:
    """Return a client of redis-py. Only a Cluster's client connects at once, to learn which node has which slots.

    A call of the client is tried twice, and redis-py also tries to connect twice. A call takes at most:

    - 0.2 times ``timeout`` if Redis refuses the connection or is LOADING: the two pauses;
    - 2.1 times if a new connection gets no answer;
    - 3.2 times if a connection that was in use falls silent, and then nothing can be reached.

    Several sentinels, or nodes of a Cluster, share the ``timeout``, so this holds if all of them are silent. To connect
    to a Cluster takes 1 time more. redis-py 5 tries more often to connect to a Cluster or behind a Sentinel: a call may
    then take 6 times. The name resolver's time is not included, and every silent address of a name counts.

    If a call of a Sentinel's client fails in a failover, the next call asks the sentinels for the new primary.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``unix://[[user]:password@]/path.sock[?db=0]``,
        ``redis+sentinel://[[user]:password@]host[:26379][,host…]/service_name[/db]`` (with the options
        ``sentinel_username`` and ``sentinel_password`` for the sentinels' own login), or
        ``redis+cluster://[[user]:password@]host[:6379][,host…]``; ``rediss…`` for TLS. Options of redis-py's connection
        may follow as a query. ``ssl_check_hostname`` is true by default. A CA in the query is the only one trusted. A
        timeout in the query can only be shorter.
    :param timeout: seconds for each connect and for each answer.
    :raises ConfigError: the URL has none of these forms, or an option is wrong.
    :raises CounterError: no node of the Cluster answers.
    """
    try:
        several = _SEVERAL_HOSTS.fullmatch(url)
        options = parse_url(url) if several is None else parse_url(_without_hosts(several))
        for name in _TIMEOUTS:
            options[name] = min(options.get(name, timeout), timeout)
        if options.get("connection_class") is SSLConnection:
            if {"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data"} & options.keys():
                options["connection_class"] = TlsConnection
            # The default of redis-py 5 is not to check it.
            options.setdefault("ssl_check_hostname", options.get("ssl_cert_reqs") != "none")
            # HELLO reads an answer before the first call. Without it redis-py's pool, with hiredis, takes the session
            # tickets of TLS 1.3 for an answer to another call.
            options.setdefault("protocol", 3)
        options = _lean() | options
        options["retry"] = Retry(EqualJitterBackoff(cap=0.1 * timeout, base=0.05 * timeout), 1)
        options["retry_on_error"] = [RedisConnectionError, RedisTimeoutError]  # redis-py 5 wants them here too
        if several is None:
            return _standalone(options)
        connect_to = _sentinel if several["kind"] == "sentinel" else _cluster
        return connect_to(_nodes(several), unquote(several["path"] or ""), options)
    except (TypeError, ValueError, OSError, RedisError) as error:
        raise ConfigError(f"redis_url is wrong ({_why(url, error)}): use e.g. {_FORMS}") from None


class _SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    pass


_BEHIND_SENTINEL = {
    SSLConnection: SentinelManagedSSLConnection,
    TlsConnection: _SentinelTlsConnection,
}


class _SentinelClient(Redis):
    def __repr__(self) -> str:
        # Errors quote it. That of redis-py 6 and 7 holds all options, and thus the passwords.
        options = self.connection_pool.connection_kwargs
        return f"{options['host']}:{options['port']}"


class _PrimaryClient(Redis):
    def close(self) -> None:
        super().close()
        pool: Any = self.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            sentinel.close()


def _why(url: str, error: Exception) -> str:
    """Return what is wrong, but nothing that may be a piece of a password that contains ``/``, ``?`` or ``#``."""
    after_the_hosts = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[1:]
    if "@" in "".join(after_the_hosts):
        return "a password's special characters must be quoted: / is %2F"
    return "its port is not a number" if "Port" in str(error) else str(error)


def _without_hosts(several: re.Match[str]) -> str:
    return f"{several['scheme']}://{several['login'] or ''}?{several['query'] or ''}"


def _nodes(several: re.Match[str]) -> list[tuple[str, int]]:
    default = 26379 if several["kind"] == "sentinel" else 6379
    nodes = []
    for node in several["hosts"].split(","):
        parts = urlsplit(f"//{node}")
        if not parts.hostname:
            raise ValueError("the name of a host is missing")
        nodes.append((parts.hostname, parts.port or default))
    return nodes


def _standalone(options: dict[str, Any]) -> Redis:
    if options.get("connection_class") is UnixDomainSocketConnection and "path" not in options:
        raise ValueError("the path of the socket is missing")
    return Redis.from_pool(_checked(ConnectionPool(**options)))


def _sentinel(nodes: list[tuple[str, int]], path: str, options: dict[str, Any]) -> Redis:
    service_name, _, db = path.partition("/")
    if not service_name:
        raise ValueError("the service name is missing, by which the sentinels know the primary")
    if db and not db.isdecimal():
        raise ValueError("the database is not a number")
    options["db"] = int(db or options.get("db", 0))
    of_sentinels: dict[str, Any] = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    of_sentinels |= {name: options[name] / len(nodes) for name in _TIMEOUTS}
    of_sentinels["retry"] = Retry(NoBackoff(), 0)
    if tls := options.get("connection_class"):
        # Without `_lean`: HELLO would mean RESP3, in which redis-py 7 can't read a sentinel's answer.
        of_sentinels |= {name: value for name, value in options.items() if name.startswith(("ssl_", "connection_"))}
        options["connection_class"] = _BEHIND_SENTINEL[tls]
    else:
        of_sentinels |= _lean()
    sentinel = Sentinel([])
    sentinel.sentinels = [
        _SentinelClient.from_pool(ConnectionPool(host=host, port=port, **of_sentinels)) for host, port in nodes
    ]
    client: Redis = sentinel.master_for(service_name, _PrimaryClient, **options)
    _checked(client.connection_pool)
    return client


def _cluster(nodes: list[tuple[str, int]], path: str, options: dict[str, Any]) -> RedisCluster:
    if path not in ("", "0"):
        raise ValueError("a Cluster has only database 0")
    _checked(ConnectionPool(**options))
    for name in _TIMEOUTS:
        options[name] /= len(nodes)
    names = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in nodes]
    with counter_errors(f"Redis Cluster of {', '.join(names)}"):
        return RedisCluster(
            url=f"redis://{names[0]}",  # redis-py takes a connection class only where a node is given by URL
            startup_nodes=[ClusterNode(host, port) for host, port in nodes[1:]],
            dynamic_startup_nodes=False,  # so that a call asks no more nodes than are named here
            **options,
        )


def _checked(pool: ConnectionPool) -> ConnectionPool:
    """Make a connection, without connecting: a wrong option must be an error before anything is claimed."""
    connection = pool.connection_class(**pool.connection_kwargs)
    if isinstance(connection, TlsConnection):
        connection.context()
    return pool
