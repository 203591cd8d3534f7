"""Each Lua file opens with its contract: what the header promises is what the body does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dag_retry.cli.prometheus import EVENTS

LUA = Path(__file__).parents[1] / "lua"
FILES = sorted(LUA.glob("*.lua"))
STANDALONE = ("record", "due", "events", "members", "statuses", "rights", "numbers")
"""Not verbs: they take keys of their own."""
INNER = ("not failed", "'{' .. namespace .. '}:v1:' .. name")
"""What functions within a script return."""
VERBS = [file for file in FILES if file.stem not in STANDALONE]


def parts(file: Path) -> tuple[str, str]:
    """Return the header (its comment signs taken off) and the body."""
    text = file.read_text(encoding="utf-8")
    header = re.match(r"(?:--.*\n)+", text)
    assert header, f"{file.name} does not open with a comment"
    return re.sub(r"(?m)^--[ ]?", "", header.group()), text[header.end() :]


def section(header: str, title: str) -> str:
    found = re.search(rf"(?ms)^{title}.*?:\n(.*?)(?:\n\n|\Z)", header)
    return found.group(1) if found else ""


def documented(header: str, title: str) -> dict[int, str]:
    return {int(n): name for n, name in re.findall(r"(?m)^  \[(\d+)\]\s+(\w+)", section(header, title))}


def bound(body: str, array: str) -> dict[int, str]:
    """Return which local each element is bound to, in `local name = ARGV[n]` or `local a, b = KEYS[1], KEYS[2]`."""
    names: dict[int, str] = {}
    for left, right in re.findall(r"(?m)^local ([\w, ]+) = (.*)$", body):
        values = re.findall(rf"{array}\[(\d+)\]", right)
        if values:
            names.update(zip(map(int, values), left.split(", "), strict=True))
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_arguments(file: Path) -> None:
    header, body = parts(file)
    promised = documented(header, "ARGV")
    found = bound(body, "ARGV")
    # `error` is a function of Lua's own, so its local has a longer name.
    assert {n: name.removesuffix("_type") for n, name in found.items()} == promised
    assert {int(n) for n in re.findall(r"ARGV\[(\d+)\]", body)} == set(promised)
    first = 1 if file.stem in STANDALONE else 4
    assert sorted(promised) == list(range(first, first + len(promised)))


def test_keys() -> None:
    header, body = parts(LUA / "record.lua")
    assert bound(body, "KEYS") == documented(header, "KEYS") == {
        1: "run_key", 2: "due_key", 3: "active_key", 4: "attention_key",
        5: "recent_key", 6: "events_key", 7: "stats_key", 8: "dag_stats_key",
    }  # fmt: skip


@pytest.mark.parametrize("file", VERBS, ids=lambda file: file.name)
def test_verbs_take_their_keys_from_the_record(file: Path) -> None:
    header, body = parts(file)
    assert header.startswith(f"{file.stem}: ")
    assert "KEYS and ARGV[1] to ARGV[3]: record.lua." in header
    assert "KEYS" not in body


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.stem not in ("claim", "record")], ids=lambda file: file.name
)
def test_returns(file: Path) -> None:
    header, body = parts(file)
    promised = set(re.findall(r"(?m)^  (\d|\{.*?\})\s{2,}\S", section(header, "Returns")))
    returned = set(re.findall(r"(?m)^\s*return (.*)$", body))
    short = {
        "redis.call('HGETALL', run_key)": "{field, value, ...}",
        "{verdict, unpack(redis.call('HGETALL', run_key))}": "{verdict, field, value, ...}",
        "statuses": "{status, ...}",
        "{found, rank - first - offset, rank > last and 1 or 0}": "{found, looked_at, over}",
        "{wait, unpack(due)}": "{wait, member, ...}",
        "refused": "{refusal, ...}",
        "numbers": "{name, number, ...}",
        **dict.fromkeys(INNER),
    }
    assert {short.get(value, value) for value in returned} - {None} == promised


def test_answers_of_claim() -> None:
    header, body = parts(LUA / "claim.lua")
    promised = set(re.findall(r"(?m)^  '(\w+)'\s+'([\w<>]+)'", section(header, "Returns")))
    verdicts = {verdict for verdict, _ in promised}
    assert verdicts == {"won", "lost", "exhausted", "skipped"}
    reasons = {reason for _, reason in promised}
    lost = {reason for verdict, reason in promised if verdict == "lost"}
    lose = {name for name in re.findall(r"lose\('?(.*?)'?\)", body) if name != "reason"}
    assert {name.replace("already_' .. record.status", "already_<status>") for name in lose} == lost
    named = set(re.findall(r"'(claimed|fresh_budget|max_attempts|generation|max_elapsed)'", body))
    named |= set(re.findall(r"change.reason = waited and '(\w+)' or '(\w+)'", (LUA / "record.lua").read_text())[0])
    assert named == reasons - lost - {"<skip>"}


def called(file: Path) -> set[str]:
    """Return the commands that a script calls."""
    return set(re.findall(r"redis\.p?call\('(\w+)'", file.read_text()))


def test_metrics_know_every_event() -> None:
    emitted: set[str] = set()
    for file in FILES:
        emitted.update(re.findall(r"(?:save|emit)\((?:not waited and )?'(\w+)'", parts(file)[1]))
    assert "save(verdict, " in (LUA / "claim.lua").read_text()
    emitted |= {"won", "exhausted", "skipped"}
    assert "save(status, " in (LUA / "block.lua").read_text()
    emitted |= {"blocked", "skipped"}
    assert set(EVENTS) == emitted


def test_rights_tries_what_the_verbs_call() -> None:
    tried = set(re.findall(r"try\('(\w+)'", (LUA / "rights.lua").read_text()))
    verbs = {command for file in [*VERBS, LUA / "record.lua", LUA / "due.lua"] for command in called(file)}
    assert tried == verbs


@pytest.mark.parametrize("name", ["due", "events", "numbers"])
def test_readers_change_nothing(name: str) -> None:
    reading = {"TIME", "ZCARD", "ZCOUNT", "ZRANGEBYSCORE", "XLEN", "HGETALL"}
    assert called(LUA / f"{name}.lua") <= reading
    body = parts(LUA / f"{name}.lua")[1]
    assert set(re.findall(r"redis\.call\((\w+)", body)) <= {"command"}
    assert "command" not in body or "'XRANGE' or 'XREVRANGE'" in body
