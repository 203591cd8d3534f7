"""The entry point ``airflow.plugins``: the page "Dag retries" under Browse, a tab of each run, and the atomic clear.

Every component of Airflow loads this module, so this module loads nothing else. Only the API server asks for the apps.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

PREFIX = "dag-retry"
CLEAR_PREFIX = "/dag-retry-clear"
_LOOK = {"icon": f"{PREFIX}/icon.svg", "icon_dark_mode": f"{PREFIX}/icon-dark.svg"}


class DagRetryPlugin(AirflowPlugin):
    """The page and the clear.

    The page's addresses are relative, since Airflow may lie below a path (``<base>`` of its index.html).
    """

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
        """The apps that Airflow mounts: the page at ``/dag-retry``, the clear at ``/dag-retry-clear``.

        The page asks each user for the right to use the website. A machine user that clears runs may lack that right.
        """
        from dag_retry.plugin.clear.app import app as clear
        from dag_retry.plugin.page.app import app as page

        return [
            {"name": "Dag retries", "app": page, "url_prefix": f"/{PREFIX}"},
            {"name": "Dag retry: clear", "app": clear, "url_prefix": CLEAR_PREFIX},
        ]
