"""Each Lua file opens with its contract: what the header promises is what the body does."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dag_retry import AttemptCounter, Claim, FailedTry, Verdict
from dag_retry._reasons import REASONS, SETTLED, reason_of
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.scripts import script
from dag_retry.cli.prometheus import EVENTS

LUA = Path(__file__).parents[1] / "lua"
SOURCE = Path(__file__).parents[1] / "src" / "dag_retry"
FILES = sorted(LUA.glob("*.lua"))
STANDALONE = [
    LUA / f"{name}.lua"
    for name in ("due", "events", "members", "statuses", "rights", "numbers", "heartbeat", "quarantine")
]
"""Not verbs: they take keys and arguments of their own."""
RECORD = LUA / "record.lua"
VERBS = [file for file in FILES if file not in (*STANDALONE, RECORD)]
OPTIONAL = {"INFO"}
"""Commands that a user need not have the right to."""
INNER = ("not failed", "'{' .. namespace .. '}:v1:' .. name")
"""What functions within a script return."""


def parts(file: Path) -> tuple[str, str]:
    """Return the header (its comment signs taken off) and the body."""
    text = file.read_text(encoding="utf-8")
    header = re.match(r"(?:--.*\n)+", text)
    assert header, f"{file.name} does not open with a comment"
    return re.sub(r"(?m)^--[ ]?", "", header.group()), text[header.end() :]


def section(header: str, title: str) -> str:
    found = re.search(rf"(?ms)^{re.escape(title)}.*?:\n(.*?)(?:\n\n|\Z)", header)
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


def named(file: Path) -> dict[str, bool]:
    """Return the arguments that a verb's header names, and whether each has a default."""
    title = "ARGV[1] is one JSON object" if file == RECORD else "ARGV[1], a JSON object, besides"
    arguments = re.findall(r"(?m)^  (\w+)((?:.*\n?)(?:    .*\n?)*)", section(parts(file)[0], title))
    return {name: "Default:" in text for name, text in arguments}


def used(lua: str) -> Counter[str]:
    """Return which arguments a script uses, and how often."""
    return Counter(re.findall(r"\bargs\.(\w+)", lua))


def function(body: str, name: str) -> str:
    """Return the text of a function."""
    found = re.search(rf"(?ms)^local function {name}\(.*?^end$", body)
    assert found
    return found.group()


@pytest.mark.parametrize("file", STANDALONE, ids=lambda file: file.name)
def test_arguments_in_order(file: Path) -> None:
    header, body = parts(file)
    promised = documented(header, "ARGV")
    assert bound(body, "ARGV") == promised
    assert {int(n) for n in re.findall(r"ARGV\[(\d+)\]", body)} == set(promised)
    assert sorted(promised) == list(range(1, 1 + len(promised)))
    assert "args." not in body


class TestNamedArguments:
    """Each verb takes the record's, and those that its own header names."""

    def test_of_the_record(self) -> None:
        body = parts(RECORD)[1]
        assert named(RECORD) == dict.fromkeys(("dag_id", "run_id", "ttl", "holder"), False)
        take_over = used(function(body, "take_over"))
        assert set(take_over) == {"claim_id", "lease"}
        assert set(used(body) - take_over) == set(named(RECORD))
        assert re.findall(r"\bARGV\b.*", body) == ["ARGV[1])"]

    @pytest.mark.parametrize("file", VERBS, ids=lambda file: file.name)
    def test_of_a_verb(self, file: Path) -> None:
        header, body = parts(file)
        assert not re.search(r"\bARGV\b", body)
        takes_over = used(function(parts(RECORD)[1], "take_over")) if "take_over(" in body else Counter[str]()
        assert set(used(body) + takes_over) - set(named(RECORD)) == set(named(file))
        assert not set(named(file)) & set(named(RECORD))
        assert ("ARGV[1]" in header) == bool(named(file))

    @pytest.mark.parametrize("file", VERBS, ids=lambda file: file.name)
    def test_what_is_sent(self, file: Path) -> None:
        """Every name that a header has can be sent, no other is, and only what has a default may be left out."""
        least, most = sent(file.stem)
        both = named(file) | named(RECORD)
        assert set(most) == set(both)
        assert set(least) == {name for name, has_default in both.items() if not has_default}
        for value in most.values():
            assert all(isinstance(text, str) for text in (value if isinstance(value, list) else [value]))


