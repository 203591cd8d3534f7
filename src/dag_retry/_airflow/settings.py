"""Where Redis and Airflow's REST API are: what the section ``[dag_retry]`` says, or a Connection that it names.

All that belongs to an address comes from where the address comes from. So no host receives credentials that were meant
for another.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dag_retry._airflow import connections, sdk, section
from dag_retry._airflow.options import OPTIONS
from dag_retry._errors import ClearUnconfirmed, ConfigError, CounterError


class ApiSettings(NamedTuple):
    """How Airflow's REST API is reached: where, with credentials of one kind, and on what way.

    :param url: the base URL, without ``/api/v2``.
    :param token: a bearer token.
    :param username: who logs in at the token path.
    :param password: the user's password.
    :param client_id: the client that logs in there with ``client_credentials``.
    :param client_secret: the client's secret.
    :param token_callable: ``module:function``, which returns a bearer token; from the section only.
    :param token_path: where a user or client logs in, below the base URL.
    :param ca_file: the PEM file of the only CA that is trusted, in place of the usual ones.
    :param proxy: the URL of a proxy, in place of the environment's.
    """

    url: str
    token: str | None = None
    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token_callable: str | None = None
    token_path: str = str(OPTIONS["api_token_path"].default)
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


def redis_url() -> str:
    """Return the URL of Redis, its passwords masked in the logs.

    :raises ConfigError: no place is set, or two are, or the Connection is not usable.
    :raises CounterError: the Connection that ``redis_conn_id`` names was not found.
    """
    if conn_id := section.configured("redis_conn_id"):
        _keep_one("redis_conn_id", "redis_url")
        url = connections.redis_url(connections.fetch("redis_conn_id", conn_id, CounterError))
    else:
        url = section.configured("redis_url")
    if not url:
        raise ConfigError(
            f"{section.named('redis_url')} is not set: attempts are counted in Redis. Set it, e.g. to "
            f"{OPTIONS['redis_url'].example}, or name an Airflow Connection: {section.named('redis_conn_id')}"
        )
    _mask_passwords(url)
    return url


def api() -> ApiSettings:
    """Return how to reach Airflow's REST API, its secrets masked in the logs.

    :raises ConfigError: no address is set, or not one kind of credentials, or a setting is not usable.
    :raises ClearUnconfirmed: the Connection that ``api_conn_id`` names was not found.
    """
    if conn_id := section.configured("api_conn_id"):
        _keep_one("api_conn_id", *(f"api_{name}" for name in ApiSettings._fields))
        where, prefix = connections.named(conn_id), ""
        given = connections.api_parts(connections.fetch("api_conn_id", conn_id, ClearUnconfirmed))
    else:
        where, prefix = f"the section [{section.SECTION}]", "api_"
        given = connections.url_parts(_api_url(), section.named("api_url"))
        found = {name: text for name in ApiSettings._fields[1:] if (text := section.configured(f"api_{name}"))}
        if twice := [f"api_{name}" for name in given if name in found]:
            raise ConfigError(f"{section.named('api_url')} holds a login, and {', '.join(twice)} too: keep one")
        given |= found
    for secret in ("token", "password", "client_secret"):
        sdk.mask(given.get(secret))
    _mask_passwords(given.get("proxy", ""))
    _check_credentials(given, where, prefix)
    _check_way(given, where, prefix)
    return ApiSettings(**given)


def _keep_one(conn_id: str, *others: str) -> None:
    """Raise ConfigError where a Connection is named, and the section holds what that Connection has to hold."""
    if beside := [name for name in others if section.configured(name)]:
        raise ConfigError(
            f"{section.named(conn_id)} is set, and {', '.join(beside)} too: keep one. All comes from the Connection, "
            "or all from the section"
        )


def _mask_passwords(url: str) -> None:
    """Mask the passwords of a URL, well-formed or not: the one before the hosts, and those among the options."""
    login, at, _ = url.partition("://")[2].rpartition("@")
    query = url.partition("?")[2]
    options = [option.partition("=") for option in query.split("&")]
    passwords = [login.partition(":")[2]] if at else []
    passwords += [value for name, _, value in options if name in ("password", "sentinel_password", "ssl_password")]
    for password in passwords:
        sdk.mask(password)
        sdk.mask(unquote(password))


def _api_url() -> str:
    url = section.configured("api_url") or sdk.base_url()
    if not url:
        raise ConfigError(
            f"{section.named('api_url')} is not set: runs are cleared through Airflow's REST API. Set it, e.g. to "
            f"{OPTIONS['api_url'].example}, or name an Airflow Connection: {section.named('api_conn_id')}"
        )
    return str(url)


def _check_credentials(given: dict[str, str], where: str, prefix: str) -> None:
    """Raise ConfigError where there are not the credentials of one kind, and whole.

    :param where: where they are set.
    :param prefix: of their names there.
    """
    names = [name for name in _CREDENTIALS if name in given]
    kinds = {_CREDENTIALS[name] for name in names}
    if not kinds:
        remedy = (
            f"set {section.named('api_token')}, or {section.named('api_username')} and "
            f"{section.named('api_password')}, or name an Airflow Connection: {section.named('api_conn_id')}"
            if prefix
            else f"give {where} a login and a password (a password alone is taken for a token)"
        )
        raise ConfigError(f"no credentials for Airflow's REST API at {given['url']}: {remedy}; the README lists others")
    if len(kinds) > 1:
        held = ", ".join(f"{prefix}{name}" for name in names)
        raise ConfigError(f"{where} holds {len(kinds)} kinds of credentials for Airflow's REST API ({held}): keep one")
    for name, kind in _CREDENTIALS.items():
        if kind in kinds and name not in given:
            raise ConfigError(f"{where} holds {prefix}{names[0]} without {prefix}{name}: set both")


def _check_way(given: dict[str, str], where: str, prefix: str) -> None:
    """Raise ConfigError where the path of the login, the CA's file or the proxy is not usable.

    :param where: where they are set.
    :param prefix: of their names there.
    """
    if not given.get("token_path", "/").startswith("/"):
        raise ConfigError(
            f"{prefix}token_path does not begin with a slash (set in {where}): use a path below the address, e.g. "
            f"{OPTIONS['api_token_path'].example}"
        )
    if "ca_file" in given and not Path(given["ca_file"]).is_file():
        raise ConfigError(
            f"{prefix}ca_file is {given['ca_file']!r}, and there is no such file here (set in {where}): name the PEM "
            "file of your CA, wherever tasks and the dag processor run"
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
                f"{prefix}proxy in {where} (not shown: it may hold a password) is no URL of a proxy: use e.g. "
                f"{OPTIONS['api_proxy'].example}"
            )
