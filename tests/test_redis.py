"""How Redis is reached: what stands in `redis_url`, how long a call may take, and TLS."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import trustme

from dag_retry import AttemptCounter, ConfigError, CounterError, Status, Verdict
from dag_retry._redis.connection import connect
from tests.benchmark.measuring import sent
from tests.servers import RedisServer, free_port, until


def retry_once(url: str, namespace: str = "dag-retry", timeout: float = 5) -> None:
    """Claim, lose, confirm, read and claim again, as callbacks do it that each connect by themselves."""
    with closing(connect(url, timeout=timeout)) as client:
        counter = AttemptCounter(client, namespace=namespace)
        won = counter.claim("daily", "run", generation=0, max_attempts=2)
        assert won.verdict is Verdict.WON
    with closing(connect(url, timeout=timeout)) as client:
        counter = AttemptCounter(client, namespace=namespace)
        assert counter.claim("daily", "run", generation=0, max_attempts=2).verdict is Verdict.LOST
        assert counter.confirm(won)
        record = counter.read("daily", "run")
        assert record
        assert (record.status, record.attempt) == (Status.RETRYING, 1)
        assert counter.claim("daily", "run", generation=1, max_attempts=2).attempt == 2


class TestForms:
    @pytest.mark.parametrize(
        "url",
        [
            "redis.example.com",
            "http://host",
            "redis://host:port",
            "redis://:s3cret",
            "unix://",
            "redis://host/?socket_timeout=soon",
            "redis://host/?s0cket_timeout=3",
            "rediss://host/?ssl_cert_reqs=sometimes",
            "rediss://host/?ssl_ca_certs=/not/there.pem",
            "redis+sentinel://host:26379",
            "redis+sentinel://host:26379/mymaster/zero",
            "redis+sentinel://host:port/mymaster",
            "redis+sentinel://one,,two/mymaster",
            "redis+sentinel:///mymaster",
            "redis+sentinel://:s3/cret@host/mymaster",
            "redis+sentinel://:s3@cret@host/mymaster",
            "redis+sentinel://host/mymaster?sentinel_passwort=s3cret",
            "redis+sentinel://:s3cret",
            "redis+cluster://host/1",
            "redis+cluster://user:s3#cret@host",
            "redis+cluster://:s3?cret=s3cret@host",
            "redis+cluster://host?s0cket_timeout=3",
            "unix+sentinel://host/mymaster",
        ],
    )
    def test_wrong(self, url: str) -> None:
        with pytest.raises(ConfigError) as error:
            connect(url)
        text = str(error.value)
        assert "redis_url is not usable" in text
        assert "redis+sentinel://:password@sentinel1:26379,sentinel2:26379/mymaster/0" in text
        assert "s3" not in text
        assert error.value.__cause__ is None

    def test_a_wrong_option_is_named(self) -> None:
        with pytest.raises(ConfigError, match="s0cket_timeout"):
            connect("redis://user:password@host/?s0cket_timeout=3")

    def test_sentinel(self) -> None:
        url = "redis+sentinel://us%40er:p%2Fw@one,[::1]:7,three:8/my%20master/3?sentinel_username=s&sentinel_password=t%26"
        with closing(connect(url)) as client:
            pool: Any = client.connection_pool  # type: ignore[union-attr]
            assert pool.service_name == "my master"
            options = pool.connection_kwargs
            assert (options["username"], options["password"], options["db"]) == ("us@er", "p/w", 3)
            known = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
        assert [(each["host"], each["port"]) for each in known] == [("one", 26379), ("::1", 7), ("three", 8)]
        assert {(each["username"], each["password"]) for each in known} == {("s", "t&")}


@dataclass
class Certificates:
    """Files of a CA, and of a server and a client that it vouches for."""

    folder: Path

    def __post_init__(self) -> None:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self["ca"])
        trustme.CA().cert_pem.write_to_path(self["other_ca"])
        ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self["server"])
        ca.issue_cert("elsewhere.example.com").private_key_and_cert_chain_pem.write_to_path(self["elsewhere"])
        ca.issue_cert("retry@example.com").private_key_and_cert_chain_pem.write_to_path(self["client"])

    def __getitem__(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def lines(self, server: str = "server", clients: str = "no") -> list[str]:
        return [
            f"tls-port {free_port()}",
            f"tls-cert-file {self[server]}",
            f"tls-key-file {self[server]}",
            f"tls-ca-cert-file {self['ca']}",
            f"tls-auth-clients {clients}",
        ]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def tls_address(server: RedisServer, host: str = "127.0.0.1") -> str:
    (port,) = (line.split()[1] for line in server.lines if line.startswith("tls-port"))
    return f"{host}:{port}"


@contextmanager
def silent() -> Iterator[int]:
    """Listen, as a server that never answers; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


