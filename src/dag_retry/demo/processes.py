"""Long-running processes that leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

POLL = 0.05
"""Seconds between two looks at something that tells nobody when it changes."""


class Component:
    """One long-running process and whatever it starts, in a session of its own.

    The session is what makes cleaning up certain: Airflow's task runner puts every task into its own process group
    (task SDK 1.3, ``execution_time/supervisor.py``), and tasks outlive a killed scheduler, but the session stays.
    It also keeps Ctrl-C at the terminal away from the components: only the owner hears it, and stops them in order.

    :param name: what to call it in messages.
    :param command: the program and its arguments; it is started at once.
    :param env: its whole environment.
    :param log: file that takes its standard output and error.
    :raises OSError: the program cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
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
        """The exit status, or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait until the process ends by itself.

        :return: its exit status.
        """
        return self._process.wait()

    def tail(self, lines: int = 20, width: int = 300) -> str:
        """Return the end of its output, under a heading.

        :param lines: at most so many.
        :param width: characters of a line, at most.
        """
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.name}: {self.log}", *(line[:width] for line in text)])

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and every process left in its session (SIGKILL), and wait until they are gone."""
        # A process may fork between the look and the blow: look again until nobody is left.
        while living := self._session():
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)
            self._process.poll()
        self._process.wait()

    def _session(self) -> list[int]:
        import psutil  # Airflow brings it

        living = []
        for process in psutil.process_iter():
            # A process may end while it is looked at.
            with suppress(ProcessLookupError, PermissionError, psutil.Error):
                # Zombies stay in the session until their parent reaps them; nobody can kill those.
                if os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process.pid)
        return living


def stop(components: Iterable[Component], *, grace: float) -> None:
    """Stop components together: ask, wait, then kill what is left.

    :param components: which.
    :param grace: seconds they get between the question and the kill. A second Ctrl-C ends the wait.
    """
    components = list(components)
    try:
        for component in components:
            component.terminate()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and any(component.exit_status is None for component in components):
            time.sleep(POLL)
    finally:
        for component in components:
            component.kill()
