"""A real Airflow for as long as a ``with`` block lasts."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from dag_retry.demo import warm_up
from dag_retry.demo.database import MetadataDatabase, Run, Try
from dag_retry.demo.processes import POLL, Component, stop

USERNAME = "admin"
"""Who may do everything in the live Airflow, with :attr:`LiveAirflow.password`."""

_COMPONENTS = {
    "api-server": ["api-server"],
    # The log server's port is fixed; the log files are read directly.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}


# SQLite has one writer. A request that waits 5 s for it is answered 500 "Database error", and its transaction is rolled
# back: nothing was done (measured where many tasks fail at once).
_SQLITE_TRIES = 5

# A clear gives a task instance a new id. Where it comes between the look and the write of what this names, Airflow's
# scheduler ends, once its tasks have, with StaleDataError or IntegrityError (3.3.2: on SQLite, which locks no rows,
# after 40 clears of 12 tasks; on PostgreSQL by two clears of a run in a row). What runs it as a service restarts it.
_ENDED_BY_A_CLEAR = ", in process_executor_events\n"


class AirflowError(Exception):
    """The live Airflow did not do what was asked; mostly, the message ends with what its components said last."""


class LiveAirflow:
    """Airflow's api-server, scheduler (LocalExecutor) and dag-processor, each a real process.

    ::

        with LiveAirflow(home=tmp_path, dags=Path("dags")) as airflow:
            run_id = airflow.trigger("my_dag")
            run = airflow.wait("my_dag", run_id)
            assert run.state == "success" and run.clear_number == 1

    Nothing of the caller's own Airflow is used: ``AIRFLOW*`` variables of the environment are dropped, the port is a
    free one, all files are under ``home``. At the end of the block every process is gone, whatever ended it.

    :param home: directory for configuration, logs and the SQLite file; made if missing, never removed.
    :param dags: folder with the Dag files; files added later are found within a second or two.
    :param database: SQLAlchemy URL of an empty database; None for SQLite under ``home``. PostgreSQL needs psycopg2
        here, and psycopg2 and asyncpg beside Airflow.
    :param airflow: the Python interpreter of the environment in which Airflow is installed.
    :param components: what runs beside Airflow's own, e.g. ``{"celery-worker": ["celery", "worker"]}``.
    :param env: more environment for Airflow, e.g. ``AIRFLOW__DAG_RETRY__REDIS_URL``; wins over what is set here.
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
        self.password = secrets.token_urlsafe(16)
        self._dags = dags.resolve()
        self._database_url = database or f"sqlite:///{self.home}/airflow.db"
        self._python = airflow
        self._commands = _COMPONENTS | dict(components or {})
        self._database = MetadataDatabase(self._database_url)
        self._components: list[Component] = []
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy stands between this machine and itself
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._environment = self._build_environment(env or {})  # once: it holds the secrets the components share

    def __enter__(self) -> LiveAirflow:
        """Start everything.

        :return: itself, once the api-server answers and scheduler and dag-processor are alive.
        :raises AirflowError: a component ended, or is not healthy after two minutes.
        """
        try:
            self._start()
        except BaseException:  # Ctrl-C too: what was started must not stay
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

        :param dag_id: which Dag.
        :param run_id: what to call the run; None lets Airflow choose.
        :param conf: its ``dag_run.conf``.
        :return: the run id.
        :raises AirflowError: a Dag file cannot be imported, the Dag is not found in a minute, or Airflow refused.
        """
        self.wait_for_dag(dag_id)
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/dags/{quote(dag_id, safe='')}/dagRuns", body)["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear a whole run, as a person does with the button.

        :param dag_id: its Dag.
        :param run_id: its run id.
        :raises AirflowError: Airflow refused.
        """
        path = f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/clear"
        self.call("POST", path, {"dry_run": False})

    def pause(self, dag_id: str) -> None:
        """Let nothing of this Dag be scheduled.

        :param dag_id: which Dag.
        :raises AirflowError: Airflow refused.
        """
        self.call("PATCH", f"/dags/{quote(dag_id, safe='')}", {"is_paused": True})

    def unpause(self, dag_id: str) -> None:
        """Let this Dag be scheduled again (Dags begin unpaused here).

        :param dag_id: which Dag.
        :raises AirflowError: Airflow refused.
        """
        self.call("PATCH", f"/dags/{quote(dag_id, safe='')}", {"is_paused": False})

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        until: Callable[[Run], bool] = lambda run: run.ended,
        steady: float = 10.0,
        timeout: float = 120.0,
    ) -> Run:
        """Wait for a run.

        A final state is not yet rest: a Dag-level callback may clear the run some seconds later (up to 7, measured on
        two busy cores). So what is waited for must also stay as it is for a while.

        :param dag_id: its Dag.
        :param run_id: its run id.
        :param until: what is waited for; asked again and again with the run as it is then.
        :param steady: seconds for which ``until`` must hold, with the state and ``clear_number`` unchanged. 0: at once.
        :param timeout: seconds in all.
        :return: the run as it then is.
        :raises AirflowError: it did not come to that in time, or a component of Airflow ended.
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
                raise self._error(f"waited {timeout:g} s for {run}\n{tries}")
            self.check_alive()
            time.sleep(4 * POLL)

    def check_alive(self) -> None:
        """Look whether all components run; start the scheduler again where a clear has ended it.

        :raises AirflowError: one has ended.
        """
        for component in list(self._components):
            if component.name in self._commands and component.exit_status is not None:
                if _ENDED_BY_A_CLEAR in component.tail(lines=80):
                    self.restart(component.name)
                    continue
                raise self._error(f"{component.name} ended with exit status {component.exit_status}")

    def restart(self, name: str) -> None:
        """Kill a component with all that it started (SIGKILL), and start it anew.

        :param name: ``scheduler`` (with the LocalExecutor, the running tasks go with it), ``api-server``, …
        """
        component = next(component for component in self._components if component.name == name)
        self._components.remove(component)  # so that nobody takes it for one that ended by itself
        component.kill()
        self._run(name, self._commands[name])

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end, with what the components know.

        :param arguments: e.g. ``"providers", "list"``.
        :return: what it printed.
        :raises AirflowError: its exit status is not 0.
        """
        ended = subprocess.run(
            [str(self._python), "-m", "airflow", *arguments], env=self._environment, capture_output=True, text=True
        )
        if ended.returncode != 0:
            raise AirflowError(f"airflow {' '.join(arguments)}:\n{ended.stdout}\n{ended.stderr}")
        return ended.stdout

    def query(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Ask Airflow's metadata database: :meth:`MetadataDatabase.query`."""
        return self._database.query(sql, **params)

    def dag_run(self, dag_id: str, run_id: str) -> Run:
        """One run, from the metadata database: :meth:`MetadataDatabase.dag_run`."""
        return self._database.dag_run(dag_id, run_id)

    def tries(self, dag_id: str, run_id: str) -> list[Try]:
        """All tries of a run's tasks, from the metadata database: :meth:`MetadataDatabase.tries`."""
        return self._database.tries(dag_id, run_id)

    def task_logs(self, dag_id: str, run_id: str) -> list[Path]:
        """Return the logs of a run's tries. Task-level callbacks write there too.

        :param dag_id: its Dag.
        :param run_id: its run id.
        """
        return sorted((self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("*.log"))

    def dag_processor_logs(self) -> list[Path]:
        """Return the dag-processor's logs, one per Dag file. Dag-level callbacks write there."""
        return sorted((self.home / "logs" / "dag_processor").rglob("*.log"))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the REST API as the administrator.

        :param method: ``GET``, ``POST``, ``PATCH``, …
        :param path: what follows ``/api/v2``, quoted.
        :param body: sent as JSON.
        :return: the answer's JSON.
        :raises AirflowError: there is no answer, or not a 2xx.
        """
        if "Authorization" not in self._http.headers:
            credentials = {"username": USERNAME, "password": self.password}
            token = self._send("POST", "/auth/token", credentials)["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        return self._send(method, f"/api/v2{path}", body)

    def _start(self) -> None:
        (self.home / "components").mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({USERNAME: self.password}))
        warm_up.write(self.home)
        migration = self._run("db-migrate", ["db", "migrate"])
        if migration.wait() != 0:
            raise self._error("the metadata database could not be made")
        for name, arguments in self._commands.items():
            self._run(name, arguments)
        self._until(self._healthy, "healthy components", timeout=120)
        self.wait_for_dag(warm_up.DAG_ID)

    def _run(self, name: str, arguments: list[str]) -> Component:
        component = Component(
            name,
            [str(self._python), "-m", "airflow", *arguments],
            env=self._environment,
            log=self.home / "components" / f"{name}.log",
        )
        self._components.append(component)
        return component

    def _stop(self) -> None:
        try:
            stop(self._components, grace=5.0)
        finally:
            self._http.close()
            self._database.close()

    def _build_environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        # HTTP clients use the environment's proxy even for 127.0.0.1; some read the one name, some the other.
        direct = ",".join(filter(None, ["127.0.0.1", inherited.get("no_proxy") or inherited.get("NO_PROXY")]))
        own = {
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": direct,
            "no_proxy": direct,
            **{f"AIRFLOW__{name.upper()}": str(value) for name, value in self._settings().items()},
        }
        return {**inherited, **own, **extra}

    def _settings(self) -> dict[str, object]:
        return {
            "core__dags_folder": self._dags,
            "dag_processor__dag_bundle_config_list": warm_up.bundles(self.home),
            "core__load_examples": False,
            "core__executor": "LocalExecutor",
            "core__parallelism": 8,
            "core__dags_are_paused_at_creation": False,
            "core__fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "core__simple_auth_manager_users": f"{USERNAME}:admin",
            "core__simple_auth_manager_passwords_file": self.home / "passwords.json",
            "database__sql_alchemy_conn": self._database_url,
            "api__host": "127.0.0.1",
            "api__port": self.url.rpartition(":")[2],
            "api__base_url": self.url,
            "api__workers": 1,
            "api__secret_key": secrets.token_hex(16),
            "api_auth__jwt_secret": secrets.token_hex(32),
            "scheduler__scheduler_idle_sleep_time": 0.2,
            # A task's supervisor may notice only at a heartbeat that the task has ended; by default every 5 s.
            "workers__min_heartbeat_interval": 1,
            "dag_processor__refresh_interval": 1,
            # A callback that comes while its file is parsed waits for the next parse (3.3.2); by default 30 s.
            "dag_processor__min_file_process_interval": 10,
            "dag_processor__bundle_refresh_check_interval": 1,
            "logging__colored_console_log": False,
            # It looks for new files every second, and says so three times.
            "logging__namespace_levels": "airflow.dag_processing.manager.DagFileProcessorManager=warning",
            "usage_data_collection__enabled": False,
            "dag_retry__api_url": self.url,
            "dag_retry__api_username": USERNAME,
            "dag_retry__api_password": self.password,
        }

    def _healthy(self) -> bool:
        try:
            # Airflow builds the API for tasks at the first request, which takes 3 s: not at the cost of the first task.
            self._http.get(f"{self.url}/execution/health", timeout=60)
            health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=60).json()
        except requests.RequestException:
            return False
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        for _ in range(_SQLITE_TRIES):
            try:
                response = self._http.request(method, f"{self.url}{path}", json=body, timeout=60)
            except requests.RequestException as error:
                raise self._error(f"{method} {path} was not answered: {error}") from error
            # Airflow 3.2 does not say why, so that only what may be done twice is sent again.
            again = '"Database error"' in response.text or method in ("GET", "PATCH")
            if not (response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and again):
                break
        if not response.ok:
            raise self._error(f"{method} {path} was answered {response.status_code}: {response.text}")
        return response.json()

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until a Dag has been parsed.

        :param dag_id: which.
        :raises AirflowError: a Dag file cannot be imported, or the Dag is not found in a minute.
        """

        def parsed() -> bool:
            if self.query("SELECT dag_id FROM serialized_dag WHERE dag_id = :dag_id", dag_id=dag_id):
                return True
            if errors := self.query("SELECT filename, stacktrace FROM import_error"):
                raise AirflowError("\n".join(f"{error['filename']}: {error['stacktrace']}" for error in errors))
            return False

        self._until(parsed, f"Dag {dag_id!r} in {self._dags}", timeout=60)

    def _until(self, condition: Callable[[], bool], what: str, *, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                raise self._error(f"waited {timeout:g} s for {what}")
            time.sleep(2 * POLL)

    def _error(self, what: str) -> AirflowError:
        return AirflowError("\n".join([what, *(part.tail() for part in self._components if part.exit_status != 0)]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