class TestTime:
    """A call ends in time. redis-py by itself takes 4.4 s at a refused port, and 59 s at a silent server."""

    TIMEOUT = 0.4
    BOUND = 2 * 3.3 * TIMEOUT  # for a busy machine; the nested retries of redis-py take 7 timeouts

    def failing(self, url: str) -> str:
        began = time.monotonic()
        with pytest.raises(CounterError) as error, closing(connect(url, timeout=self.TIMEOUT)) as client:
            AttemptCounter(client).claim("daily", "run", generation=0, max_attempts=1)
        assert time.monotonic() - began < self.BOUND
        assert "pa55" not in str(error.value)
        return str(error.value)

    @pytest.mark.parametrize("form", ["redis://:pa55@{0}", "rediss://:pa55@{0}", "redis+cluster://:pa55@{0},{0}"])
    def test_refused(self, form: str) -> None:
        address = f"127.0.0.1:{free_port()}"
        text = self.failing(form.format(address))
        assert address in text
        assert "unreachable: see that it runs" in text

    def test_refused_by_sentinels(self) -> None:
        addresses = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
        text = self.failing(f"redis+sentinel://:pa55@{addresses}/mymaster?sentinel_password=pa55")
        assert addresses.replace(",", ", ") in text
        assert "Redis 'mymaster' of the sentinels" in text
        assert "no sentinel that answers" in text

    def test_no_socket_there(self, tmp_path: Path) -> None:
        assert f"Redis at {tmp_path}/none.sock: unreachable" in self.failing(f"unix://{tmp_path}/none.sock")

    @pytest.mark.parametrize(
        "form",
        [
            "redis://:pa55@127.0.0.1:{0}",
            "redis://127.0.0.1:{0}?socket_timeout=60&socket_connect_timeout=60",
            "rediss://127.0.0.1:{0}",
            "redis+sentinel://127.0.0.1:{0},127.0.0.1:{1},127.0.0.1:{2}/mymaster",
            "redis+cluster://127.0.0.1:{0},127.0.0.1:{1},127.0.0.1:{2}",
        ],
    )
    def test_silent(self, form: str) -> None:
        with silent() as one, silent() as two, silent() as three:
            assert f"127.0.0.1:{one}" in self.failing(form.format(one, two, three))

    def test_shorter_timeouts_of_the_url_hold(self) -> None:
        with closing(connect("redis://host/?socket_timeout=0.1", timeout=1)) as client:
            options = client.get_connection_kwargs()
        assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.1, 1)

    @pytest.mark.parametrize("scheme", ["redis", "rediss"])
    def test_falls_silent(self, tmp_path: Path, certificates: Certificates, scheme: str) -> None:
        """A connection that stands is used, times out, and each new one is made but not answered."""
        tls = scheme == "rediss"
        with RedisServer(tmp_path, *(certificates.lines() if tls else [])) as server:
            url = f"rediss://{tls_address(server)}?ssl_ca_certs={certificates['ca']}" if tls else server.url
            with closing(connect(url, timeout=self.TIMEOUT)) as client:
                counter = AttemptCounter(client)
                assert counter.read("daily", "run") is None
                server.send(signal.SIGSTOP)
                began = time.monotonic()
                with pytest.raises(CounterError, match="no answer in time: it is overloaded or stopped"):
                    counter.read("daily", "run")
                assert time.monotonic() - began < self.BOUND
                server.send(signal.SIGCONT)
                assert counter.read("daily", "run") is None


