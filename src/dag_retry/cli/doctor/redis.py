"""Checks of Redis: whether it answers, is new enough, runs the scripts, and keeps what is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dag_retry._airflow import section
from dag_retry._callback import deployment
from dag_retry._errors import ConfigError, CounterError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys
from dag_retry._redis.record import text
from dag_retry._redis.scripts import script
from dag_retry.cli.doctor.finding import Finding, refused

_OLDEST = (6, 2)
_MEMORY_SHARE = 0.9


def examine(client: Any) -> Iterator[Finding]:
    """Yield the findings about the deployment's Redis.

    :param client: a client that does not decode answers.
    """
    keys = Keys(section.get("namespace"))
    try:
        deployment.overview(client).now()
    except CounterError as error:
        yield refused("Redis", error)
        return
    yield Finding("Redis", "ok", "answers")
    node = _node(client, keys)
    yield _version(node)
    yield from _rights(client, keys)
    yield _reads(client)
    try:
        with counter_errors(client):
            info = node.info("persistence") | node.info("memory")
    except CounterError:
        yield Finding(
            "persistence, eviction, memory",
            "unknown",
            "this user may not ask for them (INFO)",
            "run doctor as an administrator, or see that Redis has appendonly yes and maxmemory-policy noeviction",
        )
        return
    yield _persistence(node, info)
    yield _eviction(info)
    yield _memory(info)


def not_connected(error: ConfigError | CounterError) -> Finding:
    """Return the finding for an error that left no client to check Redis with."""
    if isinstance(error, CounterError):
        return refused("Redis", error)
    return Finding("Redis", "fault", "its settings are not usable", str(error))


def _node(client: Any, keys: Keys) -> Any:
    """Return a client of the node that holds the keys. No other node of a Cluster matters."""
    if hasattr(client, "get_node_from_key"):
        return client.get_redis_connection(client.get_node_from_key(keys.events()))
    return client


def _version(node: Any) -> Finding:
    check = "Redis version"
    try:
        with counter_errors(node):
            answer = node.execute_command("HELLO")
    except CounterError as error:
        if "unknown command" in str(error):
            return Finding(check, "fault", "older than 6", "upgrade it: Redis 6.2 or newer, or Valkey")
        return refused(check, error, "unknown")
    parts = answer.items() if isinstance(answer, Mapping) else zip(answer[::2], answer[1::2], strict=True)
    about = {text(name): value for name, value in parts}
    version = text(about["version"])
    found = f"{text(about['server'])} {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return Finding(check, "fault", found, "upgrade it: Redis 6.2 or newer, or Valkey")
    return Finding(check, "ok", found)


def _rights(client: Any, keys: Keys) -> Iterator[Finding]:
    from redis.exceptions import ResponseError

    check = "scripts"
    own = [keys.run("dag_retry_doctor", of) for of in ("hash", "zset", "stream")]
    try:
        with counter_errors(client):
            client.eval(script("rights").text, len(own), *own)
            refusals = [text(refusal) for refusal in client.evalsha(script("rights").sha, len(own), *own)]
    except CounterError as error:
        yield refused(check, error)
        return
    if not refusals:
        yield Finding(check, "ok", "this user may run them, and each of their commands")
    # One cause, such as full memory, may refuse many commands. It is one fault.
    commands: dict[str, list[str]] = {}
    for command, _, said in (refusal.partition(": ") for refusal in refusals):
        commands.setdefault(said, []).append(command)
    for said, refused_ones in commands.items():
        try:
            with counter_errors(client):
                raise ResponseError(f"{', '.join(refused_ones)}: {said}")
        except CounterError as error:
            yield refused(check, error)


def _reads(client: Any) -> Finding:
    check = "reads of the command line and the page"
    overview = deployment.overview(client)
    try:
        sizes = overview.sizes()
        overview.runs("attention", statuses=[""], limit=1)
        overview.outcomes(since=sizes.now)
        overview.events(limit=1)
        overview.stats()
    except CounterError as error:
        return refused(check, error, "warning")
    return Finding(check, "ok", f"{sizes.active} active, {sizes.attention} need a human, {sizes.overdue} overdue")


def _persistence(node: Any, info: Mapping[str, Any]) -> Finding:
    check = "persistence"
    appends = bool(info.get("aof_enabled"))
    failed = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if info.get(name, "ok") != "ok"]
    if failed:
        return Finding(check, "fault", f"{failed[0]} is {info[failed[0]]}", "read Redis's log; often a disk is full")
    if appends:
        return Finding(check, "ok", "append-only file")
    try:
        with counter_errors(node):
            saves = text(next(iter(node.config_get("save").values()), ""))
    except CounterError:
        saves = None
    if saves == "":
        found = "none: a restart forgets every attempt"
    else:
        found = "snapshots only: a crash forgets the last minutes" if saves else "no append-only file"
    return Finding(
        check, "warning", found, "set appendonly yes. (Without it Airflow's clear_number still holds the cap.)"
    )


def _eviction(info: Mapping[str, Any]) -> Finding:
    check = "eviction"
    policy = text(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return Finding(check, "ok", policy)
    return Finding(
        check,
        "fault" if info.get("maxmemory") else "warning",
        f"maxmemory-policy is {policy}: Redis may evict records, and so forget attempts",
        "set maxmemory-policy noeviction, or give dag-retry a Redis of its own",
    )


def _memory(info: Mapping[str, Any]) -> Finding:
    check = "memory"
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    found = (
        f"{used / 2**20:.0f} MiB used of {most / 2**20:.0f} MiB" if most else f"{used / 2**20:.0f} MiB, no maxmemory"
    )
    if most and used >= most:
        return Finding(check, "fault", f"{found}: it is full", "raise maxmemory, or free some")
    if most and used >= _MEMORY_SHARE * most:
        return Finding(check, "warning", f"{found}: it is nearly full", "raise maxmemory, or free some")
    return Finding(check, "ok", found)
