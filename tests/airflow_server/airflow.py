"""A real Airflow that runs as long as a ``with`` block."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tests.airflow_server import warm_up
from tests.airflow_server.components import POLL, AirflowError, Components
from tests.airflow_server.database import MetadataDatabase, Run, Try
from tests.airflow_server.rest_api import RestApi
from tests.airflow_server.settings import PASSWORDS, USERNAME, environment, free_port

_COMMANDS = {
    "api-server": ["api-server"],
    # The log server's port is fixed, so that two Airflows could not run it. The log files are read directly.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}


class LiveAirflow:
    """Airflow's api-server, scheduler (LocalExecutor) and dag-processor, each a real process.

    ::

        with LiveAirflow(home=tmp_path, dags=Path("dags")) as airflow:
            run_id = airflow.trigger("my_dag")
            run = airflow.wait("my_dag", run_id)
            assert run.state == "success" and run.clear_number == 1

    The caller's own Airflow is not used: ``AIRFLOW*`` variables are dropped, the port is a free one, all files are
    under ``home``. At the end of the block every process is gone, whatever ended the block.

    :param home: directory for configuration, logs and the SQLite file. It is made if missing, and never removed.
    :param dags: folder with the Dag files. Airflow finds files added later within five seconds.
    :param database: SQLAlchemy URL of an empty database; None for SQLite under ``home``. PostgreSQL needs psycopg2
        in this environment, and psycopg2 and asyncpg in Airflow's.
    :param airflow: the Python interpreter of the environment in which Airflow is installed.
    :param components: more components, e.g. ``{"celery-worker": ["celery", "worker"]}``.
    :param env: more environment for Airflow, e.g. ``AIRFLOW__DAG_RETRY__REDIS_URL``. It wins over what is set here.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        database: str | None = None,
        airflow: Path = Path(sys.executable),
        components: Mapping[str, list[str]] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.password = secrets.token_urlsafe(16)
        self._dags = dags.resolve()
        self._python = airflow
        self._commands = _COMMANDS | dict(components or {})
        database = database or f"sqlite:///{self.home}/airflow.db"
        self.environment = environment(
            self.home, self._dags, database=database, url=self.url, password=self.password, extra=env or {}
        )
        self._database = MetadataDatabase(database)
        self.components = Components(airflow, self.environment, self.home / "components")
        self._api = RestApi(self.url, USERNAME, self.password)

    def __enter__(self) -> LiveAirflow:
        """Start everything.

        :return: itself, once the api-server answers and scheduler and dag-processor are alive.
        :raises AirflowError: a component ended, or is not healthy after two minutes.
        """
        try:
            self._start()
        except BaseException:  # Ctrl-C too must leave no process behind
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stop()

    def trigger(self, dag_id: str, run_id: str | None = None, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run, as soon as the Dag has been parsed.

        :param dag_id: the Dag.
        :param run_id: the id of the run; None lets Airflow choose one.
        :param conf: ``dag_run.conf`` of the run.
        :return: the run id.
        :raises AirflowError: a Dag file cannot be imported, the Dag is not found in a minute, or Airflow refuses.
        """
        self.wait_for_dag(dag_id)
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/dags/{quote(dag_id, safe='')}/dagRuns", body)["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear a whole run, as a person does with the button.

        :param dag_id: the Dag.
        :param run_id: the run.
        :raises AirflowError: Airflow refuses.
        """
        path = f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/clear"
        self.call("POST", path, {"dry_run": False})

    def pause(self, dag_id: str) -> None:
        """Pause a Dag.

        :param dag_id: the Dag.
        :raises AirflowError: Airflow refuses.
        """
        self.call("PATCH", f"/dags/{quote(dag_id, safe='')}", {"is_paused": True})

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        until: Callable[[Run], bool] = lambda run: run.ended,
        steady: float = 10.0,
        timeout: float = 120.0,
    ) -> Run:
        """Wait until a run meets a condition, and stays unchanged for a while.

        A final state may change again: a Dag-level callback may clear the run 7 s later (measured on two busy cores).

        :param dag_id: the Dag.
        :param run_id: the run.
        :param until: the condition. It is called again and again with the run as it is then.
        :param steady: seconds for which ``until`` must hold and state and ``clear_number`` must not change.
        :param timeout: seconds in all.
        :return: the run as it is at the end.
        :raises AirflowError: the time is over, or a component of Airflow has ended.
        """
        deadline = time.monotonic() + timeout
        before: Run | None = None
        since = 0.0
        while True:
            run = self.dag_run(dag_id, run_id)
            now = time.monotonic()
            if run != before:
                before, since = run, now
            if until(run) and now - since >= steady:
                return run
            if now > deadline:
                tries = "\n".join(map(str, self.tries(dag_id, run_id)))
                raise self.components.error(f"waited {timeout:g} s for {run}\n{tries}")
            self.components.check_alive()
            time.sleep(4 * POLL)

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until Airflow has parsed a Dag.

        :param dag_id: the Dag.
        :raises AirflowError: a Dag file cannot be imported, or the Dag is not found in a minute.
        """

        def parsed() -> bool:
            if self._database.has_dag(dag_id):
                return True
            if errors := self._database.import_errors():
                raise AirflowError("\n".join(errors))
            return False

        self._until(parsed, f"Dag {dag_id!r} in {self._dags}", timeout=60)

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Kill the API server, and start it again after the block. Wait until all components are healthy.

        :raises AirflowError: they are not healthy within two minutes.
        """
        with self.components.stopped("api-server"):
            yield
        self._until(self._api.healthy, "healthy components", timeout=120)

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end, in the components' environment.

        :param arguments: e.g. ``"providers", "list"``.
        :return: its standard output.
        :raises AirflowError: its exit status is not 0.
        """
        ended = subprocess.run(
            [str(self._python), "-m", "airflow", *arguments],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode != 0:
            raise AirflowError(f"airflow {' '.join(arguments)}:\n{ended.stdout}\n{ended.stderr}")
        return ended.stdout

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the REST API as the administrator: :meth:`RestApi.call`."""
        try:
            return self._api.call(method, path, body)
        except AirflowError as error:
            raise self.components.error(str(error)) from error

    def token(self) -> str:
        """Return the administrator's token for the REST API: :meth:`RestApi.token`."""
        return self._api.token()

    def query(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Query Airflow's metadata database: :meth:`MetadataDatabase.query`."""
        return self._database.query(sql, **params)

    def dag_run(self, dag_id: str, run_id: str) -> Run:
        """Return one run, from the metadata database: :meth:`MetadataDatabase.dag_run`."""
        return self._database.dag_run(dag_id, run_id)

    def tries(self, dag_id: str, run_id: str) -> list[Try]:
        """Return all tries of a run's tasks, from the metadata database: :meth:`MetadataDatabase.tries`."""
        return self._database.tries(dag_id, run_id)

    def task_logs(self, dag_id: str, run_id: str) -> list[Path]:
        """Return the log files of a run's tries. Task-level callbacks log there too."""
        return sorted((self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("*.log"))

    def dag_processor_logs(self) -> list[Path]:
        """Return the log files of the dag-processor, one for each Dag file. Dag-level callbacks log there."""
        return sorted((self.home / "logs" / "dag_processor").rglob("*.log"))

    def _start(self) -> None:
        (self.home / "components").mkdir(parents=True, exist_ok=True)
        (self.home / PASSWORDS).write_text(json.dumps({USERNAME: self.password}))
        warm_up.write(self.home)
        self.components.run("db-migrate", ["db", "migrate"])
        for name, arguments in self._commands.items():
            self.components.start(name, arguments)
        self._until(self._api.healthy, "healthy components", timeout=120)
        self.wait_for_dag(warm_up.DAG_ID)

    def _stop(self) -> None:
        try:
            self.components.stop(grace=5.0)
        finally:
            self._api.close()
            self._database.close()

    def _until(self, condition: Callable[[], bool], what: str, *, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            self.components.check_alive()
            if time.monotonic() > deadline:
                raise self.components.error(f"waited {timeout:g} s for {what}")
            time.sleep(2 * POLL)
