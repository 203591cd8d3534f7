"""docker-compose.yml, checked without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from ruamel.yaml import YAML  # the parser check-jsonschema brings

import dag_retry
from dag_retry._redis.heartbeat import Heartbeats

FILE = Path(__file__).parents[1] / "docker-compose.yml"
TEXT = FILE.read_text(encoding="utf-8")
AIRFLOW = ["api-server", "dag-processor", "init", "scheduler", "sweeper", "triggerer"]
ONE_SHOT = "init"
WHERE_RUNS_ARE_CLEARED = ["scheduler", "dag-processor", "sweeper"]  # LocalExecutor: the scheduler runs the tasks


def with_defaults(text: str) -> str:
    """Interpolate as Compose does where none of the variables is set."""
    return re.sub(r"\$(?:\$|\{\w+:-([^}]*)\})", lambda found: found[1] if "{" in found[0] else "$", text)


COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(with_defaults(TEXT))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENVIRONMENT: dict[str, str] = SERVICES["scheduler"]["environment"]


def mounts(service: str) -> dict[str, tuple[str, str]]:
    """Return target -> (source, mode) of a service's volumes."""
    volumes = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {target: (source, *mode) if mode else (source, "rw") for source, target, *mode in volumes}


def airflow_commands() -> list[list[str]]:
    """Return the arguments of every `airflow …` that a container runs."""
    commands = []
    for name in AIRFLOW:
        command = SERVICES[name]["command"]
        if isinstance(command, str):  # the image's entry point puts `airflow` in front
            commands.append(shlex.split(command))
        else:
            *_, script = command
            lines = [shlex.split(line) for line in script.replace("\\\n", "").splitlines()]
            commands += [words for program, *words in lines if program == "airflow"]
        _, program, *words = SERVICES[name].get("healthcheck", {}).get("test", ["NONE", ""])
        if program == "airflow":
            commands.append(words)
    return commands + commands_of_a_person()


def commands_of_a_person() -> list[list[str]]:
    """Return the arguments of every `airflow …` in the comment at the top of the file."""
    scripts = re.findall(r"(?m)^#   docker compose exec sweeper bash -c '(.*)'$", TEXT)
    return [shlex.split(command)[1:] for script in scripts for command in script.split("&&")]


def run_in_airflow(distribution: str, home: Path, script: str, argument: object, pythonpath: str = "") -> None:
    """Run a script with its argument on stdin and Airflow's own defaults. If the script fails, the test fails."""
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["AIRFLOW_HOME"] = str(home)
    if pythonpath:
        environment["PYTHONPATH"] = pythonpath
    auth_manager = "AIRFLOW__CORE__AUTH_MANAGER"  # it adds subcommands
    environment[auth_manager] = ENVIRONMENT[auth_manager]
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(argument), cwd=home, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_is_what_the_compose_specification_allows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_needs_no_variable_to_be_set() -> None:
    assert not re.findall(r"\$\{\w+\}|\$\{\w+[^\w:].*?\}", TEXT)
    assert "${" not in with_defaults(TEXT)


def test_images() -> None:
    assert {name: service["image"] for name, service in SERVICES.items()} == {
        **dict.fromkeys(AIRFLOW, "apache/airflow:3.3.2"),
        "postgres": "postgres:15",
        "redis": "redis:7.2-alpine",
    }
    assert "image: ${AIRFLOW_IMAGE_NAME:-apache/airflow:3.3.2}" in TEXT


@pytest.mark.parametrize("service", SERVICES)
def test_volumes_exist(service: str) -> None:
    for source, mode in mounts(service).values():
        if source.startswith("."):
            assert (FILE.parent / source).is_dir(), f"Docker would make an empty {source}"
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("service", AIRFLOW)
def test_every_airflow_is_the_same(service: str) -> None:
    assert SERVICES[service]["environment"] == ENVIRONMENT
    assert mounts(service) == mounts("scheduler")


