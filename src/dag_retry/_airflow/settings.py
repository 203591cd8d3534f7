"""Where settings come from: an argument, else an Airflow Connection, else the ``[dag_retry]`` section."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

from dag_retry._airflow import options, sdk
from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

REDIS_CONNECTION = "dag_retry_redis"
API_CONNECTION = "dag_retry_api"


class ApiSettings(NamedTuple):
    """How Airflow's REST API is reached: where, with credentials of one kind, and on what way.

    Each is the option ``api_<name>``, and an extra ``<name>`` of the Airflow Connection.

    :param url: the base URL, without ``/api/v2``.
    :param token: a bearer token.
    :param username: who logs in at the token path.
    :param password: with what.
    :param client_id: which client logs in there, with the grant ``client_credentials``.
    :param client_secret: with what.
    :param token_callable: ``module:function``, which returns a bearer token.
    :param token_path: where one logs in, below the base URL.
    :param ca_file: whom to trust, in place of the usual authorities.
    :param proxy: the URL of a proxy, in place of that of the environment.
    """

    url: str
    token: str | None = None
    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token_callable: str | None = None
    token_path: str = "/auth/token"  # noqa: S105 - a path
    ca_file: str | None = None
    proxy: str | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"ApiSettings(url={self.url!r})"


# Each with the kind of credentials that it is a part of.
_CREDENTIALS = {
    "token": "token",
    "username": "login",
    "password": "login",
    "client_id": "client",
    "client_secret": "client",
    "token_callable": "callable",
}
_WAY = ("token_path", "ca_file", "proxy")


def namespace(argument: str | None = None) -> str:
    """Return what the keys' names begin with; ``dag-retry`` where nothing is set."""
    return argument or sdk.option("namespace") or "dag-retry"


def ttl(argument: timedelta | None = None) -> timedelta:
    """Return how long a record is kept after its last change; 30 days where nothing is set.

    :raises ConfigError: it is not a duration.
    """
    found = options.duration("ttl", argument)
    return timedelta(days=30) if found is None else found


def redis_url(argument: str | None) -> str:
    """Return the URL of Redis, its password masked in the logs.

    :raises ConfigError: nothing is set, or the Connection is not usable.
    """
    url = argument
    if url is None and (connection := sdk.connection(REDIS_CONNECTION)) is not None:
        url = _redis_url_of(connection)
    url = url or sdk.option("redis_url")
    if not url:
        raise ConfigError(
            f"{options.named('redis_url')} is not set: attempts are counted in Redis. Set it, e.g. to "
            f"redis://:password@redis.example.com:6379/0, or make the Airflow Connection {REDIS_CONNECTION!r}"
        )
    _mask_password(url)
    return url


def api(argument: str | None) -> ApiSettings:
    """Return how to reach Airflow's REST API, its secrets masked in the logs.

    Credentials are taken as a whole, from the first place that has any.

    :raises ConfigError: no address is set, or not one kind of credentials, or a setting is not usable.
    """
    section = f"the section [{sdk.SECTION}]"
    section_options = {name: value for name in (*_CREDENTIALS, *_WAY) if (value := sdk.option(f"api_{name}"))}
    if argument is not None:
        where, given = "the argument api", _api_of_url(argument, "api")
    elif (connection := sdk.connection(API_CONNECTION)) is not None:
        where, given = f"the Airflow Connection {API_CONNECTION!r}", _api_of(connection)
    else:
        where, given = section, _api_of_url(_api_url(), options.named("api_url")) | section_options
    if _CREDENTIALS.keys() & given.keys():
        section_options = {name: value for name, value in section_options.items() if name in _WAY}
    else:
        where = section
    given = section_options | given
    for secret in ("token", "password", "client_secret"):
        sdk.mask(given.get(secret))
    _mask_password(given.get("proxy", ""))
    _check_api(given, where, "api_" if where == section else "")
    return ApiSettings(**given)


def _mask_password(url: str) -> None:
    """Mask the passwords of a URL, well-formed or not: the one before the hosts, and those among the options."""
    login, at, _ = url.partition("://")[2].rpartition("@")
    query = url.partition("?")[2]
    options = [option.partition("=") for option in query.split("&")]
    passwords = [login.partition(":")[2]] if at else []
    passwords += [value for name, _, value in options if name in ("password", "sentinel_password", "ssl_password")]
    for password in passwords:
        sdk.mask(password)
        sdk.mask(unquote(password))


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
    # A field of Airflow's form that nobody filled in may have been saved as null.
    given = {key: value for key, value in extra.items() if key.startswith("ssl_") and value not in (None, "")}
    query = urlencode(given if scheme == "rediss" else {})
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{scheme}://{user}{host}:{connection.port or 6379}/{database}" + (f"?{query}" if query else "")