class Recorder:
    """Stands where the client does, and answers nothing."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}

    def evalsha(self, sha: str, *call: Any) -> Any:
        (verb,) = (file.stem for file in VERBS if script("record", file.stem).sha == sha)
        self.calls[verb] = json.loads(call[-1])
        raise AnsweredNothingError


class AnsweredNothingError(Exception):
    pass


CLAIM = Claim(Verdict.WON, "claimed", 1, 2, 0, "one", "d", "r", "w:1", FailedTry())
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "claim": (
        lambda client: AttemptCounter(client).claim("d", "r", generation=0, max_attempts=1),
        lambda client: AttemptCounter(client).claim(
            "d", "r", generation=0, max_attempts=1, claim_id="one", holder="w:1", takeover=True, level="dag",
            failed_try=FailedTry("t", 1, "i", "E"), clear_options=["only_failed"], own_hooks=True, skip="disabled",
            leave=True, delays=[timedelta(seconds=1)], max_elapsed=timedelta(hours=1),
            run_after=datetime.now(timezone.utc),
            run_started=datetime.now(timezone.utc), on_missing_record="start_fresh", on_manual_clear="keep",
        ),
    ),
    "succeed": (
        lambda client: AttemptCounter(client).succeed("d", "r"),
        lambda client: AttemptCounter(client).succeed("d", "r", generation=0, run_started=datetime.now(timezone.utc)),
    ),
    "confirm": (
        lambda client: AttemptCounter(client).confirm(CLAIM),
        lambda client: AttemptCounter(client).confirm(CLAIM, attempt=2),
    ),
    "block": (
        lambda client: AttemptCounter(client).block(CLAIM, reason="http_403"),
        lambda client: AttemptCounter(client).exhaust(CLAIM, reason="audit_log", attempt=2),
    ),
    "postpone": (
        lambda client: AttemptCounter(client).postpone(CLAIM, reason="dag_paused", pause=timedelta(0)),
        lambda client: AttemptCounter(client).postpone(
            CLAIM, reason="http_503", pause=timedelta(0), longest=timedelta(hours=1)
        ),
    ),
    "miss": (
        lambda client: DueRuns(client).miss("d", "r", queued_at=1, grace=timedelta(0), holder="s:1"),
        lambda client: DueRuns(client).miss("d", "r", queued_at=1, grace=timedelta(0), holder="s:1", run_started=1),
    ),
    **{
        verb: (call, call)
        for verb, call in {
            "renew": lambda client: AttemptCounter(client).renew(CLAIM),
            "forget": lambda client: AttemptCounter(client).forget(CLAIM),
            "withdraw": lambda client: AttemptCounter(client).withdraw(CLAIM),
            "acknowledge": lambda client: AttemptCounter(client).acknowledge(CLAIM),
            "hasten": lambda client: Interventions(client).hasten("d", "r"),
            "cancel": lambda client: Interventions(client).cancel("d", "r"),
            "retry": lambda client: Interventions(client).retry("d", "r"),
            "reset": lambda client: Interventions(client).reset("d", "r"),
            "take": lambda client: DueRuns(client).take("d", "r", holder="s:1"),
        }.items()
    },
}  # fmt: skip
"""How each verb is called: with as little, and with as much as there is."""


def sent(verb: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what goes to a verb that is called with as little, and with as much as there is."""
    recorder = Recorder()
    calls = []
    for call in CALLS[verb]:
        with pytest.raises(AnsweredNothingError):
            call(recorder)
        calls.append(recorder.calls.pop(verb))
    least, most = calls
    return least, most


