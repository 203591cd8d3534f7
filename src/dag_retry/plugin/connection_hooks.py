"""A hook for each type of Connection: Airflow lists no type without one. Nothing calls these hooks."""

from __future__ import annotations

from airflow.sdk import BaseHook

from dag_retry._airflow.options import API_CONNECTION, REDIS_CONNECTION


class RedisHook(BaseHook):
    """The Connection that ``redis_conn_id`` names: where attempts are counted."""

    conn_name_attr = "dag_retry_redis_conn_id"
    default_conn_name = REDIS_CONNECTION
    conn_type = "dag_retry_redis"
    hook_name = "Dag retry: Redis"


class ApiHook(BaseHook):
    """The Connection that ``api_conn_id`` names: how runs are cleared."""

    conn_name_attr = "dag_retry_api_conn_id"
    default_conn_name = API_CONNECTION
    conn_type = "dag_retry_api"
    hook_name = "Dag retry: Airflow's REST API"
