"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dag_retry
from dag_retry import ConfigError, DagRetry
from dag_retry._airflow import sdk, settings
from dag_retry._airflow.settings import ApiSettings
from dag_retry._redis.connection import connect


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    secrets: list[str | None] = []
    monkeypatch.setattr(sdk, "mask", secrets.append)
    return secrets


def put(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    for key, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__DAG_RETRY__{key.upper()}", value)


class TestRedis:
    def test_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, redis_url="redis://section/0")
        assert settings.redis_url(None) == "redis://section/0"
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", "redis://connection:6380/2")
        assert settings.redis_url(None) == "redis://connection:6380/2"
        assert settings.redis_url("redis://argument/0") == "redis://argument/0"

    @pytest.mark.parametrize(
        ("connection", "url"),
        [
            ("redis://host", "redis://host:6379/0"),
            ("redis://:p%40ss@host:7000", "redis://:p%40ss@host:7000/0"),
            ("redis://user:p@host/?db=3", "redis://user:p@host:6379/3"),
            (
                "redis://host/?ssl=True&ssl_cert_reqs=required&ssl_ca_path=%2Fca",
                "rediss://host:6379/0?ssl_cert_reqs=required&ssl_ca_path=%2Fca",
            ),
            ('{"conn_type": "redis", "host": "::1", "extra": {"db": 1, "ssl": false}}', "redis://[::1]:6379/1"),
        ],
    )
    def test_connection(self, monkeypatch: pytest.MonkeyPatch, connection: str, url: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", connection)
        assert settings.redis_url(None) == url
        connect(url).close()

    def test_connection_without_a_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", '{"conn_type": "redis"}')
        with pytest.raises(ConfigError, match="'dag_retry_redis' has no host"):
            settings.redis_url(None)

    @pytest.mark.parametrize("value", [None, ""])
    def test_unset(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        if value is not None:
            put(monkeypatch, redis_url=value)
        with pytest.raises(ConfigError, match=r"\[dag_retry\] redis_url \(AIRFLOW__DAG_RETRY__REDIS_URL\) is not set"):
            settings.redis_url(None)

    @pytest.mark.parametrize(
        "url", ["redis.example.com", "http://host", "redis://host:port", "redis://host/?socket_timeout=soon"]
    )
    def test_wrong(self, url: str) -> None:
        with pytest.raises(ConfigError, match="redis_url is wrong .*redis://:password@redis.example.com"):
            connect(url).ping()

    @pytest.mark.parametrize(
        "url", ["redis://:s3cret/s3cret@host:6379/0", "redis://user:s3#cret@host", "redis://:s3cret@[::1"]
    )
    def test_password_that_breaks_the_url_is_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigError) as error:
            connect(settings.redis_url(url)).ping()
        assert "s3" not in str(error.value)
        assert error.value.__cause__ is None

    def test_password_is_masked_quoted_or_not(self, masked: list[str]) -> None:
        settings.redis_url("redis://user:p%40ss@host/0")
        assert masked == ["p%40ss", "p@ss"]

    @pytest.mark.parametrize(
        "url",
        [
            "redis+sentinel://user:p1@one,[::1]:26379/mymaster?sentinel_username=s&sentinel_password=p2",
            "rediss+cluster://:p1@[::1]:6379,two?ssl_keyfile=/key.pem&ssl_password=p2",
            "unix://:p1@/run/redis.sock?password=p2",
        ],
    )
    def test_passwords_of_every_form_are_masked(self, masked: list[str], url: str) -> None:
        settings.redis_url(url)
        assert set(masked) == {"p1", "p2"}

    def test_password_that_breaks_the_url_is_masked(self, masked: list[str]) -> None:
        settings.redis_url("redis://:s3/cr#et?@host")
        assert "s3/cr#et?" in masked

    def test_no_password_masks_nothing(self, masked: list[str]) -> None:
        settings.redis_url("redis+sentinel://one:26379,two:26379/mymaster/0?socket_timeout=1")
        assert masked == []


class TestApi:
    def test_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_token="t")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://base")
        assert settings.api(None) == ApiSettings("https://base", token="t")
        put(monkeypatch, api_url="https://section")
        assert settings.api(None) == ApiSettings("https://section", token="t")
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", "https://connection")
        assert settings.api(None) == ApiSettings("https://connection", token="t")
        assert settings.api("https://argument") == ApiSettings("https://argument", token="t")

    def test_user_and_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_url="https://af", api_username="u", api_password="p")
        assert settings.api(None) == ApiSettings("https://af", username="u", password="p")

    @pytest.mark.parametrize(
        ("connection", "expected"),
        [
            ("https://u:p%40@af:8443", ApiSettings("https://af:8443", username="u", password="p@")),
            ("http://:token@af", ApiSettings("http://af", token="token")),
            (
                '{"conn_type": "http", "host": "af", "schema": "https", "login": "u", "password": "p"}',
                ApiSettings("https://af", username="u", password="p"),
            ),
            (
                '{"conn_type": "dag_retry_api", "host": "https://af/team", "password": "token"}',
                ApiSettings("https://af/team", token="token"),
            ),
            (
                '{"conn_type": "http", "host": "https://af", "extra": {"client_id": "c", "client_secret": "s",'
                ' "token_path": "/t", "proxy": "http://proxy:3128", "timeout": 3}}',
                ApiSettings("https://af", client_id="c", client_secret="s", token_path="/t", proxy="http://proxy:3128"),
            ),
            (
                '{"conn_type": "http", "host": "https://af", "extra": {"token_callable": "m:f"}}',
                ApiSettings("https://af", token_callable="m:f"),
            ),
        ],
    )
    def test_connection(self, monkeypatch: pytest.MonkeyPatch, connection: str, expected: ApiSettings) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", connection)
        assert settings.api(None) == expected

    @pytest.mark.parametrize(
        ("url", "base"),
        [
            ("http://af:8080/", "http://af:8080"),
            ("https://airflow.example.com/api/v2", "https://airflow.example.com"),
            ("https://h/team/api/v2/", "https://h/team"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_url(self, monkeypatch: pytest.MonkeyPatch, url: str, base: str) -> None:
        put(monkeypatch, api_token="t")
        assert settings.api(url).url == base

    @pytest.mark.parametrize("url", ["airflow:8080", "ftp://af", "http://", "https://af:port"])
    def test_wrong_url(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        put(monkeypatch, api_token="t", api_url=url)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__API_URL.*https://airflow.example.com"):
            settings.api(None)

    @pytest.mark.parametrize(
        "url", ["u:s3cret@af", "https://u:3#s3cret@af", "https://u:3/s3cret@af", "https://u:3?s3cret@a"]
    )
    def test_wrong_url_with_a_password_is_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigError) as error:
            settings.api(url)
        assert "s3cret" not in str(error.value)

    @pytest.mark.parametrize("connection", [None, "https://af", "https://af/?token_path=%2Ft"])
    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch, connection: str | None) -> None:
        put(monkeypatch, api_url="https://af")
        if connection:
            monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", connection)
        with pytest.raises(ConfigError, match="API_TOKEN.*API_USERNAME.*API_PASSWORD.*'dag_retry_api'"):
            settings.api(None)

    def test_every_option(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        ca_file = tmp_path / "ca.pem"
        ca_file.touch()
        way = {"token_path": "/login", "ca_file": str(ca_file), "proxy": "http://proxy:3128"}
        put(monkeypatch, api_url="https://af", **{f"api_{name}": value for name, value in way.items()})
        put(monkeypatch, api_client_id="c", api_client_secret="s")
        assert settings.api(None) == ApiSettings("https://af", client_id="c", client_secret="s", **way)
        # The rest is taken from elsewhere, the credentials are not.
        assert settings.api("https://u:p@af") == ApiSettings("https://af", username="u", password="p", **way)
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", "https://:t@af/?token_path=%2Ft")
        assert settings.api(None) == ApiSettings("https://af", token="t", **way | {"token_path": "/t"})

    def test_a_callable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_url="https://af", api_token_callable="ours:token")
        assert settings.api(None) == ApiSettings("https://af", token_callable="ours:token")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"username": "u"}, r"the section \[dag_retry\] holds api_username without api_password"),
            ({"password": "s3cret"}, "holds api_password without api_username"),
            ({"client_id": "c"}, "holds api_client_id without api_client_secret"),
            ({"client_secret": "s3cret"}, "holds api_client_secret without api_client_id"),
            ({"token": "s3cret", "token_callable": "m:f"}, r"2 kinds .*\(api_token, api_token_callable\): keep one"),
            ({"token": "s3cret", "password": "s3cret"}, r"2 kinds .*\(api_token, api_password\)"),
            ({"token": "t", "token_path": "login"}, "api_token_path does not begin with a slash"),
            ({"token": "t", "ca_file": "/nowhere/ca.pem"}, "api_ca_file is '/nowhere/ca.pem', .* no such file"),
            *(
                ({"token": "t", "proxy": proxy}, "api_proxy .* is no URL of a proxy: use e.g. http://proxy.example.com")
                for proxy in (
                    "proxy:3128",
                    "u:s3cret@proxy:3128",
                    "socks5://u:s3cret@proxy",
                    "http://",
                    "http://u:s3cret@proxy:port",
                    "http://u:s3cret@[::1",
                    "http://u:s3cret/@proxy",
                    "http://u:3#s3cret@proxy",
                )
            ),
        ],
    )
    def test_wrong(self, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], message: str) -> None:
        put(monkeypatch, api_url="https://af", **{f"api_{name}": value for name, value in options.items()})
        with pytest.raises(ConfigError, match=message) as error:
            settings.api(None)
        assert "s3cret" not in str(error.value)

    @pytest.mark.parametrize(
        ("connection", "message"),
        [
            ("https://u@af", "the Airflow Connection 'dag_retry_api' holds username without password"),
            ("https://u:s3cret@af/?client_id=c&client_secret=s3cret", "2 kinds .*username, password, client_id"),
            ("https://:s3cret@af/?token_callable=m:f", "2 kinds .*token, token_callable"),
            (
                '{"conn_type": "http", "host": "https://af", "extra": {"ca_file": true}}',
                "ca_file in the extras .* no text",
            ),
            ('{"conn_type": "http", "host": "https://af", "extra": "[1]"}', "no credentials"),
        ],
    )
    def test_wrong_connection(self, monkeypatch: pytest.MonkeyPatch, connection: str, message: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", connection)
        with pytest.raises(ConfigError, match=message) as error:
            settings.api(None)
        assert "s3cret" not in str(error.value)

    def test_the_argument_and_the_url_of_the_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError, match="the argument api holds username without password"):
            settings.api("https://u@af")
        put(monkeypatch, api_url="https://u:p@af")
        assert settings.api(None) == ApiSettings("https://af", username="u", password="p")
        put(monkeypatch, api_token="t")
        with pytest.raises(ConfigError, match="2 kinds"):
            settings.api(None)

    @pytest.mark.parametrize(
        ("options", "secrets"),
        [
            ({"token": "t0ken"}, ["t0ken"]),
            ({"username": "u", "password": "s3cret"}, ["s3cret"]),
            ({"client_id": "c", "client_secret": "s3cret"}, ["s3cret"]),
            ({"token": "t0ken", "proxy": "http://u:p%40ss@proxy"}, ["t0ken", "p%40ss", "p@ss"]),
        ],
    )
    def test_secrets_are_masked_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, masked: list[str | None], options: dict[str, str], secrets: list[str]
    ) -> None:
        put(monkeypatch, api_url="https://af", **{f"api_{name}": value for name, value in options.items()})
        found = settings.api(None)
        assert [secret for secret in masked if secret] == secrets
        assert not any(secret in repr(found) for secret in secrets)


