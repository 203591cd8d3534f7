"""The section ``[dag_retry]`` of Airflow's configuration: each option once, with its parser, default and description.

The reader (:mod:`dag_retry._airflow.section`), the provider's info and the tables of settings in
``src/dag_retry/README.md`` come from :data:`OPTIONS`. Every process of Airflow loads this module with the provider's
info, so it imports nothing of Airflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from dag_retry._defaults import MAX_ATTEMPTS, NAMESPACE, TTL

REDIS_CONNECTION = "dag_retry_redis"
API_CONNECTION = "dag_retry_api"
"""The Connection types of the provider, and the Connection ids in examples. Nothing looks up a Connection by them."""

REASONS = ("task_failure", "timed_out", "all_tasks_deadlocked")
"""The values of ``reason`` in the context that Airflow gives to a Dag's failure callback.

Source: ``DagRun.update_state``, and for the time-out ``SchedulerJobRunner._schedule_dag_run`` (3.2.2 and 3.3.2).
"""


class Parser(NamedTuple):
    """How an option is parsed, and which values are right.

    :param type: Airflow's name of the type (``provider_info.schema.json``).
    :param getter: the method of Airflow's ``conf`` that parses the option.
    :param right: what a right value is, for messages; ``{example}`` stands for the option's example.
    :param fits: returns whether a value is right.
    :param convert: converts what the getter returns into the value.
    :param right_argument: what a right argument of ``DagRetry`` is, if it differs from ``right``.
    """

    type: Literal["string", "integer", "float", "boolean"]
    getter: Literal["get", "getint", "getfloat", "getboolean", "getlist"]
    right: str = ""
    fits: Callable[[Any], bool] = lambda _: True
    convert: Callable[[Any], Any] = lambda value: value
    right_argument: str = ""


class Option(NamedTuple):
    """One option.

    :param parser: how the option is parsed and checked.
    :param description: what the option does.
    :param default: the default, written as in the section; None if there is none.
    :param example: a value to copy.
    :param secret: Airflow hides the value, and also takes it from ``AIRFLOW__DAG_RETRY__<OPTION>_CMD`` and ``_SECRET``.
    :param version_added: the first release that has the option.
    """

    parser: Parser
    description: str
    default: str | int | float | bool | None = None
    example: str | None = None
    secret: bool = False
    version_added: str = "0.2.0"


def seconds(value: object) -> timedelta | None:
    """Return the duration of a number of seconds, or of a text that holds one; None if there is no such duration."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _number(value: Any, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < math.inf


def _whole(least: int, hint: str = "") -> Parser:
    right = f"a whole number of {least} or more, e.g. {{example}}{hint}"
    return Parser("integer", "getint", right, lambda value: isinstance(value, int) and _number(value, least))


def _word(*words: str) -> Parser:
    return Parser("string", "get", " or ".join(map(repr, words)), lambda value: value in words)


_TEXT = Parser("string", "get")
_LIST = Parser("string", "getlist", convert=lambda items: [item for item in items if item])
_FLAG = Parser("boolean", "getboolean", "True or False", lambda value: isinstance(value, bool))
_FACTOR = Parser("float", "getfloat", "a number of 1 or more, e.g. {example}", lambda value: _number(value, 1))
_SECONDS = Parser(
    "float",
    "getfloat",
    "seconds, 0 or more, e.g. {example}",
    lambda value: isinstance(value, timedelta) and value >= timedelta(0),
    seconds,
    "a timedelta that is not negative, e.g. timedelta(minutes=5)",
)
_TIMEOUT = Parser(
    "float",
    "getfloat",
    "seconds from 1 to 45, e.g. {example}",
    lambda value: isinstance(value, timedelta) and timedelta(seconds=1) <= value <= timedelta(seconds=45),
    seconds,
)


def _hook(name: str, when: str) -> Option:
    return Option(_LIST, f"Hooks, module:function, called {when}.", example=f"our_alerts:{name}")


