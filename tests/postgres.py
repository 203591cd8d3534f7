"""A PostgreSQL server for live Airflows."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import programs
from tests.servers import free_port, unavailable

_OTHER_USER = "nobody"  # PostgreSQL refuses to run as root


@contextmanager
def postgres_server() -> Iterator[Callable[[str], str]]:
    """Run a PostgreSQL server; yield what makes an empty database: called with its name, it returns its URL.

    :raises OSError: a program can't be run.
    :raises subprocess.CalledProcessError: a program failed, and has said why on stderr.
    """
    where = programs.postgres() or unavailable("postgresql")
    user = _OTHER_USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="dag-retry-postgres-") as name:
        folder, port = Path(name), free_port()
        data = folder / "data"
        if user:
            shutil.chown(folder, user)
            if not _may_be_entered(where):
                where = _copied(where, folder / "packages")

        def run(program: str, *arguments: str) -> None:
            command = [str(where / program), *arguments]
            subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        def database(name: str) -> str:
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", name)
            return f"postgresql+psycopg2://airflow@127.0.0.1:{port}/{name}"

        # The locale is none of this machine's, which may not have the one that its environment names.
        encoding = ("--locale=C", "--encoding=UTF8")
        run("initdb", "-D", str(data), "--auth=trust", "--username=airflow", "--no-sync", *encoding)
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield database
        finally:
            run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def _copied(programs: Path, to: Path) -> Path:
    """Copy a wheel's programs, with all that they find from where they lie; return their folder."""
    package = programs.parents[1]
    for part in package.parent.glob(f"{package.name}*"):  # its libraries lie beside it
        shutil.copytree(part, to / part.name)
    return to / programs.relative_to(package.parent)


def _may_be_entered(folder: Path) -> bool:
    """Return whether any user may come to what lies in a folder, and not only root."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))
