"""The way to the API: TLS, proxies, and answers without end."""

from __future__ import annotations

import base64
import gc
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer
from werkzeug import Response

from dag_retry import ApiUnanswered, ApiUnusable
from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from tests.servers import free_port
from tests.stub_api import StubApi, before


@pytest.fixture
def stub(httpserver: HTTPServer) -> StubApi:
    return StubApi(httpserver)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def clear(url: str, seconds: float = 60, **way: Any) -> None:
    with AirflowApi(ApiSettings(url, token="token-0", **way), Deadline(seconds)) as api:
        api.clear("daily_load", "run")


def test_a_base_url_with_a_path(stub: StubApi) -> None:
    stub.prefix = "/team-a/airflow"
    with AirflowApi(
        ApiSettings(f"{stub.url}/team-a/airflow", username="retry", password="s3cret"), Deadline(60)
    ) as api:
        api.clear("daily_load", "run")
        api.clear("daily_load", "run")
    assert stub.seen[0] == ("POST", "/team-a/airflow/auth/token")
    assert stub.clears == 2


def test_a_connection_that_is_kept_alive_ends_with_the_session() -> None:
    """Without the garbage collector: a callback must not hold one of the server's connections until that comes."""
    answer = b'{"dag_id": "daily_load", "dag_run_id": "run"}'
    ended = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            while connection.recv(65536):  # the body of the request, which may come by itself
                pass
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        gc.disable()
        try:
            clear(f"http://127.0.0.1:{server.getsockname()[1]}")
            assert ended.wait(10)
        finally:
            gc.enable()
        thread.join()


