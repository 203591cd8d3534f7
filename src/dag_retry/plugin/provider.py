"""The entry point ``apache_airflow_provider``: what this package adds to Airflow besides its page."""

from __future__ import annotations

from typing import Any

from dag_retry.plugin.connections import CONNECTION_TYPES
from dag_retry.plugin.options import OPTIONS


def get_provider_info() -> dict[str, Any]:
    """Return what ``airflow providers``, ``airflow config`` and the form of Connections show.

    Airflow checks it against ``provider_info.schema.json``, in which ``package-name`` must be the distribution's.
    """
    return {
        "package-name": "airflow-dag-retry",
        "name": "Dag retry",
        "description": "Retries whole Dag runs: one winner per failure, capped, counted in Redis.",
        "connection-types": CONNECTION_TYPES,
        "cli": ["dag_retry.cli.airflow_commands"],
        "config": {
            "dag_retry": {
                "description": "Retries of whole Dag runs (airflow-dag-retry).",
                "options": {name: option.schema() for name, option in OPTIONS.items()},
            }
        },
    }