@pytest.fixture(scope="module")
def tls(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), *certificates.lines()) as server:
        yield server


def refusal(url: str, timeout: float = 1.0) -> str:
    with pytest.raises(CounterError) as error, closing(connect(url, timeout=timeout)) as client:
        AttemptCounter(client).claim("daily", "run", generation=0, max_attempts=1)
    return str(error.value)


class TestSetUps:
    def test_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "redis.sock"
        with RedisServer(tmp_path, f"unixsocket {path}"):
            retry_once(f"unix://{path}?db=2")

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_tls(self, tls: RedisServer, certificates: Certificates, host: str) -> None:
        retry_once(f"rediss://{tls_address(tls, host)}/0?ssl_ca_certs={quote(certificates['ca'])}", host)

    def test_mutual_tls(self, certificates: Certificates, tmp_path: Path) -> None:
        with RedisServer(tmp_path, *certificates.lines(clients="yes")) as server:
            url = f"rediss://{tls_address(server)}?ssl_ca_certs={certificates['ca']}"
            mine = certificates["client"]
            retry_once(f"{url}&ssl_certfile={mine}&ssl_keyfile={mine}")
            assert "?ssl_certfile=…&ssl_keyfile=… where it asks for a client's certificate" in refusal(url)

    def test_tls_to_sentinel_and_what_it_watches(self, certificates: Certificates, tmp_path: Path) -> None:
        lines = certificates.lines()
        with RedisServer(tmp_path / "primary", *lines) as primary:
            port = tls_address(primary).rpartition(":")[2]
            watch = ["tls-replication yes", f"sentinel monitor mymaster 127.0.0.1 {port} 1"]
            with RedisServer(tmp_path / "sentinel", *certificates.lines(), *watch, sentinel=True) as sentinel:
                with sentinel.client() as client:
                    until(lambda: client.sentinel_masters()["mymaster"]["flags"] == "master")
                retry_once(f"rediss+sentinel://{tls_address(sentinel)}/mymaster?ssl_ca_certs={certificates['ca']}")

    def test_tls_to_a_cluster(self, certificates: Certificates, tmp_path: Path) -> None:
        with RedisServer(tmp_path, *certificates.lines(), "tls-cluster yes", "cluster-enabled yes") as server:
            with server.client() as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(16384))
                until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
            retry_once(f"rediss+cluster://{tls_address(server)}?ssl_ca_certs={certificates['ca']}")


class TestRoundTrips:
    """A callback is a fresh process: what is sent before its one call costs as much as the call."""

    def sent(self, server: RedisServer, url: str) -> list[str]:
        """Return what is sent for a claim of a new client, and then for another."""

        def claim() -> Any:
            client = connect(url)
            counter = AttemptCounter(client)
            for _ in range(2):
                counter.claim("daily", "run", generation=0, max_attempts=1)
            return client

        return sorted(sent(server, claim).commands.elements())

    def test_a_claim_is_one_unless_redis_does_not_know_the_script(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path) as server, server.client() as admin:
            for _ in range(2):
                assert self.sent(server, server.url) == ["eval", "evalsha", "evalsha"]
                assert self.sent(server, server.url) == ["evalsha", "evalsha"]
                admin.script_flush()

    def test_login_and_database(self, tmp_path: Path) -> None:
        with RedisServer(tmp_path, "user retry on >secret ~* +@all") as server:
            url = server.url.replace("//", "//retry:secret@").removesuffix("0") + "1"
            assert self.sent(server, url) == ["auth", "eval", "evalsha", "evalsha", "select"]

    def test_tls(self, tls: RedisServer, certificates: Certificates) -> None:
        """With hiredis, the pool takes session tickets for an answer, unless one was read before."""
        url = f"rediss://{tls_address(tls)}?ssl_ca_certs={certificates['ca']}"
        with tls.client() as admin:
            admin.script_flush()
        assert self.sent(tls, url) == ["eval", "evalsha", "evalsha", "hello"]


