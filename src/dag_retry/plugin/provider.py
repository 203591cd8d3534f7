"""The entry point ``apache_airflow_provider``: the options, Connection types and commands that Airflow shows."""

from __future__ import annotations

from typing import Any

from dag_retry._airflow.options import OPTIONS, Option
from dag_retry._airflow.tested import TESTED_TEXT
from dag_retry.plugin.connection_types import CONNECTION_TYPES


def get_provider_info() -> dict[str, Any]:
    """Return what ``airflow providers``, ``airflow config`` and the form of Connections show.

    Airflow validates this against ``provider_info.schema.json``. ``package-name`` must be the name of the distribution.
    """
    return {
        "package-name": "airflow-dag-retry",
        "name": "Dag retry",
        "description": "Retries whole Dag runs: one winner per failure, capped, counted in Redis. "
        f"Tested with Airflow {TESTED_TEXT}.",
        "connection-types": CONNECTION_TYPES,
        "cli": ["dag_retry.cli.airflow_commands"],
        "config": {
            "dag_retry": {
                "description": "Retries of whole Dag runs (airflow-dag-retry).",
                "options": {name: _schema(option) for name, option in OPTIONS.items()},
            }
        },
    }


def _schema(option: Option) -> dict[str, Any]:
    return {
        "description": option.description,
        "type": option.parser.type,
        "default": None if option.default is None else str(option.default),
        "example": option.example,
        "sensitive": option.secret,
        "version_added": option.version_added,
    }