def _api_url() -> str:
    url = sdk.option("api_url") or sdk.base_url()
    if not url:
        raise ConfigError(
            f"{options.named('api_url')} is not set: runs are cleared through Airflow's REST API. Set it, e.g. to "
            f"https://airflow.example.com, or make the Airflow Connection {API_CONNECTION!r}"
        )
    return url


def _api_of(connection: Connection) -> dict[str, str]:
    host = connection.host or ""
    if host and "://" not in host:
        # Airflow's HTTP Connections hold the scheme in `schema`, or nowhere.
        scheme = connection.schema or ("https" if connection.conn_type == "https" else "http")
        host = f"{scheme}://{host}"
    if host and connection.port:
        host = f"{host}:{connection.port}"
    given = _api_of_url(host, f"the host of the Airflow Connection {API_CONNECTION!r}")
    extra = connection.extra_dejson
    for name in ("client_id", "client_secret", "token_callable", *_WAY):
        value = extra.get(name) if isinstance(extra, dict) else None
        if not isinstance(value, str | None):
            raise ConfigError(f"{name} in the extras of the Airflow Connection {API_CONNECTION!r} is no text")
        if value:
            given[name] = value
    if connection.login:
        given["username"] = connection.login
    if connection.password:
        given["password" if connection.login else "token"] = connection.password
    return given


def _api_of_url(url: str, name: str) -> dict[str, str]:
    """Take an address apart; a user and password may stand in it, and the recipe's ``/api/v2`` may end it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    # A password that is not quoted may have ended the host too early.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.path + parts.query + parts.fragment:
        shown = url if "@" not in url else "(not shown: it may hold a password)"
        raise ConfigError(f"{name} is {shown!r}: use the address of Airflow, e.g. https://airflow.example.com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/api/v2")
    given = {"url": f"{parts.scheme}://{host}{port}{path}"}
    if parts.username:
        given["username"] = unquote(parts.username)
    if parts.password:
        given["password"] = unquote(parts.password)
    return given


def _check_api(given: dict[str, str], where: str, prefix: str) -> None:
    """Raise ConfigError where these can't be used.

    :param where: where the credentials are set.
    :param prefix: of their names there.
    """
    names = [name for name in _CREDENTIALS if name in given]
    kinds = {_CREDENTIALS[name] for name in names}
    if not kinds:
        raise ConfigError(
            f"no credentials for Airflow's REST API at {given['url']}: set {options.named('api_token')}, or "
            f"{options.named('api_username')} and {options.named('api_password')}, or give the Airflow Connection "
            f"{API_CONNECTION!r} a login and a password (a password alone is taken for a token); the README lists "
            "others"
        )
    if len(kinds) > 1:
        held = ", ".join(f"{prefix}{name}" for name in names)
        raise ConfigError(f"{where} holds {len(kinds)} kinds of credentials for Airflow's REST API ({held}): keep one")
    for name, kind in _CREDENTIALS.items():
        if kind in kinds and name not in given:
            raise ConfigError(f"{where} holds {prefix}{names[0]} without {prefix}{name}: set both")
    if not given.get("token_path", "/").startswith("/"):
        raise ConfigError("api_token_path does not begin with a slash: it is below api_url, e.g. /auth/token")
    if "ca_file" in given and not Path(given["ca_file"]).is_file():
        raise ConfigError(
            f"api_ca_file is {given['ca_file']!r}, and there is no such file here: name the PEM file of your CA, "
            "wherever tasks and the dag processor run"
        )
    if "proxy" in given:
        try:
            proxy = urlsplit(given["proxy"])
            usable = proxy.scheme in ("http", "https") and proxy.hostname and proxy.port != 0
            usable = usable and not (proxy.path.strip("/") or proxy.query or proxy.fragment)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(
                "api_proxy (not shown: it may hold a password) is no URL of a proxy: use e.g. "
                "http://proxy.example.com:3128"
            )