@pytest.mark.parametrize("service", WHERE_RUNS_ARE_CLEARED)
def test_has_what_a_clear_needs(service: str) -> None:
    environment = SERVICES[service]["environment"]
    redis = urlsplit(environment["AIRFLOW__DAG_RETRY__REDIS_URL"])
    assert (redis.scheme, redis.hostname, redis.port) == ("redis", "redis", 6379)
    api = urlsplit(environment["AIRFLOW__DAG_RETRY__API_URL"])
    assert (api.scheme, api.hostname, api.port) == ("http", "api-server", 8080)
    assert {"redis", "api-server"} <= {*SERVICES} & {*SERVICES[service]["depends_on"]}
    assert int(environment["AIRFLOW__DAG_RETRY__MAX_ATTEMPTS"]) >= 1

    src, root, metadata = map(PurePosixPath, environment["PYTHONPATH"].split(":"))
    sources = {target: source for target, (source, _) in mounts(service).items()}
    assert src.parent == root
    assert metadata == root / "tests" / "compose"
    assert sources[str(src)] == "./src"
    assert sources[str(root / "lua")] == "./lua"
    assert sources[str(root / "tests")] == "./tests"
    assert sources["/opt/airflow/dags"] == "./tests/demo/dags"


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """What is mounted into every container, below a folder."""
    folder = tmp_path / "container"
    for target, (source, _) in mounts("scheduler").items():
        if source.startswith("."):
            mounted = folder / target.lstrip("/")
            mounted.parent.mkdir(parents=True, exist_ok=True)
            mounted.symlink_to(FILE.parent / source)
    return folder


def pythonpath(container: Path) -> str:
    return ":".join(f"{container}{folder}" for folder in ENVIRONMENT["PYTHONPATH"].split(":"))


IMPORT_DAGS = """
import json, runpy, sys
from pathlib import Path
import dag_retry, tests.demo.barrier
container, files = json.load(sys.stdin)
for module in (dag_retry, tests.demo.barrier):
    assert Path(module.__file__).is_relative_to(container), module.__file__
for file in files:
    assert runpy.run_path(file)["dag"].dag_id == Path(file).stem
"""


def test_dag_files_find_what_they_import(container: Path, tmp_path: Path) -> None:
    files = sorted(str(file) for file in (container / "opt/airflow/dags").glob("*.py"))
    assert len(files) == 3
    run_in_airflow("apache-airflow-core", tmp_path, IMPORT_DAGS, [str(container), files], pythonpath(container))


ENTRY_POINTS = """
import json, sys
from importlib import metadata
from pathlib import Path
from airflow.api_fastapi.app import create_app
from airflow.providers_manager import ProvidersManager
container = json.load(sys.stdin)
ours = metadata.distribution("airflow-dag-retry")
assert Path(ours.locate_file("")).is_relative_to(container), ours.locate_file("")
assert "airflow-dag-retry" in ProvidersManager().providers
paths = {getattr(route, "path", "") for route in create_app().routes}
assert {"/dag-retry", "/dag-retry-clear"} <= paths, paths
"""


def test_airflow_finds_the_package(container: Path, tmp_path: Path) -> None:
    """The API server has the page and the atomic clear, and the command line has the package's verbs."""
    run_in_airflow("apache-airflow-providers-fab", tmp_path, ENTRY_POINTS, str(container), pythonpath(container))


