"""The entry point ``airflow.plugins``: the page "Dag retries" under Browse, and a tab of each Dag run.

Every component of Airflow loads this module, so this module loads nothing else. Only the API server asks for the app.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

PREFIX = "dag-retry"
_LOOK = {"icon": f"{PREFIX}/icon.svg", "icon_dark_mode": f"{PREFIX}/icon-dark.svg"}


class DagRetryPlugin(AirflowPlugin):
    """The page. Its addresses are relative, since Airflow may lie below a path (``<base>`` of its index.html)."""

    name = "dag_retry"
    external_views = [  # noqa: RUF012 - as AirflowPlugin has it
        {
            "name": "Dag retries",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "dag-retries",
            **_LOOK,
        },
        {
            "name": "Retries",
            # Airflow's UI quotes both ids. A path can't hold some ids: `..` is a legal dag_id, a run_id may hold `/`.
            "href": f"{PREFIX}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "dag-retries-run",
            **_LOOK,
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app of the page, which Airflow mounts at ``/dag-retry``."""
        from dag_retry.plugin.page.app import app

        return [{"name": "Dag retries", "app": app, "url_prefix": f"/{PREFIX}"}]
