"""The configuration of the live Airflow, as the environment of its components."""

from __future__ import annotations

import base64
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.airflow_server import warm_up

USERNAME = "admin"
"""The administrator of the live Airflow; :attr:`LiveAirflow.password` is the password."""

PASSWORDS = "passwords.json"
"""File under Airflow's home from which the simple auth manager reads the passwords."""

_ROOT = Path(__file__).parents[2]


def environment(
    home: Path, dags: Path, *, database: str, url: str, password: str, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of every component. Each call makes new secrets.

    The caller's ``AIRFLOW*`` variables are dropped. ``PYTHONPATH`` begins with the checkout, because Dag files of demo
    and tests import from ``tests``, which no installation holds.

    :param home: ``AIRFLOW_HOME``.
    :param dags: folder with the Dag files.
    :param database: SQLAlchemy URL of the metadata database.
    :param url: address of the api-server, ``http://host:port``.
    :param password: the administrator's password.
    :param extra: more variables; they win over the ones set here.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    # HTTP clients use the environment's proxy even for 127.0.0.1. Some read NO_PROXY, others no_proxy.
    no_proxy = ",".join(filter(None, ["127.0.0.1", inherited.get("no_proxy") or inherited.get("NO_PROXY")]))
    own = {
        "AIRFLOW_HOME": str(home),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), inherited.get("PYTHONPATH")])),
    }
    options: dict[str, object] = {
        "core__dags_folder": dags,
        "dag_processor__dag_bundle_config_list": warm_up.bundles(home),
        "core__load_examples": False,
        "core__executor": "LocalExecutor",
        "core__parallelism": 8,
        "core__dags_are_paused_at_creation": False,
        "core__fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "core__simple_auth_manager_users": f"{USERNAME}:admin",
        "core__simple_auth_manager_passwords_file": home / PASSWORDS,
        "database__sql_alchemy_conn": database,
        "api__host": "127.0.0.1",
        "api__port": url.rpartition(":")[2],
        "api__base_url": url,
        "api__workers": 1,
        "api__secret_key": secrets.token_hex(16),
        "api_auth__jwt_secret": secrets.token_hex(32),
        # A task's supervisor may notice only at a heartbeat that the task has ended. The default is 5 s.
        "workers__min_heartbeat_interval": 1,
        "dag_processor__refresh_interval": 5,
        # A callback that arrives while its file is parsed waits for the next parse (3.3.2). The default is 30 s.
        "dag_processor__min_file_process_interval": 20,
        "logging__colored_console_log": False,
        # The dag-processor looks for new files every five seconds, and logs three lines each time.
        "logging__namespace_levels": "airflow.dag_processing.manager.DagFileProcessorManager=warning",
        "usage_data_collection__enabled": False,
        "dag_retry__api_url": url,
        "dag_retry__api_username": USERNAME,
        "dag_retry__api_password": password,
    }
    return {**inherited, **own, **{f"AIRFLOW__{name.upper()}": str(value) for name, value in options.items()}, **extra}


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
