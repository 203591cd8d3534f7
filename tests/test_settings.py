"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from inspect import ismodule
from typing import Any

import pytest

import dag_retry
from dag_retry import ConfigError, DagRetry, _airflow, _settings
from dag_retry._redis import connect
from dag_retry._settings import ApiSettings


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    secrets: list[str | None] = []
    monkeypatch.setattr(_airflow, "mask", secrets.append)
    return secrets


def put(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    for key, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__DAG_RETRY__{key.upper()}", value)


class TestRedis:
    def test_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, redis_url="redis://section/0")
        assert _settings.redis_url(None) == "redis://section/0"
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", "redis://connection:6380/2")
        assert _settings.redis_url(None) == "redis://connection:6380/2"
        assert _settings.redis_url("redis://argument/0") == "redis://argument/0"

    @pytest.mark.parametrize(
        ("connection", "url"),
        [
            ("redis://host", "redis://host:6379/0"),
            ("redis://:p%40ss@host:7000", "redis://:p%40ss@host:7000/0"),
            ("redis://user:p@host/?db=3", "redis://user:p@host:6379/3"),
            (
                "redis://host/?ssl=True&ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
                "rediss://host:6379/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
            ),
            ('{"conn_type": "redis", "host": "::1", "extra": {"db": 1, "ssl": false}}', "redis://[::1]:6379/1"),
        ],
    )
    def test_connection(self, monkeypatch: pytest.MonkeyPatch, connection: str, url: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", connection)
        assert _settings.redis_url(None) == url
        connect(url).close()

    def test_connection_without_a_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_REDIS", '{"conn_type": "redis"}')
        with pytest.raises(ConfigError, match="'dag_retry_redis' has no host"):
            _settings.redis_url(None)

    @pytest.mark.parametrize("value", [None, ""])
    def test_unset(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        if value is not None:
            put(monkeypatch, redis_url=value)
        with pytest.raises(ConfigError, match=r"\[dag_retry\] redis_url \(AIRFLOW__DAG_RETRY__REDIS_URL\) is not set"):
            _settings.redis_url(None)

    @pytest.mark.parametrize(
        "url", ["redis.example.com", "http://host", "redis://host:port", "redis://host/?socket_timeout=soon"]
    )
    def test_wrong(self, url: str) -> None:
        with pytest.raises(ConfigError, match="redis_url is not a Redis URL .*redis://:password@redis.example.com"):
            connect(url).ping()

    @pytest.mark.parametrize(
        "url", ["redis://:s3cret/s3cret@host:6379/0", "redis://user:s3#cret@host", "redis://:s3cret@[::1"]
    )
    def test_password_that_breaks_the_url_is_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigError) as error:
            connect(_settings.redis_url(url)).ping()
        assert "s3" not in str(error.value)
        assert error.value.__cause__ is None

    def test_password_is_masked_quoted_or_not(self, masked: list[str]) -> None:
        _settings.redis_url("redis://user:p%40ss@host/0")
        assert masked == ["p%40ss", "p@ss"]


class TestApi:
    def test_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_token="t")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://base")
        assert _settings.api(None) == ApiSettings("https://base", token="t")
        put(monkeypatch, api_url="https://section")
        assert _settings.api(None) == ApiSettings("https://section", token="t")
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", "https://connection")
        assert _settings.api(None) == ApiSettings("https://connection", token="t")
        assert _settings.api("https://argument") == ApiSettings("https://argument", token="t")

    def test_user_and_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_url="https://af", api_username="u", api_password="p")
        assert _settings.api(None) == ApiSettings("https://af", username="u", password="p")

    @pytest.mark.parametrize(
        ("connection", "settings"),
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
        ],
    )
    def test_connection(self, monkeypatch: pytest.MonkeyPatch, connection: str, settings: ApiSettings) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DAG_RETRY_API", connection)
        assert _settings.api(None) == settings

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
        assert _settings.api(url).url == base

    @pytest.mark.parametrize("url", ["airflow:8080", "ftp://af", "http://", "https://af:port"])
    def test_wrong_url(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        put(monkeypatch, api_token="t", api_url=url)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__API_URL.*https://airflow.example.com"):
            _settings.api(None)

    def test_wrong_url_with_a_password_is_not_shown(self) -> None:
        with pytest.raises(ConfigError) as error:
            _settings.api("u:s3cret@af")
        assert "s3cret" not in str(error.value)

    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, api_url="https://af", api_username="u")
        with pytest.raises(ConfigError, match="API_TOKEN.*API_USERNAME.*API_PASSWORD.*'dag_retry_api'"):
            _settings.api(None)

    def test_secrets_are_masked_and_not_shown(self, monkeypatch: pytest.MonkeyPatch, masked: list[str]) -> None:
        put(monkeypatch, api_url="https://af", api_token="t0ken", api_username="u", api_password="s3cret")
        settings = _settings.api(None)
        assert masked == ["t0ken", "s3cret"]
        assert "t0ken" not in repr(settings)
        assert "s3cret" not in repr(settings)


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

    def test_defaults_come_from_the_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert _settings.max_attempts(None) == 3
        assert _settings.namespace(None) == "dag-retry"
        assert _settings.ttl(None) == timedelta(days=30)
        put(monkeypatch, max_attempts="5", namespace="team-a", ttl="3600")
        assert _settings.max_attempts(None) == 5
        assert _settings.namespace(None) == "team-a"
        assert _settings.ttl(None) == timedelta(hours=1)

    @pytest.mark.parametrize(
        "options",
        [
            {"namespace": "a b"},
            {"ttl": 3600},
            {"ttl": timedelta(seconds=1)},
            {"on_missing_record": "ignore"},
            {"on_manual_clear": True},
            {"on_exhausted": "mail me"},
            {"on_retry": [print, 3]},
        ],
    )
    def test_wrong_options(self, options: Any) -> None:
        with pytest.raises(ConfigError, match=f"{next(iter(options))}|lease"):
            DagRetry(**options)

    def test_wrong_ttl_in_the_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, ttl="30 days")
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__TTL.* is '30 days': use whole seconds"):
            DagRetry()

    def test_airflow_that_is_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # A live test installs Airflow 3.1 and sees the same; this one is for every run.
        import airflow.sdk

        monkeypatch.setattr(airflow.sdk, "__version__", "1.1.8")
        with pytest.raises(ConfigError, match=r"needs Airflow 3.2 or newer .* task SDK 1\.1\.8"):
            DagRetry()


def test_public_names() -> None:
    assert dag_retry.__all__ == sorted(dag_retry.__all__)
    names = {name for name, value in vars(dag_retry).items() if not name.startswith("_") and not ismodule(value)}
    assert names == set(dag_retry.__all__)


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
