"""One session with Airflow's REST API: whoever needs the API opens it, and all its requests share one login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag_retry._airflow import settings

if TYPE_CHECKING:
    from dag_retry._airflow.api import AirflowApi
    from dag_retry._airflow.deadline import Deadline


class Airflow:
    """A session with Airflow's REST API, which the first request opens. A context manager, which closes the session.

    :param deadline: the end of the last request.
    :ivar deadline: the same. Who uses a session for many runs renews the deadline for each run.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._api: AirflowApi | None = None

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API.

        :raises ConfigError: a setting is missing or wrong.
        :raises ApiUnusable: the Connection that ``api_conn_id`` names was not found.
        """
        if self._api is None:
            # Imported here: a callback that loses its claim needs no requests.
            from dag_retry._airflow.api import AirflowApi

            self._api = AirflowApi(settings.api(), self.deadline)
        return self._api

    def close(self) -> None:
        """Close the session. The next request opens another one, with the settings as they are then."""
        if self._api is not None:
            self._api.client.close()
            self._api = None
