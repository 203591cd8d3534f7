"""A hook of Airflow for each type of Connection. Airflow lists no type without a hook. Nothing calls these hooks."""

from __future__ import annotations

from airflow.sdk import BaseHook

from dag_retry._airflow.options import API_CONNECTION, REDIS_CONNECTION
from dag_retry.plugin.connection_types import HOOK_NAMES


class RedisHook(BaseHook):
    """The hook of the Connection that ``redis_conn_id`` names."""

    conn_name_attr = "dag_retry_redis_conn_id"
    default_conn_name = REDIS_CONNECTION
    conn_type = REDIS_CONNECTION
    hook_name = HOOK_NAMES[REDIS_CONNECTION]


class ApiHook(BaseHook):
    """The hook of the Connection that ``api_conn_id`` names."""

    conn_name_attr = "dag_retry_api_conn_id"
    default_conn_name = API_CONNECTION
    conn_type = API_CONNECTION
    hook_name = HOOK_NAMES[API_CONNECTION]