def test_keys() -> None:
    header, body = parts(RECORD)
    assert bound(body, "KEYS") == documented(header, "KEYS") == {
        1: "run_key", 2: "active_key", 3: "attention_key", 4: "events_key",
        5: "stats_key", 6: "dag_stats_key", 7: "born_key",
    }  # fmt: skip


@pytest.mark.parametrize("file", STANDALONE, ids=lambda file: file.name)
def test_keys_of_their_own(file: Path) -> None:
    header, body = parts(file)
    # One takes as many as it is given, and one none.
    if file.stem not in ("statuses", "numbers"):
        assert bound(body, "KEYS") == documented(header, "KEYS") != {}
    assert "KEYS" in header


@pytest.mark.parametrize("file", VERBS, ids=lambda file: file.name)
def test_verbs_take_their_keys_from_the_record(file: Path) -> None:
    header, body = parts(file)
    assert header.startswith(f"{file.stem}: ")
    assert "KEYS, and what every verb takes: record.lua." in header
    assert "KEYS" not in body


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.stem not in ("claim", "record")], ids=lambda file: file.name
)
def test_returns(file: Path) -> None:
    header, body = parts(file)
    promised = set(re.findall(r"(?m)^  (\d|\{.*?\})\s{2,}\S", section(header, "Returns")))
    returned = {value.partition(" -- rule: ")[0] for value in re.findall(r"(?m)^\s*return (.*)$", body)}
    short = {
        "redis.call('HGETALL', run_key)": "{field, value, ...}",
        "{verdict, unpack(redis.call('HGETALL', run_key))}": "{verdict, field, value, ...}",
        "statuses": "{status, reason, ...}",
        "{found, rank - first - offset, rank > last and 1 or 0}": "{found, looked_at, over}",
        "{wait, unpack(due)}": "{wait, member, ...}",
        "refused": "{refusal, ...}",
        "{known.api, known.holder}": "{api, holder}",
        "numbers": "{name, number, ...}",
        **dict.fromkeys([*INNER, "status", "redis.error_reply('ERR the record is not of schema v1')"]),  # errors
    }
    assert {short.get(value, value) for value in returned} - {None} == promised


def test_answers_of_claim() -> None:
    header, body = parts(LUA / "claim.lua")
    promised = set(re.findall(r"(?m)^  '(\w+)'\s+'([\w<>]+)'", section(header, "Returns")))
    verdicts = {verdict for verdict, _ in promised}
    assert verdicts == {verdict.value for verdict in Verdict} == {"won", "lost", "exhausted", "skipped"}
    reasons = {reason for _, reason in promised}
    lost = {reason for verdict, reason in promised if verdict == "lost"}
    lose = {name for name in re.findall(r"lose\('?(.*?)'?\)", body) if name != "reason"}
    assert {name.replace("already_' .. record.status", "already_<status>") for name in lose} == lost
    known = set(re.findall(r"'(claimed|fresh_budget|max_attempts|generation|max_elapsed)'", body))
    known |= set(re.findall(r"'reason', waited and '(\w+)' or '(\w+)'", RECORD.read_text())[0])
    assert known == reasons - lost - {"<skip>"}


def test_fields_of_claims_answer() -> None:
    header, body = parts(LUA / "claim.lua")
    found = re.search(r"(?s)^Returns one JSON object with ([\w,\s]+)\.", header[header.index("Returns one") :])
    assert found
    assert re.findall(r"\b(\w+) = ", function(body, "answer")) == re.split(r",\s+", found.group(1))
    assert "return cjson.encode({" in function(body, "answer")
    assert "  return answer('lost', reason)\n" in function(body, "lose")
    for name in ("answer", "lose", "has_remembered", "of_deleted_run"):
        body = body.replace(function(body, name), "")
    returned = re.findall(r"(?m)^\s*return (.*)$", body)
    assert len(returned) == 5
    assert all(re.match(r"(answer|lose)\(", value) for value in returned)


def test_rules_have_names_of_their_own() -> None:
    """The simulation takes the line of each out, by its name."""
    marked = [line for file in FILES for line in parts(file)[1].splitlines() if "-- rule: " in line]
    rules = [line.partition("-- rule: ")[2] for line in marked]
    assert len(rules) > 15
    assert len(set(rules)) == len(rules)
    assert all(line.partition("--")[0].strip() for line in marked)


def called(file: Path) -> set[str]:
    """Return the commands that a script calls."""
    return set(re.findall(r"redis\.p?call\('(\w+)'", file.read_text()))


def test_metrics_know_every_event() -> None:
    emitted: set[str] = set()
    for file in FILES:
        emitted.update(re.findall(r"(?:save|emit|forget)\((?:not \w+ and )?'(\w+)'", parts(file)[1]))
    assert "save(verdict, " in (LUA / "claim.lua").read_text()
    emitted |= {"won", "exhausted", "skipped"}
    assert "save(status, " in (LUA / "block.lua").read_text()
    emitted |= {"blocked", "skipped", "exhausted"}
    assert set(EVENTS) == emitted


def test_rights_tries_what_the_verbs_call() -> None:
    tried = set(re.findall(r"try\('(\w+)'", (LUA / "rights.lua").read_text()))
    callers = [*VERBS, RECORD, *(LUA / f"{name}.lua" for name in ("due", "heartbeat", "quarantine"))]
    assert tried == {command for file in callers for command in called(file)} - OPTIONAL
    # A verb goes on without these.
    assert {
        command for file in callers for command in re.findall(r"redis\.pcall\('(\w+)'", file.read_text())
    } == OPTIONAL


WAY = ("login", "tls", "redirect", "not_airflow", "config", "connection", "api_away")


@pytest.mark.parametrize("code", [*WAY, "unanswered", "clear_in_progress", "http_500", "http_503"])
def test_what_ends_by_itself_asks_nobody_to_clear(code: str) -> None:
    """When the cause is mended, a sweeper goes on: nobody has to clear each run by hand."""
    reason = reason_of(code)
    assert reason.text
    assert re.search("[Aa] sweeper", reason.remedy)
    assert "clear the run by hand" not in reason.remedy


@pytest.mark.parametrize("name", ["due", "events", "members", "statuses", "numbers"])
def test_readers_change_nothing(name: str) -> None:
    reading = {"TIME", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "XLEN", "HGET", "HGETALL"}
    assert called(LUA / f"{name}.lua") <= reading
    body = parts(LUA / f"{name}.lua")[1]
    assert set(re.findall(r"redis\.call\((\w+)", body)) <= {"command"}
    assert "command" not in body or "'XRANGE' or 'XREVRANGE'" in body


def test_what_is_settled_needs_no_human() -> None:
    (settled,) = re.findall(r"(?m)^local SETTLED = \{(.*)\}$", RECORD.read_text())
    assert set(re.findall(r"(\w+) = true", settled)) == SETTLED <= REASONS.keys()


def test_every_reason_code_stands_once_with_its_meaning() -> None:
    """What Lua and Python write as a reason is in the table."""
    source = "".join(file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py") if file.name != "_reasons.py")
    written = set(re.findall(r"\breason=\"(\w+)\"", source))
    written |= set(
        re.findall(r"return \"((?:\w+_not_retryable)|retry_if|disabled|dag_paused\w*|newer_run_succeeded)\"", source)
    )
    written |= set(re.findall(r"(?m)^--   '\w+'\s+'(\w+)'", (LUA / "claim.lua").read_text()))
    for file in FILES:
        written |= set(re.findall(r"'reason', '(\w+)'", parts(file)[1]))
    assert {"stale", "due", "no_callback", "cancelled", "tls", "dag_paused_by_failures"} <= written
    assert written <= REASONS.keys()
    assert reason_of("http_418").text == "Airflow's API answered HTTP 418"
    assert "HTTP 500" in reason_of("http_500").text
    assert reason_of("already_claimed").text == "this generation is claimed already"
    assert reason_of("of_tomorrow").text == "of tomorrow"
