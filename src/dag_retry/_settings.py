"""Where settings come from: an argument, else an Airflow Connection, else the ``[dag_retry]`` section."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urlsplit

from dag_retry import _airflow
from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

REDIS_CONNECTION = "dag_retry_redis"
API_CONNECTION = "dag_retry_api"


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How Airflow's REST API is reached: a token, or a user who gets one by logging in.

    :param url: the base URL, without ``/api/v2``.
    :param token: a bearer token.
    :param username: who logs in at ``/auth/token``.
    :param password: with what.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def max_attempts(argument: int | None) -> int:
    """Return the cap of a budget; 3 where nothing is set.

    :raises ConfigError: it is not a whole number of 1 or more.
    """
    value: object = argument
    if argument is None:
        value = _airflow.option("max_attempts") or 3
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"{_named('max_attempts', argument)} is {value!r}: use a whole number of 1 or more, e.g. 3 "
            "(to switch retries off, take the callbacks off the Dag)"
        )
    return value


def ttl(argument: timedelta | None) -> timedelta:
    """Return how long a record is kept after its last change; 30 days where nothing is set.

    :raises ConfigError: it is not a positive duration (in the section: seconds).
    """
    if argument is None and (seconds := _airflow.option("ttl")) is not None:
        try:
            argument = timedelta(seconds=int(seconds))
        except (ValueError, OverflowError):
            raise ConfigError(f"{_named('ttl')} is {seconds!r}: use whole seconds, e.g. 2592000 (30 days)") from None
    return timedelta(days=30) if argument is None else argument


def namespace(argument: str | None) -> str:
    """Return what the keys' names begin with; ``dag-retry`` where nothing is set."""
    return argument or _airflow.option("namespace") or "dag-retry"


def redis_url(argument: str | None) -> str:
    """Return the URL of Redis, its password masked in the logs.

    :raises ConfigError: nothing is set, or the Connection is not usable.
    """
    url = argument
    if url is None and (connection := _airflow.connection(REDIS_CONNECTION)) is not None:
        url = _redis_url_of(connection)
    url = url or _airflow.option("redis_url")
    if not url:
        raise ConfigError(
            f"{_named('redis_url')} is not set: attempts are counted in Redis. Set it, e.g. to "
            f"redis://:password@redis.example.com:6379/0, or make the Airflow Connection {REDIS_CONNECTION!r}"
        )
    _mask_password(url)
    return url


def api(argument: str | None) -> ApiSettings:
    """Return how to reach Airflow's REST API, its secrets masked in the logs.

    :raises ConfigError: no address or no credentials are set, or the address is no URL.
    """
    settings = None
    if argument is not None:
        settings = _api_of_url(argument, "api")
    elif (connection := _airflow.connection(API_CONNECTION)) is not None:
        settings = _api_of(connection)
    url = settings.url if settings else _airflow.option("api_url") or _airflow.base_url()
    if not url:
        raise ConfigError(
            f"{_named('api_url')} is not set: runs are cleared through Airflow's REST API. Set it, e.g. to "
            f"https://airflow.example.com, or make the Airflow Connection {API_CONNECTION!r}"
        )
    if settings is None or not (settings.token or settings.username):
        settings = ApiSettings(
            url=_api_of_url(url, _named("api_url")).url,
            token=_airflow.option("api_token"),
            username=_airflow.option("api_username"),
            password=_airflow.option("api_password"),
        )
    if not settings.token and not (settings.username and settings.password):
        raise ConfigError(
            f"no credentials for Airflow's REST API at {settings.url}: set {_named('api_token')}, or "
            f"{_named('api_username')} and {_named('api_password')}, or give the Airflow Connection "
            f"{API_CONNECTION!r} a login and a password (a password alone is taken for a token)"
        )
    _airflow.mask(settings.token)
    _airflow.mask(settings.password)
    return settings


def _named(key: str, argument: object = None) -> str:
    """Return the name of a setting, as its reader must type it."""
    if argument is not None:
        return key
    return f"[{_airflow.SECTION}] {key} (AIRFLOW__{_airflow.SECTION.upper()}__{key.upper()})"


def _mask_password(url: str) -> None:
    try:
        password = urlsplit(url).password
    except ValueError:  # not a URL; who connects says so
        return
    _airflow.mask(password)
    _airflow.mask(unquote(password) if password else None)


def _redis_url_of(connection: Connection) -> str:
    """Return the URL that a Connection of Airflow's own type ``redis`` stands for.

    Its extras are those of the Redis provider's hook: ``db``, ``ssl`` and ``ssl_…``, strings where they came by URI.
    """
    if not connection.host:
        raise ConfigError(f"the Airflow Connection {REDIS_CONNECTION!r} has no host: set it, e.g. redis.example.com")
    extra = dict(connection.extra_dejson)
    scheme = "rediss" if str(extra.pop("ssl", "")).lower() in ("true", "1") else "redis"
    database = extra.pop("db", connection.schema) or 0
    login = quote(connection.login or "", safe="")
    user = f"{login}:{quote(connection.password, safe='')}@" if connection.password else ""
    query = urlencode({key: value for key, value in extra.items() if key.startswith("ssl_") and scheme == "rediss"})
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{scheme}://{user}{host}:{connection.port or 6379}/{database}" + (f"?{query}" if query else "")


def _api_of(connection: Connection) -> ApiSettings:
    host = connection.host or ""
    if host and "://" not in host:
        # Airflow's HTTP Connections hold the scheme in `schema`, or nowhere.
        scheme = connection.schema or ("https" if connection.conn_type == "https" else "http")
        host = f"{scheme}://{host}"
    if host and connection.port:
        host = f"{host}:{connection.port}"
    settings = _api_of_url(host, f"the host of the Airflow Connection {API_CONNECTION!r}")
    if connection.login:
        return ApiSettings(settings.url, username=connection.login, password=connection.password)
    return ApiSettings(settings.url, token=connection.password)


def _api_of_url(url: str, name: str) -> ApiSettings:
    """Take an address apart; a user and password may stand in it, and the recipe's ``/api/v2`` may end it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = url if "@" not in url else "(not shown: it may hold a password)"
        raise ConfigError(f"{name} is {shown!r}: use the address of Airflow, e.g. https://airflow.example.com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/api/v2")
    return ApiSettings(
        f"{parts.scheme}://{host}{port}{path}",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
