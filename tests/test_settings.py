"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest

import dag_retry
from dag_retry import ApiUnusable, AttemptCounter, ConfigError, CounterError, DagRetry
from dag_retry._airflow import sdk, section, settings
from dag_retry._airflow.options import API_CONNECTION, OPTIONS, REDIS_CONNECTION
from dag_retry._airflow.settings import ApiSettings
from dag_retry._callback import deployment
from dag_retry._redis.connection import connect


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    secrets: list[str | None] = []
    monkeypatch.setattr(sdk, "mask", secrets.append)
    return secrets


class TestSection:
    """An option of the section: Airflow's own getters parse it, and what is wrong is said by name."""

    @pytest.mark.parametrize("name", OPTIONS)
    def test_its_default_and_its_example_are_right(self, deploy: Any, name: str) -> None:
        """Airflow answers with the default of the provider's info where nothing is set."""
        option = OPTIONS[name]
        unset = section.get(name)
        if option.default is None:
            assert unset is None
        else:
            deploy(**{name: option.default})
            assert section.get(name) == unset
            assert section.configured(name) is None
        deploy(**{name: option.example})
        assert section.get(name) is not None

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("max_attempts", "5", 5),
            ("backoff", "1.5", 1.5),
            ("max_delay", "0.5", timedelta(seconds=0.5)),
            ("run_on_latest_version", "t", True),
            ("skip_if_newer_run", "0", False),
            ("scope", "failed", "failed"),
            ("task_ids", "a, b,,c,", ["a", "b", "c"]),
        ],
    )
    def test_is_parsed(self, deploy: Any, name: str, text: str, value: object) -> None:
        deploy(**{name: text})
        assert section.get(name) == value

    @pytest.mark.parametrize("name", OPTIONS)
    def test_an_empty_one_is_unset(self, deploy: Any, name: str) -> None:
        unset = section.get(name)
        deploy(**{name: ""})
        assert section.get(name) == unset

    @pytest.mark.parametrize(
        ("name", "text", "right"),
        [
            ("max_attempts", "0", "use a whole number of 1 or more, e.g. 5"),
            ("max_attempts_limit", "-1", "use a whole number of 0 or more, e.g. 20"),
            ("wait_replicas", "one", "use a whole number of 0 or more, e.g. 1"),
            ("backoff", "0.5", "use a number of 1 or more, e.g. 1"),
            ("backoff", "inf", "use a number of 1 or more"),
            ("jitter", "-1", "use seconds, 0 or more, e.g. 30"),
            ("max_elapsed", "nan", "use seconds, 0 or more, e.g. 86400"),
            ("ttl", "1e99", "use seconds, 0 or more, e.g. 2592000"),
            ("scope", "all", "use 'run' or 'failed'"),
            ("on_manual_clear", "start", "use 'start_fresh' or 'keep'"),
            ("skip_if_newer_run", "perhaps", "use True or False"),
        ],
    )
    def test_wrong(self, deploy: Any, name: str, text: str, right: str) -> None:
        deploy(**{name: text})
        with pytest.raises(ConfigError) as error:
            section.get(name)
        said = str(error.value)
        assert said.startswith(f"[dag_retry] {name} (AIRFLOW__DAG_RETRY__{name.upper()}) is {text!r}: {right}")

    def test_a_dag_file_asks_for_each_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.configuration import conf

        asked: Counter[str] = Counter()
        get = conf.get

        def count(section: str, key: str, **options: Any) -> Any:
            asked[key] += section == "dag_retry"
            return get(section, key, **options)

        monkeypatch.setattr(conf, "get", count)
        DagRetry(max_attempts=3).dag_args()
        assert asked.total() == len(asked) == 20
        assert not asked.keys() & {"redis_url", "namespace", "api_url", "max_attempts"}

    def test_an_argument_wins(self, deploy: Any) -> None:
        deploy(max_attempts="many")
        assert section.get("max_attempts", 4) == 4

    def test_a_percent_sign_in_the_file(self, tmp_path: Path) -> None:
        """configparser quotes what it can't read, which may be a password. (With a secret, Airflow does not start.)"""
        (tmp_path / "airflow.cfg").write_text("[dag_retry]\napi_url = https://u:p%40s3cret@af\n")
        code = "from dag_retry._airflow import settings; settings.api()"
        environment = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "AIRFLOW__DAG_RETRY__API_URL) can't be read (Interpolation" in done.stderr
        assert "in airflow.cfg write %% for %" in done.stderr
        assert "s3cret" not in done.stderr

    def test_a_command_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL_CMD", "sh -c 'echo s3cret; exit 3'")
        with pytest.raises(ConfigError, match="redis_url .* can't be read .*_CMD") as error:
            settings.redis_url()
        assert "s3cret" not in str(error.value)

    def test_a_command_that_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL_CMD", "printf redis://command/0")
        assert settings.redis_url() == "redis://command/0"


def connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, text: str) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)


class TestRedis:
    @pytest.fixture
    def named(self, monkeypatch: pytest.MonkeyPatch, deploy: Any) -> Callable[[str], None]:
        """Make a Connection that the section names."""
        deploy(redis_conn_id="counter")
        return lambda text: connection(monkeypatch, "counter", text)

    def test_of_the_section(self, deploy: Any) -> None:
        deploy(redis_url="redis://section/0")
        assert settings.redis_url() == "redis://section/0"

    def test_a_connection_that_is_not_named_is_not_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, deploy: Any
    ) -> None:
        monkeypatch.setattr(sdk, "connection", None)
        connection(monkeypatch, REDIS_CONNECTION, "redis://connection")
        deploy(redis_url="redis://section/0")
        assert settings.redis_url() == "redis://section/0"
        deploy(redis_url=None)
        with pytest.raises(ConfigError, match="redis_url .* is not set"):
            settings.redis_url()

    def test_both(self, named: Callable[[str], None], deploy: Any) -> None:
        named("redis://connection")
        deploy(redis_url="redis://section/0")
        with pytest.raises(
            ConfigError, match=r"AIRFLOW__DAG_RETRY__REDIS_CONN_ID.* is set, and redis_url too: keep one"
        ):
            settings.redis_url()

    @pytest.mark.usefixtures("named")
    def test_a_connection_that_is_not_there(self) -> None:
        with pytest.raises(CounterError, match="'counter' was not found: make it, correct .*REDIS_CONN_ID"):
            settings.redis_url()

    def test_a_connection_that_airflow_refuses(self, monkeypatch: pytest.MonkeyPatch, deploy: Any) -> None:
        def refuse(conn_id: str) -> None:
            raise PermissionError("s3cret")

        monkeypatch.setattr(sdk, "connection", refuse)
        deploy(redis_conn_id="counter")
        with pytest.raises(CounterError, match=r"'counter' was not found.* \[PermissionError\]") as error:
            settings.redis_url()
        assert "s3cret" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("redis://host", "redis://host:6379/0"),
            ("redis://:p%40ss@host:7000", "redis://:p%40ss@host:7000/0"),
            ("redis://user:p@host/?db=3", "redis://user:p@host:6379/3"),
            (
                "redis://host/?ssl=True&ssl_cert_reqs=required&ssl_ca_path=%2Fca",
                "rediss://host:6379/0?ssl_cert_reqs=required&ssl_ca_path=%2Fca",
            ),
            ('{"conn_type": "redis", "host": "::1", "extra": {"db": 1, "ssl": false}}', "redis://[::1]:6379/1"),
            ('{"conn_type": "redis", "host": "host", "extra": "[1]"}', "redis://host:6379/0"),
        ],
    )
    def test_connection(self, named: Callable[[str], None], text: str, url: str) -> None:
        named(text)
        assert settings.redis_url() == url
        connect(url).close()

    def test_connection_without_a_host(self, named: Callable[[str], None]) -> None:
        named('{"conn_type": "redis"}')
        with pytest.raises(ConfigError, match="'counter' has no host"):
            settings.redis_url()

    @pytest.mark.parametrize("value", [None, ""])
    def test_unset(self, deploy: Any, value: str | None) -> None:
        deploy(redis_url=value)
        with pytest.raises(ConfigError, match=r"\[dag_retry\] redis_url \(AIRFLOW__DAG_RETRY__REDIS_URL\) is not set"):
            settings.redis_url()

    @pytest.mark.parametrize(
        "url", ["redis.example.com", "http://host", "redis://host:port", "redis://host/?socket_timeout=soon"]
    )
    def test_wrong(self, url: str) -> None:
        with pytest.raises(ConfigError, match="redis_url is wrong .*redis://:password@redis.example.com"):
            connect(url).ping()

    @pytest.mark.parametrize(
        "url", ["redis://:s3cret/s3cret@host:6379/0", "redis://user:s3#cret@host", "redis://:s3cret@[::1"]
    )
    def test_password_that_breaks_the_url_is_not_shown(self, deploy: Any, url: str) -> None:
        deploy(redis_url=url)
        with pytest.raises(ConfigError) as error:
            deployment.connect(timeout=1)
        assert "s3" not in str(error.value)
        assert error.value.__cause__ is None

    def test_password_is_masked_quoted_or_not(self, deploy: Any, masked: list[str]) -> None:
        deploy(redis_url="redis://user:p%40ss@host/0")
        settings.redis_url()
        assert masked == ["p%40ss", "p@ss"]

    @pytest.mark.parametrize(
        "url",
        [
            "redis+sentinel://user:p1@one,[::1]:26379/mymaster?sentinel_username=s&sentinel_password=p2",
            "rediss+cluster://:p1@[::1]:6379,two?ssl_keyfile=/key.pem&ssl_password=p2",
            "unix://:p1@/run/redis.sock?password=p2",
        ],
    )
    def test_passwords_of_every_form_are_masked(self, deploy: Any, masked: list[str], url: str) -> None:
        deploy(redis_url=url)
        settings.redis_url()
        assert set(masked) == {"p1", "p2"}

    def test_password_that_breaks_the_url_is_masked(self, deploy: Any, masked: list[str]) -> None:
        deploy(redis_url="redis://:s3/cr#et?@host")
        settings.redis_url()
        assert "s3/cr#et?" in masked

    def test_no_password_masks_nothing(self, deploy: Any, masked: list[str]) -> None:
        deploy(redis_url="redis+sentinel://one:26379,two:26379/mymaster/0?socket_timeout=1")
        settings.redis_url()
        assert masked == []