class TestDagRetry:
    @pytest.mark.parametrize("value", [0, -1, "3", 1.5, True])
    def test_wrong_max_attempts(self, value: Any) -> None:
        with pytest.raises(ConfigError, match="max_attempts is .*: use a whole number of 1 or more, e.g. 3"):
            DagRetry(max_attempts=value)

    @pytest.mark.parametrize("value", ["0", "-1", "three", "1.5"])
    def test_wrong_max_attempts_in_the_section(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        put(monkeypatch, max_attempts=value)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__MAX_ATTEMPTS"):
            DagRetry()

    @pytest.mark.parametrize(
        "options",
        [
            {"namespace": "a b"},
            {"ttl": 3600},
            {"ttl": timedelta(seconds=1)},
            {"wait_replicas": -1},
            {"wait_replicas": True},
            {"on_missing_record": "ignore"},
            {"on_manual_clear": True},
            {"on_exhausted": "mail me"},
            {"on_retry": [print, 3]},
        ],
    )
    def test_wrong_options(self, options: Any) -> None:
        with pytest.raises(ConfigError, match=f"{next(iter(options))}|lease"):
            DagRetry(**options)

    def test_airflow_that_is_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # A live test installs Airflow 3.1 and sees the same; this one is for every run.
        import airflow.sdk

        monkeypatch.setattr(airflow.sdk, "__version__", "1.1.8")
        with pytest.raises(ConfigError, match=r"needs Airflow 3.2 or newer .* task SDK 1\.1\.8"):
            DagRetry()


def test_public_names() -> None:
    assert dag_retry.__all__ == sorted(dag_retry.__all__)
    assert {name: getattr(dag_retry, name).__name__ for name in dag_retry.__all__} == {
        name: name for name in dag_retry.__all__
    }
    with pytest.raises(AttributeError, match="no attribute 'Retry'"):
        dag_retry.Retry  # noqa: B018


def test_import_is_light() -> None:
    """A Dag file is parsed all day: neither redis, requests nor Airflow may come with the import."""
    heavy = "{'redis', 'requests', 'airflow', 'tenacity', 'urllib3', 'importlib.metadata'}"
    code = f"import sys, dag_retry; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_making_one_does_no_io() -> None:
    code = (
        "import sys, airflow.sdk, dag_retry\n"
        "before = set(sys.modules)\n"
        "def forbid(event, args):\n"
        "    if event.startswith(('socket.', 'subprocess.')): raise SystemExit(event)\n"
        "sys.addaudithook(forbid)\n"
        "dag_retry.DagRetry(max_attempts=3).dag_args()\n"
        "print(sorted({'redis', 'requests'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