OPTIONS: dict[str, Option] = {
    "max_attempts": Option(
        _whole(1, " (to switch retries off, take the callbacks off the Dag)"),
        f"How often a failed Dag run is cleared, unless its Dag or the run says otherwise: {MAX_ATTEMPTS} times "
        "if this is not set. If this is set, a sweeper also retries failures that no callback has claimed.",
        example="5",
    ),
    "max_attempts_limit": Option(
        _whole(0), "The most attempts that a Dag or a run may ask for; 0 for no limit.", 20, "10"
    ),
    "delay": Option(
        _LIST,
        "Seconds before each attempt, or several with commas between them: the last one holds for all further "
        "attempts. A sweeper clears the run when its delay is over.",
        example="300",
    ),
    "backoff": Option(_FACTOR, "The delay is multiplied with this for each further attempt.", 1, "2"),
    "max_delay": Option(_SECONDS, "Seconds to which a delay grows at most, without its jitter.", example="3600"),
    "jitter": Option(_SECONDS, "Up to so many seconds are added to each delay, at random.", example="30"),
    "max_elapsed": Option(
        _SECONDS, "Seconds after the budget's first failure; no attempt begins later.", example="86400"
    ),
    "scope": Option(
        _word("run", "failed"),
        "What is cleared: the whole 'run', or the tasks that 'failed' and those after them.",
        "run",
        "failed",
    ),
    "run_on_latest_version": Option(
        _FLAG,
        "Whether an attempt runs with the latest version of the Dag; else Airflow's own settings of that name decide.",
        False,
        "True",
    ),
    "retry_on": Option(
        _LIST,
        "Names of exceptions: no other exception is retried.",
        example="requests.exceptions.ConnectionError,TimeoutError",
    ),
    "give_up_on": Option(_LIST, "Names of exceptions that are not retried.", example="ValueError,KeyError"),
    "task_ids": Option(_LIST, "The tasks whose failure is retried; else all.", example="extract,load"),
    "reasons": Option(
        _LIST,
        f"Airflow's reasons for a failed run that are retried at the Dag level: {', '.join(REASONS)}; else all.",
        example="task_failure,timed_out",
    ),
    "skip_if_newer_run": Option(
        _FLAG, "Whether a run is left alone once a newer run of its Dag has succeeded.", False, "True"
    ),
    "on_retry": _hook("retry", "when a run has been cleared, or its delay begins"),
    "on_exhausted": _hook("exhausted", "once when every attempt has failed"),
    "on_blocked": _hook("blocked", "once when Airflow refused the clear for good"),
    "on_skipped": _hook("skipped", "once when a failure is not retried"),
    "on_succeeded": _hook("succeeded", "when a run that had failed succeeded"),
    "on_manual_clear": Option(
        _word("start_fresh", "keep"),
        "What a clear by hand of a run that had ended begins: a fresh budget ('start_fresh'), or none ('keep').",
        "start_fresh",
        "keep",
    ),
    "attach_to_tags": Option(
        _LIST,
        "Dags with one of these tags are retried, though their files do not name this package; * for all Dags. A Dag "
        "with a DagRetry of its own keeps that.",
        example="nightly,etl",
    ),
    "attach_to_owners": Option(
        _LIST, "So are Dags with a task of one of these owners; * for all Dags.", example="data-platform"
    ),
    "redis_url": Option(
        _TEXT,
        "Where attempts are counted: redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://.",
        example="redis://:password@redis.example.com:6379/0",
        secret=True,
    ),
    "redis_conn_id": Option(
        _TEXT, "The Airflow Connection that says where Redis is, in place of redis_url.", example=REDIS_CONNECTION
    ),
    "namespace": Option(
        _TEXT,
        "The hash tag of all keys in Redis, of letters, digits, '.', '_' and '-': one for each deployment or team that "
        "shares a Redis.",
        NAMESPACE,
        "team-a",
    ),
    "ttl": Option(
        _SECONDS,
        "For how many seconds Redis keeps the record of a run after its last change.",
        TTL // timedelta(seconds=1),
        "604800",
    ),
    "wait_replicas": Option(
        _whole(0), "How many replicas must have a claim before the run is cleared. Not for a Cluster.", 0, "1"
    ),
    "api_url": Option(
        _TEXT,
        "Where tasks, the dag processor and sweepers reach Airflow's REST API; else [api] base_url.",
        example="https://airflow.example.com",
    ),
    "api_conn_id": Option(
        _TEXT,
        "The Airflow Connection that holds the address of the REST API and all that goes with it, in place of every "
        "other option api_….",
        example=API_CONNECTION,
    ),
    "api_token": Option(_TEXT, "A bearer token for the REST API.", example="eyJhbGciOiJIUzUxMiJ9…", secret=True),
    "api_username": Option(
        _TEXT, "Who logs in to the REST API: a user who may edit the runs of the Dags.", example="retry"
    ),
    "api_password": Option(_TEXT, "The password of api_username.", example="secret", secret=True),
    "api_client_id": Option(_TEXT, "The client that logs in with client_credentials (Keycloak).", example="retry"),
    "api_client_secret": Option(_TEXT, "The secret of api_client_id.", example="secret", secret=True),
    "api_token_callable": Option(
        _TEXT,
        "A function without arguments, module:function, that returns a bearer token: for Composer, Astro or Vault.",
        example="my_company.airflow:token",
    ),
    "api_token_path": Option(
        _TEXT, "The path below api_url where a user or client logs in.", "/auth/token", "/auth/token"
    ),
    "api_timeout": Option(
        _TIMEOUT,
        "The seconds that Airflow has for each answer. A clear that takes longer is not sent again for a minute.",
        10,
        "30",
    ),
    "api_ca_file": Option(
        _TEXT,
        "The PEM file of the only CA that is trusted; else those of requests (REQUESTS_CA_BUNDLE, certifi).",
        example="/etc/ssl/company-ca.pem",
    ),
    "api_proxy": Option(
        _TEXT,
        "The proxy on the way to the REST API; else that of the environment (HTTPS_PROXY, NO_PROXY).",
        example="http://proxy.example.com:3128",
        secret=True,
    ),
}
