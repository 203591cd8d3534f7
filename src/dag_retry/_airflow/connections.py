"""Airflow Connections and addresses, parsed into the settings of Redis or of Airflow's REST API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from dag_retry._airflow import sdk, section
from dag_retry._airflow.options import OPTIONS
from dag_retry._errors import ConfigError, DagRetryError

if TYPE_CHECKING:
    from airflow.sdk import Connection

EXTRAS = ("client_id", "client_secret", "token_path", "ca_file", "proxy")
"""The extras of a Connection for the REST API."""


def named(conn_id: str) -> str:
    """Return the name of a Connection in messages.

    :param conn_id: the Connection's id.
    """
    return f"the Airflow Connection {conn_id!r}"


def fetch(option: str, conn_id: str, missing: Callable[[str], DagRetryError]) -> Connection:
    """Return a Connection that the section names.

    Airflow's SDK also says "not found" if its API server does not answer (``_get_connection`` in ``context.py``,
    3.3.2). So the caller makes the error.

    :param option: the option that names the Connection.
    :param conn_id: the Connection's id.
    :param missing: makes the error to raise.
    :raises DagRetryError: Airflow gave no Connection. The error is what ``missing`` made.
    """
    try:
        return sdk.connection(conn_id)
    except Exception as error:
        raise missing(
            f"{named(conn_id)} was not found: make it, correct {section.named(option)}, or see that Airflow's API "
            f"server and secrets backend answer [{type(error).__name__}]"
        ) from error


def redis_url(connection: Connection) -> str:
    """Return the URL of Redis that a Connection holds, of Airflow's type ``redis`` or of ours.

    The extras are those of the Redis provider's hook: ``db``, ``ssl`` and ``ssl_…``. If the Connection was given as a
    URI, they are texts.

    :param connection: the Connection.
    :raises ConfigError: it has no host.
    """
    if not connection.host:
        raise ConfigError(f"{named(connection.conn_id)} has no host: set it, e.g. redis.example.com")
    extra = _extras(connection)
    scheme = "rediss" if str(extra.pop("ssl", "")).lower() in ("true", "1") else "redis"
    database = extra.pop("db", connection.schema) or 0
    login = quote(connection.login or "", safe="")
    user = f"{login}:{quote(connection.password, safe='')}@" if connection.password else ""
    # Airflow's form may save an empty field as null.
    given = {key: value for key, value in extra.items() if key.startswith("ssl_") and value not in (None, "")}
    query = urlencode(given if scheme == "rediss" else {})
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{scheme}://{user}{host}:{connection.port or 6379}/{database}" + (f"?{query}" if query else "")


def api_parts(connection: Connection) -> dict[str, str]:
    """Return the settings of the REST API that a Connection holds, by the names of :class:`ApiSettings`.

    :param connection: the Connection.
    :raises ConfigError: the host is no address, or an extra is wrong.
    """
    where = named(connection.conn_id)
    host = connection.host or ""
    if host and "://" not in host:
        # Airflow's HTTP Connections hold the scheme in `schema`, or nowhere.
        scheme = connection.schema or ("https" if connection.conn_type == "https" else "http")
        host = f"{scheme}://{host}"
    if host and connection.port:
        host = f"{host}:{connection.port}"
    given = url_parts(host, f"the host of {where}")
    extra = _extras(connection)
    if "token_callable" in extra:
        raise ConfigError(
            f"{where} has an extra token_callable: remove it, since a Connection must not choose what code workers "
            "run. Set api_url and api_token_callable in the section instead of api_conn_id"
        )
    for name in EXTRAS:
        value = extra.get(name)
        if not isinstance(value, str | None):
            raise ConfigError(f"{name} in the extras of {where} is no text")
        if value:
            given[name] = value
    if connection.login:
        given["username"] = connection.login
    if connection.password:
        given["password" if connection.login else "token"] = connection.password
    return given


def url_parts(url: str, name: str) -> dict[str, str]:
    """Return the base URL of an address, and the user and password if the address holds them.

    :param url: the address. It may end with ``/api/v2``, as in Airflow's how-to.
    :param name: the name of the address in messages.
    :raises ConfigError: the URL is no address.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    # An @ after the host is a sign of a password that was not quoted.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.path + parts.query + parts.fragment:
        shown = url if "@" not in url else "(not shown: it may hold a password)"
        raise ConfigError(f"{name} is {shown!r}: use the address of Airflow, e.g. {OPTIONS['api_url'].example}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/api/v2")
    given = {"url": f"{parts.scheme}://{host}{port}{path}"}
    if parts.username:
        given["username"] = unquote(parts.username)
    if parts.password:
        given["password"] = unquote(parts.password)
    return given


def _extras(connection: Connection) -> dict[str, Any]:
    extras = connection.extra_dejson
    return dict(extras) if isinstance(extras, dict) else {}
