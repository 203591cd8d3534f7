"""The types of Connection that ``redis_conn_id`` and ``api_conn_id`` can name, as Airflow's form shows them."""

from __future__ import annotations

from typing import Any

from dag_retry._airflow.options import API_CONNECTION, REDIS_CONNECTION

HOOK_NAMES = {REDIS_CONNECTION: "Dag retry: Redis", API_CONNECTION: "Dag retry: Airflow's REST API"}
"""The name of each type in Airflow's form."""


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONNECTION_TYPES: list[dict[str, Any]] = [
    {
        "connection-type": REDIS_CONNECTION,
        "hook-name": HOOK_NAMES[REDIS_CONNECTION],
        "hook-class-name": "dag_retry.plugin.connection_hooks.RedisHook",
        "conn-fields": {
            "db": _field("Database", "integer", "The number of the database; 0 if empty.", minimum=0),
            "ssl": _field("TLS", "boolean", "Whether the port speaks TLS.", default=False),
            "ssl_ca_certs": _field("CA file", "string", "The PEM file of the only CA that is trusted."),
            "ssl_certfile": _field("Certificate file", "string", "The PEM file of the client's certificate."),
            "ssl_keyfile": _field("Key file", "string", "The PEM file of the client's key."),
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"login": "User (ACL)"},
            "placeholders": {
                "host": "redis.example.com",
                "port": "6379",
                "login": "retry, or empty",
                "password": "of the user, or of Redis",
            },
        },
    },
    {
        "connection-type": API_CONNECTION,
        "hook-name": HOOK_NAMES[API_CONNECTION],
        "hook-class-name": "dag_retry.plugin.connection_hooks.ApiHook",
        "conn-fields": {
            "client_id": _field("Client id", "string", "The client that logs in with client_credentials (Keycloak)."),
            "client_secret": _field("Client secret", "string", "The client's secret.", format="password"),
            "token_path": _field("Token path", "string", "Where a user or client logs in; /auth/token if empty."),
            "ca_file": _field("CA file", "string", "The PEM file of the only CA that is trusted."),
            "proxy": _field("Proxy", "string", "http://user:password@proxy.example.com:3128", format="password"),
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "Address", "login": "User", "password": "Password, or a token without a user"},
            "placeholders": {
                "host": "https://airflow.example.com",
                "port": "8080",
                "login": "retry",
                "password": "of the user, or a bearer token",
            },
        },
    },
]