class TestApi:
    @pytest.fixture
    def named(self, monkeypatch: pytest.MonkeyPatch, deploy: Any) -> Callable[[str], None]:
        """Make a Connection that the section names."""
        deploy(api_conn_id="airflow")
        return lambda text: connection(monkeypatch, "airflow", text)

    def test_of_the_section(self, monkeypatch: pytest.MonkeyPatch, deploy: Any) -> None:
        deploy(api_token="t")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://base")
        assert settings.api() == ApiSettings("https://base", token="t")
        deploy(api_url="https://section")
        assert settings.api() == ApiSettings("https://section", token="t")

    def test_a_connection_that_is_not_named_is_not_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, deploy: Any
    ) -> None:
        monkeypatch.setattr(sdk, "connection", None)
        connection(monkeypatch, API_CONNECTION, "https://:t@connection")
        deploy(api_url="https://u:p@section")
        assert settings.api() == ApiSettings("https://section", username="u", password="p")

    def test_user_and_password(self, deploy: Any) -> None:
        deploy(api_url="https://af", api_username="u", api_password="p")
        assert settings.api() == ApiSettings("https://af", username="u", password="p")

    @pytest.mark.parametrize(
        ("text", "expected"),
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
        ],
    )
    def test_connection(self, named: Callable[[str], None], text: str, expected: ApiSettings) -> None:
        named(text)
        assert settings.api() == expected

    @pytest.mark.usefixtures("named")
    def test_a_connection_that_is_not_there(self) -> None:
        with pytest.raises(ApiUnusable, match="'airflow' was not found: make it, correct .*API_CONN_ID"):
            settings.api()

    @pytest.mark.parametrize("text", ["https://connection", "https://:t@connection"])
    @pytest.mark.parametrize(
        "options",
        [
            {"url": "https://section"},
            {"token": "s3cret"},
            {"username": "u", "password": "s3cret"},
            {"client_id": "c", "client_secret": "s3cret"},
            {"token_callable": "ours:token"},
            {"token_path": "/login"},
            {"ca_file": "/ca.pem"},
            {"proxy": "http://u:s3cret@proxy:3128"},
        ],
    )
    def test_a_connections_host_gets_nothing_of_the_section(
        self, named: Callable[[str], None], deploy: Any, text: str, options: dict[str, str]
    ) -> None:
        named(text)
        deploy(**{f"api_{name}": value for name, value in options.items()})
        beside = ", ".join(f"api_{name}" for name in options)
        with pytest.raises(ConfigError, match=f"API_CONN_ID.* is set, and {beside} too: keep one") as error:
            settings.api()
        assert "s3cret" not in str(error.value)

    def test_a_connection_runs_no_code(self, named: Callable[[str], None]) -> None:
        named("https://af/?token_callable=os:abort")
        with pytest.raises(ConfigError, match="'airflow' has an extra token_callable: remove it"):
            settings.api()

    @pytest.mark.parametrize(
        ("url", "base"),
        [
            ("http://af:8080/", "http://af:8080"),
            ("https://airflow.example.com/api/v2", "https://airflow.example.com"),
            ("https://h/team/api/v2/", "https://h/team"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_url(self, deploy: Any, url: str, base: str) -> None:
        deploy(api_token="t", api_url=url)
        assert settings.api().url == base

    @pytest.mark.parametrize("url", ["airflow:8080", "ftp://af", "http://", "https://af:port"])
    def test_wrong_url(self, deploy: Any, url: str) -> None:
        deploy(api_token="t", api_url=url)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__API_URL.*https://airflow.example.com"):
            settings.api()

    @pytest.mark.parametrize(
        "url", ["u:s3cret@af", "https://u:3#s3cret@af", "https://u:3/s3cret@af", "https://u:3?s3cret@a"]
    )
    def test_wrong_url_with_a_password_is_not_shown(self, deploy: Any, url: str) -> None:
        deploy(api_url=url)
        with pytest.raises(ConfigError, match="API_URL") as error:
            settings.api()
        assert "s3cret" not in str(error.value)

    def test_no_credentials(self, deploy: Any) -> None:
        deploy(api_url="https://af")
        with pytest.raises(ConfigError, match="API_TOKEN.*API_USERNAME.*API_PASSWORD.*API_CONN_ID"):
            settings.api()

    @pytest.mark.parametrize("text", ["https://af", "https://af/?token_path=%2Ft"])
    def test_a_connection_without_credentials(self, named: Callable[[str], None], text: str) -> None:
        named(text)
        with pytest.raises(ConfigError, match="no credentials .*give the Airflow Connection 'airflow' a login"):
            settings.api()

    def test_every_option(self, deploy: Any, tmp_path: Path) -> None:
        ca_file = tmp_path / "ca.pem"
        ca_file.touch()
        way: dict[str, Any] = {"token_path": "/login", "ca_file": str(ca_file), "proxy": "http://proxy:3128"}
        deploy(api_url="https://af", **{f"api_{name}": value for name, value in way.items()})
        deploy(api_client_id="c", api_client_secret="s")
        assert settings.api() == ApiSettings("https://af", client_id="c", client_secret="s", **way)
        deploy(api_url="https://u:p@af", api_client_id=None, api_client_secret=None)
        assert settings.api() == ApiSettings("https://af", username="u", password="p", **way)

    def test_a_callable(self, deploy: Any) -> None:
        deploy(api_url="https://af", api_token_callable="ours:token")
        assert settings.api() == ApiSettings("https://af", token_callable="ours:token")

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
    def test_wrong(self, deploy: Any, options: dict[str, str], message: str) -> None:
        deploy(api_url="https://af", **{f"api_{name}": value for name, value in options.items()})
        with pytest.raises(ConfigError, match=message) as error:
            settings.api()
        assert "s3cret" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("https://u@af", "the Airflow Connection 'airflow' holds username without password"),
            ("https://u:s3cret@af/?client_id=c&client_secret=s3cret", "2 kinds .*username, password, client_id"),
            ("https://:s3cret@af/?token_path=login", "token_path does not begin with a slash .*'airflow'"),
            ("https://:s3cret@af/?ca_file=/nowhere/ca.pem", "ca_file is '/nowhere/ca.pem', .*no such file.*'airflow'"),
            ("https://:s3cret@af/?proxy=u:s3cret@proxy", "proxy in .*'airflow' .* is no URL of a proxy"),
            (
                '{"conn_type": "http", "host": "https://af", "extra": {"ca_file": true}}',
                "ca_file in the extras .* no text",
            ),
            ('{"conn_type": "http", "host": "https://af", "extra": "[1]"}', "no credentials"),
        ],
    )
    def test_wrong_connection(self, named: Callable[[str], None], text: str, message: str) -> None:
        named(text)
        with pytest.raises(ConfigError, match=message) as error:
            settings.api()
        assert "s3cret" not in str(error.value)

    def test_a_login_in_the_url(self, deploy: Any) -> None:
        deploy(api_url="https://u@af")
        with pytest.raises(ConfigError, match=r"the section \[dag_retry\] holds api_username without api_password"):
            settings.api()
        deploy(api_url="https://u:p@af")
        assert settings.api() == ApiSettings("https://af", username="u", password="p")
        deploy(api_token="t")
        with pytest.raises(ConfigError, match="2 kinds"):
            settings.api()
        deploy(api_token=None, api_username="another")
        with pytest.raises(ConfigError, match="API_URL.* holds a login, and api_username too: keep one"):
            settings.api()

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
        self, deploy: Any, masked: list[str | None], options: dict[str, str], secrets: list[str]
    ) -> None:
        deploy(api_url="https://af", **{f"api_{name}": value for name, value in options.items()})
        found = settings.api()
        assert [secret for secret in masked if secret] == secrets
        assert not any(secret in repr(found) for secret in secrets)


class TestDagRetry:
    @pytest.mark.parametrize("value", [0, -1, "3", 1.5, True])
    def test_wrong_max_attempts(self, value: Any) -> None:
        with pytest.raises(ConfigError, match="max_attempts is .*: use a whole number of 1 or more, e.g. 5"):
            DagRetry(max_attempts=value)

    @pytest.mark.parametrize("value", ["0", "-1", "three", "1.5"])
    def test_wrong_max_attempts_in_the_section(self, deploy: Any, value: str) -> None:
        deploy(max_attempts=value)
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__MAX_ATTEMPTS"):
            DagRetry()

    @pytest.mark.parametrize(
        "options",
        [
            {"on_manual_clear": True},
            {"on_manual_clear": "ignore"},
            {"on_exhausted": "mail me"},
            {"on_retry": [print, 3]},
        ],
    )
    def test_wrong_options(self, options: Any) -> None:
        with pytest.raises(ConfigError, match=next(iter(options))):
            DagRetry(**options)

    @pytest.mark.parametrize(
        "name", ["redis", "api", "namespace", "ttl", "wait_replicas", "on_missing_record", "redis_url", "api_url"]
    )
    def test_what_belongs_to_the_deployment_is_no_argument(self, name: str) -> None:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            DagRetry(**{name: "x"})  # type: ignore[arg-type]

    def test_a_ttl_shorter_than_a_lease(self, deploy: Any) -> None:
        deploy(ttl=1)
        with pytest.raises(ConfigError, match="must be shorter than ttl"):
            DagRetry()

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"namespace": "a b"}, "namespace is 'a b'"),
            ({"ttl": "1"}, "must be shorter than ttl"),
            ({"ttl": "a month"}, "AIRFLOW__DAG_RETRY__TTL"),
            ({"wait_replicas": "-1"}, "AIRFLOW__DAG_RETRY__WAIT_REPLICAS"),
        ],
    )
    def test_a_wrong_deployment(self, deploy: Any, options: dict[str, str], match: str) -> None:
        retry = DagRetry()
        deploy(redis=fakeredis.FakeRedis(), **options)
        with pytest.raises(ConfigError, match=match):
            retry.read("daily_load", "run")

    def test_everybody_counts_with_the_same_settings(self, deploy: Any) -> None:
        deploy(namespace="team-a", ttl=7200, wait_replicas=1)
        client = fakeredis.FakeRedis()
        counter = deployment.counter(client)
        assert (counter._lifetimes.ttl, counter._replicas._least) == (7_200_000, 1)
        for made in (counter, deployment.due_runs(client)):
            assert made._keys.events() == "{team-a}:v1:events"
            assert made._verbs.ttl == 7_200_000
        assert deployment.overview(client)._keys.events() == "{team-a}:v1:events"

    def test_the_counter_by_itself_has_the_sections_defaults(self) -> None:
        parameters = inspect.signature(AttemptCounter).parameters
        for name in ("namespace", "ttl", "wait_replicas"):
            assert parameters[name].default == section.get(name)

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
