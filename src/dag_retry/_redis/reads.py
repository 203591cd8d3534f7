"""Reads of what Redis holds, in pieces: each takes Redis some ms."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from dag_retry._errors import CounterError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import SCHEMA, Index, Keys, run_of
from dag_retry._redis.record import record_of, text
from dag_retry._redis.scripts import run_script, script
from dag_retry._redis.views import Event, Unreadable, number
from dag_retry._types import Status

if TYPE_CHECKING:
    from dag_retry._types import RunRecord

# One call asks for so many members of an index, or entries of the stream.
_CHUNK = 1000
# One call passes over so many members that are not wanted.
_LOOK_AT = 10_000
# Who looks for retried runs passes over so many others.
_MOST_ACTIVE = 200_000
# The stream is trimmed to about 10,000 entries (`KEPT_EVENTS` in lua/record.lua), never to fewer.
_MOST_EVENTS = 20_000

RunId: TypeAlias = tuple[str, str]
Placed: TypeAlias = tuple[int, RunId]


class Reads:
    """Reads lists piece by piece, and many records at once.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param keys: the names of the keys.
    """

    def __init__(self, client: Any, keys: Keys) -> None:
        self._redis = client
        self._keys = keys

    def members(
        self,
        index: Index,
        dag_ids: Collection[str] | None,
        scores: tuple[int | str, int | str],
        offset: int,
        most: float = math.inf,
    ) -> Iterator[list[Placed]]:
        """Yield the members of an index with their places.

        :param index: ``active``, the run that is due soonest first; or ``attention``, the run that changed last first.
        :param dag_ids: only runs of these Dags; None for all.
        :param scores: the lowest and the highest score, in ms, or ``-inf`` and ``+inf``.
        :param offset: how many members of these scores to leave out.
        :param most: before which place to stop.
        """
        order = "lowest" if index == "active" else "highest"
        over = 0
        while not over and offset < most:
            call = (self._keys.index(index), *scores, order, offset, _LOOK_AT, _CHUNK, _wanted(dag_ids))
            with self.errors():
                found, seen, over = run_script(self._redis, script("members"), 1, *call)
            if found:
                yield [(place, run_of(text(member))) for place, member in zip(found[::2], found[1::2], strict=True)]
            offset += seen

    def recent(self, dag_ids: Collection[str] | None, since: int | None, offset: int) -> Iterator[list[Placed]]:
        """Yield the runs that have events, each once, with their places: the run whose last event is newest first.

        :param dag_ids: only runs of these Dags; None for all.
        :param since: only runs with an event then or later, in ms.
        :param offset: how many runs to leave out.
        """
        met: dict[RunId, int] = {}
        last = "-" if since is None else str(since)
        for events in self.events("newest", "+", last, dag_ids, once=True):
            fresh = [run for event in events if (run := (event.dag_id, event.run_id)) not in met]
            met.update({run: len(met) + place for place, run in enumerate(fresh)})
            if placed := [(met[run], run) for run in fresh if met[run] >= offset]:
                yield placed

    def events(
        self,
        order: str,
        first: str,
        last: str,
        dag_ids: Collection[str] | None,
        *,
        run_id: str = "",
        once: bool = False,
    ) -> Iterator[list[Event]]:
        """Yield a stretch of the stream, about 1,000 entries at a time; ``lua/events.lua`` says more of each parameter.

        :param order: ``oldest`` or ``newest`` first.
        :param first: the id to begin at.
        :param last: the id to end at.
        :param dag_ids: only events of these Dags; None for all.
        :param run_id: only events of this run; empty for all.
        :param once: of each run in such a piece only the first event, and none of a callback that lost.
        """
        looked_at, seen = 0, _CHUNK
        while seen == _CHUNK and looked_at < _MOST_EVENTS:
            call = (self._keys.events(), first, last, order, _CHUNK, run_id, _wanted(dag_ids), int(once))
            with self.errors():
                found, seen, cursor = run_script(self._redis, script("events"), 1, *call)
            events = []
            for entry_id, flat in found:
                texts = [text(part) for part in flat]
                events.append(Event.of(text(entry_id), dict(zip(texts[::2], texts[1::2], strict=True))))
            yield events
            looked_at += seen
            first = f"({text(cursor)}"

    def retrying(self, now: int) -> dict[RunId, int]:
        """Return the runs that are ``retrying``, each with its generation: at most 10,000, which changed longest ago.

        This takes no more rights than a sweeper has.

        :param now: Redis's time. Such a run is looked at when its record ends, so later than now.
        """
        found: dict[RunId, int] = {}
        active = self._keys.index("active")
        for offset in range(0, _MOST_ACTIVE, _LOOK_AT):
            (members,) = self.ask(("ZRANGEBYSCORE", active, f"({now}", "+inf", "LIMIT", offset, _LOOK_AT))
            runs = [run_of(text(member)) for member in members]
            asked = (("HMGET", self._keys.run(*run), "status", "generation") for run in runs)
            for run, answer in zip(runs, self.ask(*asked, foreign=True), strict=True):
                if isinstance(answer, list) and text(answer[0]) == Status.RETRYING.value:
                    found[run] = number(answer[1])
            if len(members) < _LOOK_AT or len(found) >= _LOOK_AT:
                break
        return dict(islice(found.items(), _LOOK_AT))

    def statuses(self, runs: list[RunId]) -> list[tuple[str, str]]:
        """Return the status of each of these runs ('' where there is no record), and the reason if the run is skipped.

        :param runs: the runs, each with its Dag.
        """
        if not runs:
            return []
        with self.errors():
            keys = [self._keys.run(*each) for each in runs]
            flat = [text(answer) for answer in run_script(self._redis, script("statuses"), len(keys), *keys)]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def records(self, runs: list[RunId]) -> list[RunRecord | Unreadable | None]:
        """Return the record of each of these runs, or None where there is none.

        :param runs: the runs, each with its Dag.
        """
        answers = self.ask(*(("HGETALL", self._keys.run(*run)) for run in runs), foreign=True)
        return [_read(*run, answer) for run, answer in zip(runs, answers, strict=True)]

    def ask(self, *commands: tuple[Any, ...], foreign: bool = False) -> list[Any]:
        """Send commands in one go, and return their answers.

        :param commands: each with its arguments.
        :param foreign: whether the error that a key has another type is an answer.
        """
        if not commands:
            return []
        with self.errors():
            with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not (foreign and "WRONGTYPE" in str(answer)):
                    raise answer
        return answers

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what redis-py raises into a :class:`CounterError`.

        :raises CounterError: redis-py raised something, or Redis holds what the client can't decode.
        """
        try:
            with counter_errors(self._redis):
                yield
        except UnicodeDecodeError as error:
            raise CounterError(
                "a record or an event holds bytes that are no text, and so is none of ours: delete it, or read with a "
                "client that does not decode"
            ) from error


def _wanted(dag_ids: Collection[str] | None) -> str:
    return "" if dag_ids is None else json.dumps(sorted(dag_ids))


def _read(dag_id: str, run_id: str, answer: Any) -> RunRecord | Unreadable | None:
    if isinstance(answer, Exception):
        return Unreadable(dag_id, run_id, f"its key holds something else: {answer}")
    try:
        return record_of(dag_id, run_id, answer)
    except CounterError as error:
        return Unreadable(dag_id, run_id, f"not of schema {SCHEMA}: {error.__cause__!r}")
