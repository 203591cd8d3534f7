"""Each Lua file opens with its contract: what the header promises is what the body does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LUA = Path(__file__).parents[1] / "lua"
FILES = sorted(LUA.glob("*.lua"))
VERBS = [file for file in FILES if file.name != "record.lua"]


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
    first = 1 if file.name == "record.lua" else 4
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


@pytest.mark.parametrize("file", [file for file in VERBS if file.stem != "claim"], ids=lambda file: file.name)
def test_returns(file: Path) -> None:
    header, body = parts(file)
    promised = set(re.findall(r"(?m)^  (\d|\{.*?\})\s{2,}\S", section(header, "Returns")))
    returned = set(re.findall(r"(?m)^\s*return (.*)$", body))
    whole_record = "redis.call('HGETALL', run_key)"
    assert {"{field, value, ...}" if value == whole_record else value for value in returned} == promised


def test_answers_of_claim() -> None:
    header, body = parts(LUA / "claim.lua")
    promised = set(re.findall(r"(?m)^  '(\w+)'\s+'([\w<>]+)'", section(header, "Returns")))
    verdicts = {verdict for verdict, _ in promised}
    assert verdicts == {"won", "lost", "exhausted"}
    reasons = {reason for _, reason in promised}
    lost = {reason for verdict, reason in promised if verdict == "lost"}
    lose = {name for name in re.findall(r"lose\('?(.*?)'?\)", body) if name != "reason"}
    assert {name.replace("already_' .. record.status", "already_<status>") for name in lose} == lost
    named = set(re.findall(r"answer\('\w+', '(\w+)'\)", body))
    named |= set(re.findall(r"'(claimed|fresh_budget|max_attempts|generation)'", body))
    assert named == reasons - lost