def test_the_entry_points_are_those_of_the_package() -> None:
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    project = tomllib.loads((FILE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (mounted,) = metadata.distributions(path=[str(FILE.parent / "tests" / "compose")])
    found: dict[str, dict[str, str]] = {}
    for entry in mounted.entry_points:
        found.setdefault(entry.group, {})[entry.name] = entry.value
    assert found == {**project["entry-points"], "console_scripts": project["scripts"]}
    assert (mounted.name, mounted.version) == (project["name"], dag_retry.__version__)


def test_callbacks_log_in_as_the_user_whom_init_makes() -> None:
    create, reset = (words for words in airflow_commands() if words[0] == "users")
    for words in (create, reset):
        assert words[words.index("--username") + 1] == "$AIRFLOW__DAG_RETRY__API_USERNAME"
    assert reset[reset.index("--password") + 1] == "$AIRFLOW__DAG_RETRY__API_PASSWORD"
    for setting in ("AIRFLOW__DAG_RETRY__API_USERNAME", "AIRFLOW__DAG_RETRY__API_PASSWORD"):
        assert ENVIRONMENT[setting]


def test_components_trust_each_other() -> None:
    # Airflow signs with HS512, for which a shorter key is too weak.
    assert len(ENVIRONMENT["AIRFLOW__API_AUTH__JWT_SECRET"].encode()) >= 64
    execution_api = ENVIRONMENT["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert execution_api == f"{ENVIRONMENT['AIRFLOW__DAG_RETRY__API_URL']}/execution/"


def test_airflow_uses_the_database_that_is_made() -> None:
    database = urlsplit(ENVIRONMENT["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    assert database.hostname == "postgres"
    assert SERVICES["postgres"]["environment"] == {
        "POSTGRES_USER": database.username,
        "POSTGRES_PASSWORD": database.password,
        "POSTGRES_DB": database.path.removeprefix("/"),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_says_whether_it_is_healthy(service: str) -> None:
    if service == ONE_SHOT:
        assert "healthcheck" not in SERVICES[service]
    else:
        how, *command = SERVICES[service]["healthcheck"]["test"]
        assert how == "CMD"
        assert command


@pytest.mark.parametrize("service", SERVICES)
def test_waits_for_services_that_can_be_waited_for(service: str) -> None:
    for other, waits in SERVICES[service].get("depends_on", {}).items():
        assert other in SERVICES
        ends = "service_completed_successfully" if other == ONE_SHOT else "service_healthy"
        assert waits == {"condition": ends}


@pytest.mark.parametrize("service", SERVICES)
def test_is_open_to_this_machine_only(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_redis_forgets_nothing() -> None:
    program, *options = shlex.split(SERVICES["redis"]["command"])
    assert program == "redis-server"
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        "--appendonly": "yes",
        "--maxmemory-policy": "noeviction",
    }
    assert mounts("redis") == {"/data": ("redis", "rw")}


def test_a_person_sees_a_run_come_back() -> None:
    trigger, watch = commands_of_a_person()
    assert trigger[:2] == ["dags", "trigger"]
    assert (FILE.parent / "tests/demo/dags" / f"{trigger[2]}.py").is_file()
    assert watch == ["dag-retry", "watch"]


PARSE = """
import json, sys
from airflow.cli.cli_parser import get_parser
parser = get_parser()
for words in json.load(sys.stdin):
    parser.parse_args(words)
"""


def health_of_the_sweeper(url: str) -> subprocess.CompletedProcess[str]:
    how, python, *script = SERVICES["sweeper"]["healthcheck"]["test"]
    assert (how, python) == ("CMD", "python")
    environment = {**os.environ, "AIRFLOW__DAG_RETRY__REDIS_URL": url}
    return subprocess.run([sys.executable, *script], env=environment, capture_output=True, text=True, check=False)


def test_the_sweeper_is_healthy_while_it_looks_and_reaches_airflow(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        assert "no sweep for" in health_of_the_sweeper(redis_url).stderr
        heartbeats = Heartbeats(client)
        heartbeats.beat("here", "http://api-server:8080")
        assert health_of_the_sweeper(redis_url).returncode == 0
        heartbeats.beat("here", "http://api-server:8080", fault="http_401", fault_text="the password is wrong")
        assert "Airflow is out of reach: b'http_401'" in health_of_the_sweeper(redis_url).stderr
        heartbeats.beat("here", "http://api-server:8080")
        assert health_of_the_sweeper(redis_url).returncode == 0
        (key,) = client.keys("*:sweeper")
        client.hincrby(key, "at", -200_000)
        assert "no sweep for 20" in health_of_the_sweeper(redis_url).stderr


@pytest.mark.parametrize(
    ("distribution", "of_users"), [("apache-airflow-core", False), ("apache-airflow-providers-fab", True)]
)
def test_airflow_knows_the_commands(distribution: str, of_users: bool, container: Path, tmp_path: Path) -> None:
    commands = [words for words in airflow_commands() if (words[0] == "users") == of_users]
    assert commands
    run_in_airflow(distribution, tmp_path, PARSE, commands, pythonpath(container))


LOOK_UP = """
import json, sys
from airflow.configuration import conf
sections = conf.configuration_description
unknown = [(s, k) for s, k in json.load(sys.stdin) if k not in sections.get(s, {"options": {}})["options"]]
assert not unknown, unknown
"""


def test_airflow_knows_the_settings(tmp_path: Path) -> None:
    names = [name.lower().split("__")[1:] for name in ENVIRONMENT if name.startswith("AIRFLOW__")]
    settings = [(section, key) for section, key in names if section != "dag_retry"]
    assert settings
    run_in_airflow("apache-airflow-core", tmp_path, LOOK_UP, settings)
