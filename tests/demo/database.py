"""The metadata database of the demo's Airflow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests import programs
from tests.postgres import postgres_server


@contextmanager
def demo_database() -> Iterator[str | None]:
    """Yield the URL of an empty database of a PostgreSQL; None where none starts, and Airflow makes a SQLite file."""
    url = None
    with ExitStack() as stack:
        if programs.postgres():
            try:
                url = stack.enter_context(postgres_server())("airflow")
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"no PostgreSQL starts on this machine, so Airflow takes SQLite: {error}")
        yield url
