"""The settings of Redis and of Airflow's REST API, from the section ``[dag_retry]`` or a Connection that it names.

An address and its credentials come from the same place. So no host receives credentials that were meant for another.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dag_retry._airflow import connections, sdk, section
from dag_retry._airflow.options import OPTIONS
from dag_retry._errors import ApiUnusable, ConfigError, CounterError


class ApiSettings(NamedTuple):
    """The settings of Airflow's REST API, with credentials of one kind.

    :param url: the base URL, without ``/api/v2``.
    :param token: a bearer token.
    :param username: the user who logs in at the token path.
    :param password: the user's password.
    :param client_id: the client that logs in at the token path, with ``client_credentials``.
    :param client_secret: the client's secret.
    :param token_callable: ``module:function``, which returns a bearer token; from the section only.
    :param token_path: where a user or client logs in, below the base URL.
    :param ca_file: the PEM file of the only CA that is trusted, in place of the usual ones.
    :param proxy: the URL of a proxy, in place of the environment's.
    :param timeout: the seconds that Airflow has for each answer; from the section only.
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
    timeout: float = float(str(OPTIONS["api_timeout"].default))

    def __repr__(self) -> str:
        """Show no secret."""
        return f"ApiSettings(url={self.url!r})"


# The settings that are credentials, each with its kind.
_CREDENTIALS = {
    "token": "token",
    "username": "login",
    "password": "login",
    "client_id": "client",
    "client_secret": "client",
    "token_callable": "callable",
}
# What goes with an address.
_BESIDE_URL = (*_CREDENTIALS, "token_path", "ca_file", "proxy")


def redis_url() -> str:
    """Return the URL of Redis, and mask its passwords in the logs.

    :raises ConfigError: the URL is not set, or is set twice, or the Connection is wrong.
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


def has_credentials() -> bool:
    """Return whether the section holds credentials for Airflow's REST API, or names a Connection that holds them.

    :raises ConfigError: an option can't be read.
    """
    if section.configured("api_conn_id") or any(section.configured(f"api_{name}") for name in _CREDENTIALS):
        return True
    url = section.configured("api_url")
    return "username" in connections.url_parts(url, section.named("api_url")) if url else False


def api() -> ApiSettings:
    """Return the settings of Airflow's REST API, and mask its secrets in the logs.

    :raises ConfigError: the address is not set, or the credentials are not of one kind, or a setting is wrong.
    :raises ApiUnusable: the Connection that ``api_conn_id`` names was not found.
    """
    if conn_id := section.configured("api_conn_id"):
        _keep_one("api_conn_id", *(f"api_{name}" for name in ("url", *_BESIDE_URL)))
        where, prefix = connections.named(conn_id), ""
        given = connections.api_parts(
            connections.fetch("api_conn_id", conn_id, partial(ApiUnusable, reason="connection"))
        )
    else:
        where, prefix = f"the section [{section.SECTION}]", "api_"
        given = connections.url_parts(_api_url(), section.named("api_url"))
        found = {name: text for name in _BESIDE_URL if (text := section.configured(f"api_{name}"))}
        if twice := [f"api_{name}" for name in given if name in found]:
            raise ConfigError(f"{section.named('api_url')} holds a login, and {', '.join(twice)} too: keep one")
        given |= found
    for secret in ("token", "password", "client_secret"):
        sdk.mask(given.get(secret))
    _mask_passwords(given.get("proxy", ""))
    _check_credentials(given, where, prefix)
    _check_way(given, where, prefix)
    return ApiSettings(**given, timeout=section.get("api_timeout").total_seconds())


def _keep_one(conn_id: str, *others: str) -> None:
    """Raise ConfigError if the section names a Connection and also sets what that Connection holds."""
    if beside := [name for name in others if section.configured(name)]:
        raise ConfigError(
            f"{section.named(conn_id)} is set, and {', '.join(beside)} too: keep one. All comes from the Connection, "
            "or all from the section"
        )


def _mask_passwords(url: str) -> None:
    """Mask the password before the hosts of a URL, and the passwords in its query. The URL may be malformed."""
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
    """Raise ConfigError unless the credentials are complete and of one kind.

    :param given: the settings.
    :param where: where they are set, for messages.
    :param prefix: the prefix of their names there.
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
        raise ConfigError(
            f"no credentials for Airflow's REST API at {given['url']}: {remedy}. `airflow config list --section "
            f"{section.SECTION}` shows the other kinds"
        )
    if len(kinds) > 1:
        held = ", ".join(f"{prefix}{name}" for name in names)
        raise ConfigError(f"{where} holds {len(kinds)} kinds of credentials for Airflow's REST API ({held}): keep one")
    for name, kind in _CREDENTIALS.items():
        if kind in kinds and name not in given:
            raise ConfigError(f"{where} holds {prefix}{names[0]} without {prefix}{name}: set both")


def _check_way(given: dict[str, str], where: str, prefix: str) -> None:
    """Raise ConfigError if the token path, the CA file or the proxy is wrong.

    :param given: the settings.
    :param where: where they are set, for messages.
    :param prefix: the prefix of their names there.
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
