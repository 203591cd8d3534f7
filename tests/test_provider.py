"""What Airflow is told of this package: options, Connection types, the page."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import fakeredis
import jsonschema
import pytest

from dag_retry import ConfigError, DagRetry
from dag_retry._airflow import section, settings
from dag_retry._airflow.connections import EXTRAS
from dag_retry._airflow.options import OPTIONS, Option
from dag_retry._airflow.settings import ApiSettings
from dag_retry._airflow.tested import TESTED, TESTED_TEXT
from dag_retry._callback import deployment
from dag_retry._policy.selection import selected_by
from dag_retry.plugin.connection_types import CONNECTION_TYPES
from dag_retry.plugin.provider import get_provider_info
from tests import settings_table
from tests.live.conftest import VERSIONS


def test_every_option_is_read_by_somebody(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other: each name that is read is looked up in the table."""
    asked = set()

    class Asking(dict[str, Option]):
        def __getitem__(self, name: str) -> Option:
            asked.add(name)
            return super().__getitem__(name)

    monkeypatch.setattr(section, "OPTIONS", Asking(OPTIONS))
    client = fakeredis.FakeRedis()
    deploy(redis=client, api_url="https://u:p@af")
    DagRetry()
    deployment.counter(client)
    selected_by((), ())
    settings.api()
    with pytest.raises(ConfigError, match="redis_url"):
        settings.redis_url()

    assert set(OPTIONS) == asked


def test_the_examples_go_together(deploy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever copies all examples of one way to log in has a deployment."""
    (tmp_path / "our_alerts.py").write_text("retry = exhausted = blocked = skipped = succeeded = print")
    monkeypatch.syspath_prepend(tmp_path)
    left_out = {"api_ca_file", "redis_conn_id", "api_conn_id"}
    ways = {"api_token", "api_token_callable", "api_username", "api_password", "api_client_id", "api_client_secret"}
    deploy(**{name: option.example for name, option in OPTIONS.items() if name not in left_out | ways})
    for way in (
        {"api_token"},
        {"api_token_callable"},
        {"api_username", "api_password"},
        {"api_client_id", "api_client_secret"},
    ):
        deploy(**{name: OPTIONS[name].example if name in way else None for name in ways})

        policy = DagRetry()._policy
        assert (policy.max_attempts, policy.scope) == (5, "failed")
        assert settings.redis_url() == OPTIONS["redis_url"].example
        assert settings.api().url == "https://airflow.example.com"


def test_secrets_are_marked_as_such() -> None:
    assert {name for name, option in OPTIONS.items() if option.secret} == {
        "redis_url",
        "api_token",
        "api_password",
        "api_client_secret",
        "api_proxy",
    }


def test_the_document_has_the_tables_of_all_options() -> None:
    """Where it has not: ``python -m tests.settings_table``."""
    text = settings_table.DOCUMENT.read_text(encoding="utf-8")
    assert settings_table.refreshed(text) == text
    rows = "".join(settings_table.tables().values())
    assert all(f"| `{name}` |" in rows for name in OPTIONS)


def test_the_form_has_the_extras_that_the_code_reads(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that the form shows and nobody reads would be a lie, and one that it lacks would not be found."""
    fields = {kind["connection-type"]: set(kind["conn-fields"]) for kind in CONNECTION_TYPES}
    assert fields["dag_retry_api"] == set(EXTRAS)

    extras = {"db": 3, "ssl": True, "ssl_ca_certs": "/ca", "ssl_certfile": "/c", "ssl_keyfile": "/k"}
    assert fields["dag_retry_redis"] == extras.keys()
    login = {"conn_type": "dag_retry_redis", "host": "h", "port": 1, "login": "u", "password": "p"}
    monkeypatch.setenv("AIRFLOW_CONN_COUNTER", json.dumps(login | {"extra": extras}))
    deploy(redis_conn_id="counter")
    assert settings.redis_url() == "rediss://u:p@h:1/3?ssl_ca_certs=%2Fca&ssl_certfile=%2Fc&ssl_keyfile=%2Fk"


def test_a_field_that_was_left_empty_is_none(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form may save an extra that nobody filled in as null, or as an empty text."""
    deploy(redis_conn_id="counter", api_conn_id="airflow")

    def save(conn_id: str, host: str, **extras: object) -> None:
        login = {"conn_type": "x", "host": host, "port": None, "schema": None, "login": None, "password": "p"}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(login | {"extra": extras}))

    for empty in (None, ""):
        save("COUNTER", "h", ssl=True, db=empty, ssl_ca_certs=empty, ssl_keyfile=empty)
        assert settings.redis_url() == "rediss://:p@h:6379/0"
        save("AIRFLOW", "https://af", **dict.fromkeys(EXTRAS, empty))
        assert settings.api() == ApiSettings("https://af", token="p")
    save("COUNTER", "h", ssl=True, ssl_check_hostname=False)
    assert settings.redis_url() == "rediss://:p@h:6379/0?ssl_check_hostname=False"


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_airflow_can_read_the_provider(schema: str) -> None:
    rules = json.loads((files("airflow") / schema).read_text())
    parts = {name: get_provider_info()[name] for name in ("connection-types", "config")}
    for name, part in parts.items():
        if schema == "provider_info.schema.json" or name == "connection-types":
            jsonschema.validate(part, rules["properties"][name] | {"definitions": rules.get("definitions", {})})


def test_the_tested_airflows_are_named_and_run_live() -> None:
    named = {asked.removeprefix("apache-airflow==") for _, *asks in VERSIONS.values() for asked in asks}
    assert {TESTED[0], TESTED[-1]} <= named
    assert f"Tested with Airflow {TESTED_TEXT}." in get_provider_info()["description"]


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


def test_the_table_of_options_loads_nothing_of_airflow() -> None:
    code = (
        "import sys; from dag_retry.plugin.provider import get_provider_info; get_provider_info();"
        "print(sorted({'redis', 'requests', 'airflow', 'tenacity', 'configparser'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
