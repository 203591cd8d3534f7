"""The processes of a live Airflow, started and stopped so that none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

POLL = 0.05
"""Seconds between two looks at something that sends no notice of its changes."""

# A clear gives a task instance a new id. If the clear comes between the scheduler's read and its write in this
# function, the scheduler ends with StaleDataError or IntegrityError. Seen in 3.3.2: on SQLite, which locks no rows,
# after 40 clears of 12 tasks; on PostgreSQL after two clears of a run in a row. A service manager would restart it.
_ENDED_BY_A_CLEAR = ", in process_executor_events\n"
_LOOP_ENDED = b"Exception when executing SchedulerJob._run_scheduler_loop"


class AirflowError(Exception):
    """The live Airflow did not do what was asked. Most messages end with the last output of its components."""


class Component:
    """One process and all processes that it starts, in a session of its own.

    The session finds them all again. Airflow's task runner puts every task into its own process group (task SDK 1.3,
    ``execution_time/supervisor.py``), and tasks outlive a killed scheduler; but all stay in the session.
    The session also keeps Ctrl-C at the terminal away from the component: only the owner hears it.

    :param name: the component's name in messages.
    :param command: the program and its arguments. The process starts at once.
    :param env: the whole environment of the process.
    :param log: file for its standard output and error.
    :raises OSError: the program cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._read = 0
        self._loop_has_ended = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_status(self) -> int | None:
        """The exit status, or None while the process runs."""
        return self._process.poll()

    def loop_has_ended(self) -> bool:
        """Return whether the scheduler's loop has ended, by its log. Its process may wait for its tasks for minutes."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        self._loop_has_ended = self._loop_has_ended or _LOOP_ENDED in new
        return self._loop_has_ended

    def wait(self) -> int:
        """Wait until the process ends by itself.

        :return: its exit status.
        """
        return self._process.wait()

    def tail(self, lines: int = 20, width: int = 300) -> str:
        """Return the end of the output, under a heading.

        :param lines: the greatest number of lines.
        :param width: the greatest number of characters of a line.
        """
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.name}: {self.log}", *(line[:width] for line in text)])

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM)."""
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End every process of the session (SIGKILL), and wait until all are gone."""
        # A process may fork after it was listed and before it is killed: list again until none is left.
        while living := self._session():
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)
            self._process.poll()
        self._process.wait()

    def _session(self) -> list[int]:
        living = []
        for process in psutil.process_iter():
            # A process may end while it is looked at.
            with suppress(ProcessLookupError, PermissionError, psutil.Error):
                # A zombie stays in the session until its parent reaps it. No signal ends a zombie.
                if os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process.pid)
        return living


class Components:
    """All components of one Airflow.

    :param python: interpreter of the environment in which Airflow is installed.
    :param env: the whole environment of every component.
    :param logs: existing folder for the output, a file ``NAME.log`` for each component.
    """

    def __init__(self, python: Path, env: Mapping[str, str], logs: Path) -> None:
        self._python = python
        self._env = env
        self._logs = logs
        self._commands: dict[str, Sequence[str]] = {}
        self._running: list[Component] = []

    def run(self, name: str, arguments: Sequence[str]) -> None:
        """Run an ``airflow`` command to its end.

        :param name: the component's name.
        :param arguments: e.g. ``["db", "migrate"]``.
        :raises AirflowError: the exit status is not 0.
        """
        component = self._start(name, arguments)
        if component.wait() != 0:
            raise self.error(f"airflow {' '.join(arguments)} failed")
        self._running.remove(component)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start an ``airflow`` command that runs until :meth:`stop`.

        :param name: the component's name.
        :param arguments: e.g. ``["scheduler"]``.
        """
        self._commands[name] = arguments
        self._start(name, arguments)

    def restart(self, name: str) -> None:
        """Kill a component and all that it started (SIGKILL), and start it again.

        :param name: ``scheduler`` (the LocalExecutor's running tasks end with it), ``api-server``, …
        """
        with self.stopped(name):
            pass

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Kill a component and all that it started (SIGKILL), and start it again after the block.

        :param name: ``scheduler`` (the LocalExecutor's running tasks end with it), ``api-server``, …
        """
        component = next(component for component in self._running if component.name == name)
        self._running.remove(component)  # so that check_alive does not report it
        component.kill()
        yield
        self._start(name, self._commands[name])

    def check_alive(self) -> None:
        """Check that all components run. Start the scheduler again if a clear has ended it.

        :raises AirflowError: a component has ended.
        """
        for component in list(self._running):
            if component.exit_status is None and not component.loop_has_ended():
                continue
            if component.exit_status is not None and _ENDED_BY_A_CLEAR not in component.tail(lines=80):
                raise self.error(f"{component.name} ended with exit status {component.exit_status}")
            self.restart(component.name)

    def stop(self, *, grace: float) -> None:
        """Stop all components together: ask, wait, then kill what is left.

        :param grace: seconds between the request and the kill. A second Ctrl-C ends the wait.
        """
        try:
            for component in self._running:
                component.terminate()
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and any(each.exit_status is None for each in self._running):
                time.sleep(POLL)
        finally:
            for component in self._running:
                component.kill()

    def error(self, message: str) -> AirflowError:
        """Return an error with this message and the last output of every component.

        :param message: what went wrong.
        """
        return AirflowError("\n".join([message, *(component.tail() for component in self._running)]))

    def _start(self, name: str, arguments: Sequence[str]) -> Component:
        command = [str(self._python), "-m", "airflow", *arguments]
        component = Component(name, command, env=self._env, log=self._logs / f"{name}.log")
        self._running.append(component)
        return component
