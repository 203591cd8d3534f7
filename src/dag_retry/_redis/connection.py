"""The connection to Redis, standalone, Sentinel or Cluster: redis-py's own, with every wait bounded."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar
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
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

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

# What redis-py takes for a connection differs by its version.
_TAKES = inspect.signature(AbstractConnection).parameters


def _lean() -> dict[str, Any]:
    """Return options for a connection that sends nothing by itself.

    redis-py 8 begins one with four round trips: HELLO, which maintenance it wants to hear of, its name, and its
    version, which it looks up each time. A callback makes one call, and has a use for none of them.
    """
    options: dict[str, Any] = {"protocol": 2}
    if "maint_notifications_config" in _TAKES:
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options | dict.fromkeys(["driver_info"] if "driver_info" in _TAKES else ["lib_name", "lib_version"])


Client = Redis | RedisCluster
Pool = TypeVar("Pool", bound=ConnectionPool)


def connect(url: str, *, timeout: float = 1.0) -> Client:
    """Return a client; only for a Cluster is anything sent yet, to learn who holds which slot.

    A call of the client makes at most 3 tries, each with one connect and handshake, and one answer to wait for. So it
    ends within 0.3 times ``timeout`` (the backoff) where nobody listens or the server is LOADING, and within 3.3 times
    where it is silent. Of several sentinels or nodes of a Cluster each is asked for its share of ``timeout``, so that
    this holds where all are silent. To connect to a Cluster takes 1 time more; redis-py 5 tries longer there. Not in
    it is what the resolver takes for a name; and where one has several addresses, each silent one counts as a connect.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``unix://[[user]:password@]/path.sock[?db=0]``,
        ``redis+sentinel://[[user]:password@]host[:26379][,host…]/service_name[/db]``, where the sentinels' own login is
        given by the options ``sentinel_username`` and ``sentinel_password``, or
        ``redis+cluster://[[user]:password@]host[:6379][,host…]``; ``rediss…`` for TLS. Options of redis-py's connection
        may follow as a query; ``ssl_check_hostname`` is true unless given, and a timeout there may only be shorter.
    :param timeout: seconds for each connect and each answer.
    :raises ConfigError: it is none of these, or an option is wrong.
    :raises CounterError: no node of the Cluster answers.
    """
    try:
        several = _SEVERAL_HOSTS.fullmatch(url)
        options = parse_url(url) if several is None else parse_url(_without_hosts(several))
        for name in ("socket_connect_timeout", "socket_timeout"):
            options[name] = min(options.get(name, timeout), timeout)
        if options.get("connection_class") is SSLConnection:
            options["connection_class"] = TlsConnection
            options.setdefault("ssl_check_hostname", True)  # redis-py 5 does not check it by itself
            # Something must be read before the first call, so HELLO is sent: the session tickets of TLS 1.3 come
            # unasked, and redis-py's pool, with hiredis, takes them for the answer to another call.
            options.setdefault("protocol", 3)
        options = _lean() | options
        options["retry_on_error"] = [RedisConnectionError, RedisTimeoutError]  # redis-py 5 asks for these twice
        options["retry"] = _Tries(EqualJitterBackoff(cap=0.2 * timeout, base=0.05 * timeout), 2)
        if several is None:
            return _standalone(options)
        connect_to = _sentinel if several["kind"] == "sentinel" else _cluster
        return connect_to(_nodes(several), unquote(several["path"] or ""), options)
    except (TypeError, ValueError, OSError, RedisError) as error:
        raise ConfigError(f"redis_url is not usable ({_why(url, error)}): use e.g. {_FORMS}") from None


class _Tries(Retry):
    """Tries of one call. redis-py connects within a try, and tries that, too, several times: here that is once."""

    trying = False

    def call_with_retry(self, do: Callable[[], Any], fail: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self.trying:
            return do()
        self.trying = True
        try:
            return super().call_with_retry(do, fail, *args, **options)
        finally:
            self.trying = False


class _SentinelConnection(SentinelManagedConnection):
    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        # redis-py 8 goes back to the old primary where a try failed; `connect` asks the sentinels who it is now.
        self.connect()  # type: ignore[no-untyped-call]
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]


class _SentinelTlsConnection(_SentinelConnection, TlsConnection):
    pass


class _SentinelClient(Redis):
    def __repr__(self) -> str:
        # It stands in the text of errors, and that of redis-py 6 shows the password.
        options = self.connection_pool.connection_kwargs
        return f"{options['host']}:{options['port']}"


class _SentinelPool(SentinelConnectionPool):
    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            sentinel.close()


def _why(url: str, error: Exception) -> str:
    """Return what is wrong, unless that may quote a piece of a password with a `/`, `?` or `#` that is not quoted."""
    after_the_hosts = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[1:]
    if "@" in "".join(after_the_hosts):
        return "a password's special characters must be quoted: / is %2F"
    return "its port is no number" if "Port" in str(error) else str(error)


def _without_hosts(several: re.Match[str]) -> str:
    return f"{several['scheme']}://{several['login'] or ''}?{several['query'] or ''}"


def _nodes(several: re.Match[str]) -> list[tuple[str, int]]:
    default = 26379 if several["kind"] == "sentinel" else 6379
    nodes = []
    for node in several["hosts"].split(","):
        parts = urlsplit(f"//{node}")
        if not parts.hostname:
            raise ValueError("a host's name is missing")
        nodes.append((parts.hostname, parts.port or default))
    return nodes


def _standalone(options: dict[str, Any]) -> Redis:
    if options.get("connection_class") is UnixDomainSocketConnection and "path" not in options:
        raise ValueError("the socket's path is missing")
    return Redis.from_pool(_checked(ConnectionPool(**options)))


def _sentinel(nodes: list[tuple[str, int]], path: str, options: dict[str, Any]) -> Redis:
    service_name, _, db = path.partition("/")
    if not service_name:
        raise ValueError("the name under which the sentinels know the service is missing")
    if db and not db.isdecimal():
        raise ValueError("the database is no number")
    options["db"] = int(db or options.get("db", 0))
    login = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    tls = options.get("connection_class") is TlsConnection
    of_sentinels = login | {name: value for name, value in options.items() if name.startswith(("ssl_", "connection_"))}
    if not tls:  # which needs RESP3 for its HELLO, and in that redis-py 7 can't read what a sentinel answers
        of_sentinels |= _lean()
    for name in ("socket_connect_timeout", "socket_timeout"):
        of_sentinels[name] = options[name] / len(nodes)
    sentinel = Sentinel([])
    sentinel.sentinels = [
        _SentinelClient.from_pool(ConnectionPool(host=host, port=port, retry=_Tries(NoBackoff(), 0), **of_sentinels))
        for host, port in nodes
    ]
    options["connection_class"] = _SentinelTlsConnection if tls else _SentinelConnection
    return Redis.from_pool(_checked(_SentinelPool(service_name, sentinel, **options)))  # type: ignore[no-untyped-call]


def _cluster(nodes: list[tuple[str, int]], path: str, options: dict[str, Any]) -> RedisCluster:
    if path not in ("", "0"):
        raise ValueError("a Cluster has no database but 0")
    _checked(ConnectionPool(**options))
    for name in ("socket_connect_timeout", "socket_timeout"):
        options[name] /= len(nodes)
    names = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in nodes]
    with counter_errors(f"Redis Cluster of {', '.join(names)}"):
        return RedisCluster(
            url=f"redis://{names[0]}",  # redis-py takes a connection class only where a node is given by URL
            startup_nodes=[ClusterNode(host, port) for host, port in nodes[1:]],
            dynamic_startup_nodes=False,  # so that a call asks no more nodes than are named here
            **options,
        )


def _checked(pool: Pool) -> Pool:
    """Make a connection, without connecting, so that a wrong option is an error before anything is claimed."""
    connection = pool.connection_class(**pool.connection_kwargs)
    if isinstance(connection, TlsConnection):
        connection.context()
    return pool
