"""The real Lua scripts, as a function: a record and a call in, a record and an answer out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import fakeredis

from dag_retry._reasons import SETTLED
from dag_retry._redis.keys import Keys

DAG, RUN = "daily_load", "run"
EPOCH = 1_800_000_000
TTL = 30 * 24 * 3600 * 1000
_KEYS = Keys("dag-retry")
_RUN_KEY, _ACTIVE, _ATTENTION, *_ = _KEYS.of(DAG, RUN)


class Record:
    """What Redis knows of the run. Equal records are the same object, which makes them cheap to compare."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.status = fields["status"]
        self.generation = int(fields["generation"])
        self._due_at = int(fields["due_at"])
        self.at_rest = self._due_at == 0
        self.is_untold = self.status in ("exhausted", "blocked", "skipped") and not self.at_rest
        self.is_for_sweepers = not self.at_rest and not (self.is_untold and "own_hooks" in fields["flags"])
        self.ended = self.status in ("succeeded", "exhausted", "skipped") or (self.status == "blocked" and self.at_rest)

    def is_due(self, minutes: int) -> bool:
        return self.is_for_sweepers and self._due_at <= (EPOCH + 60 * minutes) * 1000

    def __repr__(self) -> str:
        return f"{self.status} in {self.generation}"


class Scripts:
    """Runs each script on an embedded Redis, once for each record, call and time.

    :param texts: the scripts by verb.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._redis: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        self._records: dict[frozenset[tuple[str, str]], Record] = {}
        self._known: dict[Any, tuple[Record | None, Any]] = {}

    def run(self, record: Record | None, minutes: int, verb: str, args: tuple[Any, ...]) -> tuple[Record | None, Any]:
        """Return what becomes of the record, and the script's answer.

        :param record: before.
        :param minutes: the time by Redis's clock.
        :param verb: the script.
        :param args: its ARGV.
        """
        question = (record, minutes, verb, args)
        if question not in self._known:
            self._known[question] = self._run(*question)
        return self._known[question]

    def _run(self, record: Record | None, minutes: int, verb: str, args: tuple[Any, ...]) -> tuple[Record | None, Any]:
        redis = self._redis
        # The keys that runs share stay: the scripts would only make them anew.
        redis.delete(_RUN_KEY, _ACTIVE, _ATTENTION)
        if record:
            redis.hset(_RUN_KEY, mapping=record.fields)
            for key, score in _indexes(record).items():
                redis.zadd(key, {f"{DAG}:{RUN}": score})
                redis.pexpire(key, TTL)
        # Redis's clock stands still, but for the minutes that pass.
        clock = SimpleNamespace(time=lambda: EPOCH + 60 * minutes)
        with patch("fakeredis.commands_mixins.server_mixin.time", clock):
            keys = _KEYS.of(DAG, RUN)
            answer = redis.eval(self._texts[verb], len(keys), *keys, json.dumps(dict(args)))
        fields = redis.hgetall(_RUN_KEY)
        if fields:
            fields["lost"] = "0"  # who lost decides nothing
        after = self._records.setdefault(frozenset(fields.items()), Record(fields)) if fields else None
        if after is not record:
            self._check(after)
        return after, tuple(answer) if isinstance(answer, list) else answer

    def _check(self, record: Record | None) -> None:
        """G8, and indexes that say what the record says."""
        assert all(self._redis.pttl(key) > 0 for key in self._redis.scan_iter())
        found = {key: self._redis.zscore(key, f"{DAG}:{RUN}") for key in (_ACTIVE, _ATTENTION)}
        assert {key: score for key, score in found.items() if score is not None} == (
            {key: float(score) for key, score in _indexes(record).items()} if record else {}
        )


def _indexes(record: Record) -> dict[str, str]:
    """Return the score of the run in each index that must hold it."""
    fields = record.fields
    held = {}
    if record.status == "retrying" or (record.is_untold and not record.is_for_sweepers):
        held[_ACTIVE] = str(int(fields["updated_at"]) + TTL)
    elif not record.at_rest:
        held[_ACTIVE] = fields["due_at"]
    settled = fields["reason"] in SETTLED or record.generation < 0
    if record.status in ("exhausted", "blocked", "skipped", "unclaimed") and not settled:
        held[_ATTENTION] = fields["updated_at"]
    return held
