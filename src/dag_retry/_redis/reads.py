"""Reads of what Redis holds, in pieces that take Redis some ms each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from dag_retry._errors import CounterError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import SCHEMA, Keys, run_of
from dag_retry._redis.record import record_of, text
from dag_retry._redis.scripts import run_script, script
from dag_retry._redis.views import Event, Unreadable

if TYPE_CHECKING:
    from dag_retry._types import RunRecord

# Members of an index, or entries of the stream, asked for in one go.
_CHUNK = 1000
# Members of an index that one call passes over.
_LOOK_AT = 10_000
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
        self, index: Any, dag_ids: Collection[str] | None, scores: tuple[Any, Any], offset: int
    ) -> Iterator[list[Placed]]:
        """Yield the members of an index with their places: by time due, or by last change, the newest first.

        :param index: ``active`` or ``attention``.
        :param dag_ids: only of these Dags.
        :param scores: the lowest and the highest.
        :param offset: how many to leave out.
        """
        order = "lowest" if index == "active" else "highest"
        over = 0
        while not over:
            call = (self._keys.index(index), *scores, order, offset, _LOOK_AT, _CHUNK, _wanted(dag_ids))
            with self.errors():
                found, seen, over = run_script(self._redis, script("members"), 1, *call)
            if found:
                yield [(place, run_of(text(member))) for place, member in zip(found[::2], found[1::2], strict=True)]
            offset += seen

    def recent(self, dag_ids: Collection[str] | None, since: int | None, offset: int) -> Iterator[list[Placed]]:
        """Yield the runs that have events, each once, with their places: the run that changed last first.

        :param dag_ids: only of these Dags.
        :param since: only those with an event then or later.
        :param offset: how many to leave out.
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
        """Yield a stretch of the stream. ``lua/events.lua`` says what the parameters are."""
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

    def statuses(self, runs: list[RunId]) -> list[str]:
        """Return the status of each of these runs, '' where there is no record."""
        if not runs:
            return []
        with self.errors():
            keys = [self._keys.run(*each) for each in runs]
            return [text(answer) for answer in run_script(self._redis, script("statuses"), len(keys), *keys)]

    def records(self, runs: list[RunId]) -> list[RunRecord | Unreadable | None]:
        """Return the record of each of these runs, None where there is none."""
        answers = self.ask(*(("HGETALL", self._keys.run(*run)) for run in runs), foreign=True)
        return [_read(*run, answer) for run, answer in zip(runs, answers, strict=True)]

    def ask(self, *commands: tuple[Any, ...], foreign: bool = False) -> list[Any]:
        """Send commands in one go.

        :param foreign: whether a key of another type is an answer, and no error.
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
        """Turn what redis-py raises into a :class:`CounterError`."""
        try:
            with counter_errors(self._redis):
                yield
        except UnicodeDecodeError as error:
            raise CounterError(
                "a record or event holds what is no text, so it is none of ours: delete it, or read with a client that "
                "does not decode"
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