def test_a_netrc_is_not_used(stub: StubApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    clear(stub.url)
    assert stub.clears == 1


def test_ipv6() -> None:
    with HTTPServer(host="::1") as server:
        stub = StubApi(server)
        clear(f"http://[::1]:{server.port}")
    assert stub.clears == 1


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def tls_server(context: ssl.SSLContext) -> Iterator[HTTPServer]:
    with HTTPServer(ssl_context=context) as server:
        yield server


class TestTls:
    @pytest.fixture
    def stub(self, tls_server: HTTPServer) -> StubApi:
        tls_server.clear()
        return StubApi(tls_server)

    @pytest.fixture
    def ca_file(self, ca: trustme.CA, tmp_path: Path) -> str:
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        return str(tmp_path / "ca.pem")

    @pytest.fixture
    def other_ca_file(self, tmp_path: Path) -> str:
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        return str(tmp_path / "other.pem")

    @pytest.mark.parametrize("variable", [None, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_a_ca_file_wins_over_the_environment(
        self, stub: StubApi, ca_file: str, other_ca_file: str, monkeypatch: pytest.MonkeyPatch, variable: str | None
    ) -> None:
        if variable:
            monkeypatch.setenv(variable, other_ca_file)
        clear(stub.url, ca_file=ca_file)
        assert stub.clears == 1

    def test_without_one_the_environment_holds(
        self, stub: StubApi, ca_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
        clear(stub.url)
        assert stub.clears == 1

    @pytest.mark.parametrize("trust", ["nobody", "another", "garbage"])
    def test_not_trusted(self, stub: StubApi, tmp_path: Path, other_ca_file: str, trust: str) -> None:
        (tmp_path / "garbage.pem").write_text("no certificate")
        ca_files = {"nobody": None, "another": other_ca_file, "garbage": str(tmp_path / "garbage.pem")}
        with pytest.raises(ApiUnusable, match="no trusted TLS connection.*set api_ca_file") as refused:
            clear(stub.url, ca_file=ca_files[trust])
        assert refused.value.reason == "tls"
        assert stub.seen == []

    def test_a_file_that_is_gone(self, stub: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        with pytest.raises(ApiUnusable, match="/nowhere/ca.pem; set api_ca_file, or REQUESTS_CA_BUNDLE") as refused:
            clear(stub.url)
        assert refused.value.reason == "config"

    def test_no_tls_there(self, httpserver: HTTPServer) -> None:
        stub = StubApi(httpserver)
        with pytest.raises(ApiUnusable, match="no trusted TLS connection") as refused:
            clear(stub.url.replace("http:", "https:"))
        assert refused.value.reason == "tls"

    @pytest.mark.parametrize("when", ["in the handshake", "in the answer"])
    def test_a_connection_that_breaks_is_weather(self, context: ssl.SSLContext, ca_file: str, when: str) -> None:
        def cut(client: socket.socket) -> None:
            if when == "in the handshake":
                client.recv(65536)
            else:
                with context.wrap_socket(client, server_side=True) as tls:
                    tls.recv(65536)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        with serving(cut) as port, pytest.raises(ApiUnanswered):
            clear(f"https://localhost:{port}", ca_file=ca_file)

    def test_through_a_proxy(self, stub: StubApi, ca_file: str) -> None:
        asked: list[bytes] = []

        def tunnel(client: socket.socket) -> None:
            asked.append(client.recv(65536))
            with socket.create_connection(("localhost", stub.server.port)) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=relay, args=(server, client))
                back.start()
                relay(client, server)
                back.join()

        with serving(tunnel) as port:
            clear(stub.url, ca_file=ca_file, proxy=f"http://user:p%40ss@127.0.0.1:{port}")
        assert stub.clears == 1
        assert asked[0].startswith(b"CONNECT localhost:")
        assert base64.b64encode(b"user:p@ss") in asked[0]

    def test_an_answer_without_end(self, context: ssl.SSLContext, ca_file: str) -> None:
        def endless(client: socket.socket) -> None:
            with context.wrap_socket(client, server_side=True) as tls:
                drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")(tls)

        with serving(endless) as port, over_by(3), pytest.raises(ApiUnanswered):
            clear(f"https://localhost:{port}", seconds=0.5, ca_file=ca_file)


class TestProxy:
    """The stub is the proxy: it is sent whole URLs, of a host that nobody can find."""

    url = "http://airflow.invalid"

    def test_set(self, stub: StubApi) -> None:
        clear(self.url, proxy=stub.url.replace("://", "://user:p%40ss@"))
        assert stub.clears == 1
        assert stub.headers["Host"] == "airflow.invalid"
        assert stub.headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'user:p@ss').decode()}"

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY"])
    def test_wins_over_the_environment(self, stub: StubApi, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv(variable, "*" if variable == "NO_PROXY" else f"http://127.0.0.1:{free_port()}")
        clear(self.url, proxy=stub.url)
        assert stub.clears == 1

    def test_of_the_environment(self, stub: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", stub.url)
        clear(self.url)
        assert stub.clears == 1

    def test_not_for_hosts_without(self, stub: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("NO_PROXY", "localhost")
        clear(stub.url)
        assert stub.clears == 1

    def test_away(self) -> None:
        with pytest.raises(ApiUnanswered, match="ProxyError") as error:
            clear(self.url, proxy=f"http://user:s3cret@127.0.0.1:{free_port()}")
        assert "s3cret" not in str(error.value)

    def test_refuses(self, stub: StubApi) -> None:
        stub.faults = [before(407, "<html>who are you?")]
        with pytest.raises(ApiUnusable, match="407") as refused:
            clear(self.url, proxy=stub.url.replace("://", "://user:s3cret@"))
        assert (refused.value.reason, refused.value.status) == ("login", 407)
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize(
        "proxy",
        ["http://user:s3cret%E2%82%AC@localhost:1", "http://user:s3cr et@[::1::2]:3", "socks5://user:s3cret@localhost"],
    )
    def test_unusable(self, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
        """What urllib3 says of it holds its password."""
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(ApiUnusable, match="the proxy of the environment") as refused:
            clear(self.url)
        assert refused.value.reason == "config"
        assert refused.value.__suppress_context__
        assert "s3cr" not in str(refused.value)


BODIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{",
    "unlimited": b"HTTP/1.1 200 OK\r\n\r\n{",
}
HEADS = {"nothing": b"", "status": b"HTTP/1.1 2", "header": b"HTTP/1.1 200 OK\r\nX-"}


class TestWithoutEnd:
    @pytest.mark.parametrize("begin", BODIES.values(), ids=BODIES)
    def test_a_body_that_drips(self, begin: bytes) -> None:
        """The timeout of requests is for each read. So the deadline is checked between reads."""
        with serving(drip(begin)) as port, over_by(3), pytest.raises(ApiUnanswered, match="no time is left of 0 s"):
            clear(f"http://127.0.0.1:{port}", seconds=0.3)

    @pytest.mark.parametrize("begin", (HEADS | BODIES).values(), ids=HEADS | BODIES)
    def test_silence(self, begin: bytes) -> None:
        """The answer stops anywhere. (Headers that drip for ever outlive the deadline.)"""

        def stop(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(begin)
            while client.recv(65536):  # until nobody listens
                pass

        with (
            serving(stop) as port,
            over_by(3),
            pytest.raises(ApiUnanswered, match="no answer in|timed out") as unanswered,
        ):
            clear(f"http://127.0.0.1:{port}", seconds=0.3)
        assert unanswered.value.in_progress == (b"\r\n\r\n" not in begin)

    @pytest.mark.parametrize("zipped", [False, True])
    def test_size(self, zipped: bool) -> None:
        sent = 0
        megabyte = b" " * 2**20

        def enormous(client: socket.socket) -> None:
            nonlocal sent
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n" + b"Content-Encoding: gzip\r\n" * zipped + b"\r\n")
            body = gzip.compress(megabyte * 100) if zipped else megabyte
            for _ in range(1 if zipped else 100):
                client.sendall(body)
                sent += 1

        with (
            serving(enormous) as port,
            pytest.raises(ApiUnusable, match="the body is not a JSON object") as refused,
        ):
            clear(f"http://127.0.0.1:{port}")
        assert refused.value.reason == "not_airflow"
        assert sent < 50

    @pytest.mark.parametrize("body", ["[" * 100_000, "9" * 100_000, "\ud800"])
    def test_odd_json(self, stub: StubApi, body: Any) -> None:
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        stub.faults = [lambda stub, request: Response(body)]
        with pytest.raises(ApiUnusable) as refused:
            clear(stub.url)
        assert refused.value.reason == "not_airflow"


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection so; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                try:
                    behave(client)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def drip(begin: bytes) -> Callable[[socket.socket], None]:
    """Begin an answer, and go on with a byte at a time until nobody listens, for 10 s at most."""

    def behave(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(begin)
        client.settimeout(0.02)
        for _ in range(500):
            client.sendall(b"1")
            try:
                if not client.recv(1):
                    return
            except TimeoutError:
                continue

    return behave


def relay(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def over_by(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds
