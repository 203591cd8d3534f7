"""What Airflow is told of this package: options, Connection types, the page."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from dag_retry import ConfigError, DagRetry
from dag_retry._airflow import sdk, settings
from dag_retry.plugin.connections import CONNECTION_TYPES
from dag_retry.plugin.options import OPTIONS
from dag_retry.plugin.provider import get_provider_info


def read_settings(monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> tuple[set[str], list[object]]:
    """Have everything look for what nobody has given it: which options are asked for, and what is found."""
    asked = set()

    def option(key: str) -> str | None:
        asked.add(key)
        return options.get(key)

    monkeypatch.setattr(sdk, "option", option)
    monkeypatch.setattr(sdk, "connection", lambda _: None)
    monkeypatch.setattr(sdk, "base_url", lambda: "https://airflow.example.com")
    monkeypatch.setattr(sdk, "mask", lambda _: None)
    retry = DagRetry()
    found: list[object] = [retry._policy, retry._counting]
    for setting in (settings.redis_url, settings.api):
        try:
            found.append(setting(None))
        except ConfigError as error:
            found.append(str(error))
    return asked, found


def test_the_options_are_those_that_the_code_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = read_settings(monkeypatch, {})

    assert set(OPTIONS) == asked


def test_the_defaults_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow answers with the default of a provider where nothing is set."""
    defaults = {name: option.default for name, option in OPTIONS.items() if option.default is not None}

    _, with_defaults = read_settings(monkeypatch, defaults)
    _, without = read_settings(monkeypatch, {})

    assert with_defaults == without


@pytest.mark.parametrize(
    "kind", [{"api_token"}, {"api_username", "api_password"}, {"api_client_id", "api_client_secret"}]
)
def test_the_examples_are_usable(monkeypatch: pytest.MonkeyPatch, kind: set[str], tmp_path: Path) -> None:
    (tmp_path / "our_alerts.py").write_text("retry = exhausted = blocked = skipped = succeeded = print")
    monkeypatch.syspath_prepend(tmp_path)
    credentials = {
        "api_token",
        "api_username",
        "api_password",
        "api_client_id",
        "api_client_secret",
        "api_token_callable",
    }
    left_out = credentials - kind | {"api_ca_file"}
    examples = {name: option.example for name, option in OPTIONS.items() if option.example and name not in left_out}

    _, (policy, _, redis_url, api) = read_settings(monkeypatch, examples)

    assert (policy.max_attempts, policy.scope, redis_url) == (5, "failed", OPTIONS["redis_url"].example)  # type: ignore[attr-defined]
    assert api.url == "https://airflow.example.com"  # type: ignore[attr-defined]


def test_secrets_are_marked_as_such() -> None:
    for name, option in OPTIONS.items():
        assert option.sensitive == any(
            word in name for word in ("redis_url", "_token", "password", "secret", "proxy")
        ) - (name in ("api_token_callable", "api_token_path")), name


def test_the_form_has_the_extras_that_the_code_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that the form shows and nobody reads would be a lie, and one that it lacks would not be found."""
    fields = {kind["connection-type"]: set(kind["conn-fields"]) for kind in CONNECTION_TYPES}
    asked = set()

    class Extras(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return super().get(key, default)

    login = {"conn_type": "x", "host": "h", "port": 1, "schema": "", "login": "u", "password": "p"}
    connection = SimpleNamespace(**login, extra_dejson=Extras())
    monkeypatch.setattr(sdk, "connection", lambda _: connection)
    monkeypatch.setattr(sdk, "option", lambda _: None)
    monkeypatch.setattr(sdk, "mask", lambda _: None)

    settings.api(None)
    assert fields["dag_retry_api"] == asked

    connection.extra_dejson = {"db": 3, "ssl": True, "ssl_ca_certs": "/ca", "ssl_certfile": "/c", "ssl_keyfile": "/k"}
    assert fields["dag_retry_redis"] == connection.extra_dejson.keys()
    url = settings.redis_url(None)
    assert url == "rediss://u:p@h:1/3?ssl_ca_certs=%2Fca&ssl_certfile=%2Fc&ssl_keyfile=%2Fk"


def test_a_field_that_was_left_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form may save an extra that nobody filled in as null, or as an empty text."""
    connection = SimpleNamespace(
        conn_type="x", host="h", port=None, schema=None, login=None, password=None, extra_dejson={}
    )
    monkeypatch.setattr(sdk, "connection", lambda _: connection)
    monkeypatch.setattr(sdk, "option", lambda _: None)
    for empty in (None, ""):
        connection.extra_dejson = {"ssl": True, "db": empty, "ssl_ca_certs": empty, "ssl_keyfile": empty}

        assert settings.redis_url(None) == "rediss://h:6379/0"
    connection.extra_dejson = {"ssl": True, "ssl_check_hostname": False}
    assert settings.redis_url(None) == "rediss://h:6379/0?ssl_check_hostname=False"


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_airflow_can_read_the_provider(schema: str) -> None:
    rules = json.loads((files("airflow") / schema).read_text())
    parts = {name: get_provider_info()[name] for name in ("connection-types", "config")}
    for name, part in parts.items():
        if schema == "provider_info.schema.json" or name == "connection-types":
            jsonschema.validate(part, rules["properties"][name] | {"definitions": rules.get("definitions", {})})


def test_entry_points() -> None:
    [provider] = [found for found in entry_points(group="apache_airflow_provider") if "dag_retry" in found.value]
    [plugin] = [found for found in entry_points(group="airflow.plugins") if "dag_retry" in found.value]

    assert provider.dist
    assert provider.load()()["package-name"] == provider.dist.name
    assert [view["destination"] for view in plugin.load().external_views] == ["nav", "dag_run"]


def test_what_every_component_loads_is_light() -> None:
    """Workers and the dag processor load each plugin and provider too, and never ask for the page."""
    code = """
import sys
import airflow.sdk.plugins_manager
before = set(sys.modules)
from dag_retry.plugin.plugin import DagRetryPlugin
from dag_retry.plugin.provider import get_provider_info
DagRetryPlugin().external_views
get_provider_info()
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded & {"redis", "requests", "fastapi", "sqlalchemy"}))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.splitlines()[-1] == "[]"
