"""Every block of code in the documents is run or checked, and every link leads somewhere.

A block of a kind that is not known here fails the test.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
import redis
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from dag_retry import AttemptCounter, CounterError, DagRetry
from dag_retry._airflow import settings
from dag_retry._airflow.options import OPTIONS
from dag_retry._redis.due import DueRuns
from dag_retry._redis.heartbeat import Heartbeats
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import List, Overview
from dag_retry.cli.main import add_verbs
from tests.documents import (
    BLOCKS,
    CHANGELOG,
    DOCUMENTS,
    README,
    ROOMS,
    ROOT,
    anchors,
    blocks,
    links,
    name_of,
    text_of,
)

LUA = ROOT / "lua" / "README.md"
each_document = pytest.mark.parametrize("document", [*DOCUMENTS, CHANGELOG], ids=name_of)


@pytest.fixture
def seeded(redis_url: str) -> Iterator[Any]:
    """A Redis with the run of which lua/README.md speaks."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        counter = AttemptCounter(client)
        claim = counter.claim("daily_load", "run-1", generation=0, max_attempts=3)
        counter.block(claim, reason="http_403")
        counter.claim("daily_load", "run-2", generation=0, max_attempts=3)
        yield client


def test_no_block_is_left_out() -> None:
    run = [
        *blocks("python", "DAG("),
        *blocks("python", "sweeper_dag("),
        *blocks("python", "dag_retry.recipe"),
        *blocks("python", "AttemptCounter("),
        *blocks("sh", "pip install"),
        *blocks("sh", "export "),
        *blocks("sh", "make "),
        *blocks("sh", "dag-retry "),
        *blocks("yaml"),
        *blocks("python", "SparkSubmitOperator"),
        *blocks("redis"),
        *blocks("toml", "fancy-pypi-readme"),
        *blocks("text", DEMO),
        *blocks("text", ACCESS),
    ]
    assert sorted(run) == sorted(block.code for block in BLOCKS)


DEMO, ACCESS = "branches_recover", "page_secret"
"""Marks of the pictures and tables that are no code. ``tests/live`` holds the last two to what really happens."""


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        if urlsplit(link).scheme:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert ROOT in target.resolve().parents or target.resolve() == ROOT, link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_files_that_are_named_exist(document: Path) -> None:
    for path in re.findall(r"`((?:tests|src|lua)/[\w./-]*)`", text_of(document)):
        assert (ROOT / path).exists(), path


def test_yaml_is_that_of_the_example() -> None:
    """``test_dag_factory.py`` makes Dags of the example."""
    (code,) = blocks("yaml")
    example = ROOT / "src" / "dag_retry" / "example_dags" / "example_dag_factory.yaml"
    assert yaml.safe_load(code).items() <= yaml.safe_load(text_of(example)).items()