class TestTls:
    def test_another_ca(self, tls: RedisServer, certificates: Certificates) -> None:
        text = refusal(f"rediss://{tls_address(tls)}?ssl_ca_certs={certificates['other_ca']}")
        assert f"Redis at {tls_address(tls)}: its certificate is not trusted: ?ssl_ca_certs=…" in text

    def test_the_systems_cas_do_not_know_it(self, tls: RedisServer) -> None:
        assert "its certificate is not trusted" in refusal(f"rediss://{tls_address(tls)}")

    def test_another_host_name(self, certificates: Certificates, tmp_path: Path) -> None:
        with RedisServer(tmp_path, *certificates.lines(server="elsewhere")) as server:
            url = f"rediss://{tls_address(server)}?ssl_ca_certs={certificates['ca']}"
            assert "the host in redis_url must be one the certificate was made for" in refusal(url)
            retry_once(f"{url}&ssl_check_hostname=False")

    def test_not_asked_to_check(self, tls: RedisServer) -> None:
        retry_once(f"rediss://{tls_address(tls)}?ssl_cert_reqs=none", "unchecked")

    def test_plain_server(self, tls: RedisServer) -> None:
        # It waits for the end of what it takes for a line.
        text = refusal(f"rediss://127.0.0.1:{tls.port}", timeout=0.2)
        assert "no answer in time" in text
        assert "or (rediss://) its port is a plain one" in text

    def test_plain_client(self, tls: RedisServer) -> None:
        text = refusal(f"redis://{tls_address(tls)}")
        assert "if its port speaks TLS, use rediss:// in place of redis://" in text

    def test_the_context_is_made_once(
        self, tls: RedisServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        made: list[object] = []
        make = ssl.create_default_context

        def counted(**options: Any) -> ssl.SSLContext:
            made.append(options["cafile"])
            return make(**options)

        monkeypatch.setattr(ssl, "create_default_context", counted)
        ca = tmp_path / "ca.pem"
        ca.write_bytes(Path(certificates["ca"]).read_bytes())
        url = f"rediss://{tls_address(tls)}?ssl_ca_certs={ca}"
        for _ in range(5):
            with closing(connect(url)) as client:
                client.ping()
        assert made == [str(ca)]
        # A file that has changed is read again: a service outlives its certificates.
        ca.write_bytes(Path(certificates["other_ca"]).read_bytes())
        assert "its certificate is not trusted" in refusal(url)
        assert made == [str(ca)] * 2

    def test_options_of_redis_py_hold(self, tls: RedisServer, certificates: Certificates) -> None:
        url = f"rediss://{tls_address(tls)}?ssl_ca_certs={certificates['ca']}&ssl_min_version=772"
        with closing(connect(f"{url}&ssl_ciphers=ECDHE%2BAESGCM")) as client:
            pool: Any = client.connection_pool  # type: ignore[union-attr]
            context = pool.make_connection().context()
            client.ping()
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname

    @pytest.mark.skipif(int(redis.__version__.split(".")[0]) < 7, reason="redis-py 6.4 has none")
    def test_verify_flags(self, certificates: Certificates) -> None:
        flags = "ssl_include_verify_flags=VERIFY_CRL_CHECK_LEAF&ssl_exclude_verify_flags=VERIFY_X509_TRUSTED_FIRST"
        with closing(connect(f"rediss://host?ssl_ca_certs={certificates['ca']}&{flags}")) as client:
            pool: Any = client.connection_pool  # type: ignore[union-attr]
            verified = pool.make_connection().context().verify_flags
        assert verified & ssl.VERIFY_CRL_CHECK_LEAF
        assert not verified & ssl.VERIFY_X509_TRUSTED_FIRST
