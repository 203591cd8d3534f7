"""The way to Airflow, as a sweeper finds it: whether it works, and the heartbeat that says so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from dag_retry._airflow import settings
from dag_retry._airflow.session import Airflow
from dag_retry._airflow.ways.supervisor import check_supervisor, has_supervisor
from dag_retry._callback.waiting import SWEEPER_DAG
from dag_retry._errors import ApiError, ApiUnanswered, ConfigError, CounterError
from dag_retry._redis.heartbeat import Heartbeats
from dag_retry._redis.reads import RunId
from dag_retry.sweeper.advice import DAG_FILE, LOGIN, OF_DAG

# In seconds, between two heartbeats.
_BEAT = 5.0


class WayToAirflow:
    """Checks the way to Airflow, and writes the heartbeat.

    Every method raises :class:`CounterError` if Redis failed, and :class:`ConfigError` if another sweeper lives and
    uses another Airflow.

    :param airflow: the session with Airflow's REST API.
    :param heartbeats: writes the heartbeat.
    :param holder: names this sweeper: host and process.
    :param begun: whether this process has swept before.
    """

    def __init__(self, airflow: Airflow, heartbeats: Heartbeats, holder: str, *, begun: bool = False) -> None:
        self._airflow = airflow
        self._heartbeats = heartbeats
        self._of_dag = has_supervisor()
        self._holder = f"{OF_DAG}{holder}" if self._of_dag else holder
        self._begun = begun
        self._address = ""
        self._beat_at = 0.0

    def check(self) -> None:
        """Ask Airflow something small, over a new session, and say in the heartbeat whether Airflow answers.

        A process without credentials asks its supervisor. If it has no supervisor either, its setting is missing. A
        command that can't begin because of a setting says nothing: it is no sweeper.

        :raises ConfigError: a setting is missing or wrong.
        :raises ApiError: the way does not work.
        """
        try:
            if settings.has_credentials():
                self._ask()
            elif self._of_dag:
                check_supervisor(SWEEPER_DAG)
            else:
                raise ConfigError(
                    "`dag-retry sweep` needs a login for Airflow's REST API, and none is set: in [dag_retry] set "
                    f"api_url, and for the login {LOGIN}. Without a login a Dag is the sweeper: put a file with "
                    f"`{DAG_FILE}` among your Dags"
                )
        except (ApiError, ConfigError) as fault:
            if self._begun or self._of_dag or isinstance(fault, ApiError):
                with suppress(CounterError):
                    self._say(fault=fault_code(fault), fault_text=str(fault))
            raise
        self._begun = True
        self._say()

    def beat(self) -> None:
        """Say that this sweeper lives, every few seconds."""
        if time.monotonic() >= self._beat_at:
            self._say()

    def looked(self, since: int, until: int, queued: Sequence[RunId]) -> None:
        """Say what a look at Airflow's runs has found.

        :param since: where the look began, in ms since the epoch: as the heartbeat said; 0 if it said nothing.
        :param until: up to where the look has come.
        :param queued: the retried runs that stay ``queued``.
        """
        self._say(looked=(since, until), queued=queued)

    def look_from(self, since: int) -> None:
        """Have the next look begin there, or earlier.

        :param since: in ms since the epoch.
        """
        self._say(look_from=since)

    def _ask(self) -> None:
        # A new session has the settings as they are now, and a new login.
        self._airflow.close()
        self._airflow.deadline.renew()
        client = self._airflow.api.client
        self._address = client.url
        client.items(client.get("dags", query={"limit": 1}), "dags")

    def _say(
        self,
        *,
        fault: str = "",
        fault_text: str = "",
        looked: tuple[int, int] | None = None,
        look_from: int | None = None,
        queued: Sequence[RunId] | None = None,
    ) -> None:
        self._beat_at = time.monotonic() + _BEAT
        self._heartbeats.beat(
            self._holder,
            self._address,
            fault=fault,
            fault_text=fault_text,
            looked=looked,
            look_from=look_from,
            queued=queued,
        )


def fault_code(fault: ApiError | ConfigError) -> str:
    """Return the code of a fault of the way.

    :param fault: what :meth:`WayToAirflow.check` raised.
    """
    if isinstance(fault, ConfigError):
        return "config"
    return "api_away" if isinstance(fault, ApiUnanswered) else fault.reason