def test_a_job_of_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class has another key in each attempt. A live test submits such jobs."""
    (code,) = blocks("python", "SparkSubmitOperator")

    class SparkSubmitOperator:
        external_id_key = "spark_job_id"

        def execute(self, context: Any) -> str:
            return self.external_id_key

    module = "airflow.providers.apache.spark.operators.spark_submit"
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(SparkSubmitOperator=SparkSubmitOperator))
    for package in ("airflow.providers.apache", *(module.rsplit(".", n)[0] for n in (2, 1))):
        monkeypatch.setitem(sys.modules, package, SimpleNamespace(__path__=[]))
    names: dict[str, Any] = {}
    exec(code, names)
    keys = [names["SparkJob"]().execute({"dag_run": SimpleNamespace(clear_number=number)}) for number in (0, 1, 1)]
    assert keys == ["spark_job_id_0", "spark_job_id_1", "spark_job_id_1"]


def test_links_and_pictures_on_pypi() -> None:
    """What the release makes of the README: no link of it is relative."""
    (code,) = blocks("toml", "fancy-pypi-readme")
    text = text_of(README) + '<source srcset="tests/race.svg"><img src="tests/race.svg"><a href="lua/README.md">'
    hook = tomllib.loads(code)["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert hook["fragments"] == [{"path": README.name}]
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text)
    assert len(targets) == len(links(README)) + 3
    assert all(urlsplit(target).scheme for pair in targets for target in pair if target)
    assert text.count("/raw/v") == len([link for link in links(README) if link.endswith((".png", ".svg"))]) + 2


def test_every_room_is_reached_from_the_readme() -> None:
    reached, next_ones = set[Path](), [README]
    while next_ones:
        document = next_ones.pop()
        reached.add(document)
        targets = [(document.parent / link.partition("#")[0]).resolve() for link in links(document)]
        next_ones += [target for target in targets if target.suffix == ".md" and target not in reached]
    assert reached >= set(ROOMS)


@pytest.mark.parametrize("line", [line for code in blocks("sh", "dag-retry ") for line in code.splitlines()])
def test_commands_are_known(line: str) -> None:
    """``test_compose.py`` checks the command in the containers besides."""
    arguments = shlex.split(line.rpartition("dag-retry ")[2].strip("'"), comments=True)
    parser = argparse.ArgumentParser(prog="dag-retry")
    add_verbs(parser)
    assert parser.parse_args(arguments).verb


@pytest.mark.parametrize("code", blocks("python", "DAG("))
def test_dags(code: str, deploy: Any) -> None:
    deploy(api_token="t")
    names: dict[str, Any] = {}
    exec(code, names)
    retry = names["retry"]
    assert isinstance(retry, DagRetry)
    dag = next(value for value in names.values() if type(value).__name__ == "DAG") if "dag" in names else None
    assert dag is None or dag.has_on_failure_callback


def test_tasks_of_the_first_dag_call_back() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python", "DAG(", README)[0].replace(":\n\n    @task", " as dag:\n\n    @task"), names)
    dag, retry = names["dag"], names["retry"]
    assert sorted(dag.task_ids) == ["extract_customers", "extract_orders", "extract_stock"]
    assert all(task.on_failure_callback == [retry.on_failure] for task in dag.tasks)
    assert dag.has_on_success_callback


@pytest.mark.parametrize("code", blocks("python", "sweeper_dag("))
def test_sweepers_dag(code: str) -> None:
    # Airflow reads no file in which it finds neither word (`might_contain_dag`).
    assert "airflow" in code.lower()
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["dag"].task_ids == ["sweep"]


@pytest.mark.parametrize("code", blocks("python", "dag_retry.recipe"))
def test_recipe(code: str) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    assert callable(names["clear_dag_run_on_failure"])


def test_counter(seeded: Any) -> None:
    (code,) = blocks("python", "AttemptCounter(")
    server = seeded.connection_pool.connection_kwargs
    seeded.flushall()
    exec(code.replace("localhost:6379", f"{server['host']}:{server['port']}"), {})
    assert seeded.hget("{dag-retry}:v1:run:daily_load:run-1", "status") == "retrying"


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "".join(blocks("sh", "export "))
    shown = subprocess.run(["env", "-i", "sh", "-c", f"{code}\nenv"], capture_output=True, text=True, check=True).stdout
    for line in shown.splitlines():
        name, _, value = line.partition("=")
        if name.startswith("AIRFLOW__DAG_RETRY__"):
            assert name.removeprefix("AIRFLOW__DAG_RETRY__").lower() in OPTIONS
            monkeypatch.setenv(name, value)
    assert urlsplit(settings.redis_url()).hostname == "redis.example.com"
    api = settings.api()
    assert (api.url, api.username, api.password) == ("https://airflow.example.com", "retry", "secret")


def commands(mark: str) -> list[list[str]]:
    return [shlex.split(line) for code in blocks("redis", mark) for line in code.splitlines()]


@pytest.fixture
def users(seeded: Any) -> Iterator[Callable[[str], Any]]:
    """Clients of the users that lua/README.md makes."""
    rights = commands("ACL SETUSER")
    for command in rights:
        assert seeded.execute_command(*command)
    server = seeded.connection_pool.connection_kwargs
    with ExitStack() as stack:

        def connect(name: str) -> Any:
            url = f"redis://{name}:secret@{server['host']}:{server['port']}/0"
            return stack.enter_context(redis.Redis.from_url(url, decode_responses=True))

        yield connect
    for command in rights:
        seeded.acl_deluser(command[2])


def test_the_packages_user_may_do_its_work_and_no_more(seeded: Any, users: Callable[[str], Any]) -> None:
    seeded.script_flush()
    client = users("retry")
    counter = AttemptCounter(client)
    claim = counter.claim("nightly", "run", generation=0, max_attempts=1)
    assert counter.renew(claim)
    assert counter.confirm(claim)
    last = counter.claim("nightly", "run", generation=1, max_attempts=1)
    assert counter.acknowledge(last)
    again = counter.claim("nightly", "run", generation=2, max_attempts=1)
    assert counter.block(again, reason="http_403")
    assert counter.succeed("nightly", "run", generation=3) == counter.read("nightly", "run")
    for forbidden in (["FLUSHALL"], ["GET", "other"], ["HGETALL", "other"], ["DEL", "{dag-retry}:v1:active"]):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*forbidden)
    with pytest.raises(CounterError, match="NoPermission"):
        AttemptCounter(client, namespace="other").claim("nightly", "run", generation=0, max_attempts=1)


def test_the_packages_user_needs_each_of_its_rights(seeded: Any, users: Callable[[str], Any]) -> None:
    client = users("retry")

    def work() -> None:
        seeded.flushall()
        seeded.script_flush()
        counter = AttemptCounter(client)
        for _ in range(3):
            counter.claim("nightly", "run", generation=0, max_attempts=1)
        counter.claim("nightly", "cleared", generation=1, max_attempts=1, run_after=datetime.now(timezone.utc))
        counter.succeed("nightly", "run")
        DueRuns(client).read()
        DueRuns(client).quarantine("nightly", "other", pause=timedelta(hours=1))
        Heartbeats(client).beat("host:1", "")
        overview = Overview(client)
        overview.dag_ids()
        overview.retrying()
        overview.heartbeat()

    work()
    for right in [word[1:] for word in commands("ACL SETUSER")[0] if word.startswith("+") and word != "+hello"]:
        seeded.execute_command("ACL", "SETUSER", "retry", f"-{right}")
        with pytest.raises(CounterError):
            work()
        seeded.execute_command("ACL", "SETUSER", "retry", f"+{right}")


def test_an_operators_user_needs_what_it_says_beside_those(seeded: Any, users: Callable[[str], Any]) -> None:
    found = re.search(r"give their user\s+`([^`]*)` beside", text_of(LUA))
    assert found
    rights = found.group(1).split()
    overview = Overview(users("retry"))

    def look() -> None:
        for which in get_args(List):
            assert overview.runs(which, statuses={"claimed", "blocked"}) is not None
        assert overview.sizes().active == 2
        assert overview.timeline("daily_load", "run-1")
        assert overview.outcomes(since=0)["daily_load"].total() == 2

    seeded.execute_command("ACL", "SETUSER", "retry", *rights)
    look()
    for right in rights:
        seeded.execute_command("ACL", "SETUSER", "retry", right.replace("+", "-"))
        with pytest.raises(CounterError, match="its user lacks a right"):
            look()
        seeded.execute_command("ACL", "SETUSER", "retry", right)


def test_a_dashboards_user_may_read_all_and_change_nothing(seeded: Any, users: Callable[[str], Any]) -> None:
    client = users("dashboard")
    for command in commands("HGETALL {dag-retry}:v1:run"):
        assert client.execute_command(*command)
    for key in client.scan_iter(match="{dag-retry}:v1:*"):
        assert client.pttl(key) > 0
        assert {"hash": client.hgetall, "stream": client.xrange, "zset": lambda key: client.zrange(key, 0, -1)}[
            client.type(key)
        ](key)
    for forbidden in (
        ["HSET", "{dag-retry}:v1:stats", "won", "9"],
        ["DEL", "{dag-retry}:v1:active"],
        ["FLUSHALL"],
        ["KEYS", "*"],
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*forbidden)


@pytest.mark.parametrize("command", commands("HGETALL {dag-retry}:v1:run"), ids=" ".join)
def test_what_operators_ask(seeded: Any, command: list[str]) -> None:
    assert seeded.execute_command(*command)


def test_make_test_is_what_ci_runs() -> None:
    assert blocks("sh", "make test", README) == ["make test\n"]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("\nmake test")
    subprocess.run(["make", "--dry-run", "test"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def cells_of(document: Path, head: str) -> list[list[str]]:
    """Return, of the table that begins so, the names that each row's first cell holds."""
    table = text_of(document).partition(head)[2].strip().partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| field ")]
    return [re.findall(r"`(\w+)`", row.split(" | ")[0]) for row in rows]


def test_fields_of_a_record_and_of_an_event(seeded: Any) -> None:
    keys = Keys("dag-retry")
    named = [name for row in cells_of(LUA, "## Fields of a record") for name in row]
    assert sorted(named) == sorted([*seeded.hgetall(keys.run("daily_load", "run-1")), "faults"])
    told = re.search(r"have the same fields: ([^.]*)\.", text_of(LUA))
    assert told
    ((_, event),) = seeded.xrevrange(keys.events(), count=1)
    assert re.findall(r"`(\w+)`", told.group(1)) == list(event)


def test_what_sweepers_say(seeded: Any) -> None:
    Heartbeats(seeded).beat("host:1", "")
    named = [name for row in cells_of(LUA, "## What sweepers say of themselves") for name in row]
    assert sorted(named) == sorted(seeded.hgetall(Keys("dag-retry").sweeper()))


def test_each_script_is_named() -> None:
    scripts = sorted(file.name for file in LUA.parent.glob("*.lua"))
    assert sorted(set(links(LUA)) & set(scripts)) == scripts
