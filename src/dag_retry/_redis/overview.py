"""What Redis holds, as an operator looks at it: typed reads by index, never by SCAN or KEYS.

Like the counter it knows Redis only. What is not ours, half-written or of a newer schema is shown as such.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from dag_retry._errors import CounterError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Index, Keys
from dag_retry._redis.record import record_of, text
from dag_retry._redis.scripts import text_of
from dag_retry._redis.views import Event, Page, Sizes, Unreadable, number
from dag_retry._types import RunRecord

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

SCHEMA = "1"
# Members of an index, or records, asked for in one go: some ms of Redis's time.
_CHUNK = 1000
# Statuses looked at in one read, so that it ends in time whatever the filter.
_LOOK_AT = 10_000
# The newest so many are kept in `recent`, and about as many in the stream (`KEEP` in lua/record.lua).
_KEPT = 10_000

_RunId: TypeAlias = tuple[str, str]


class Overview:
    """Reads what :class:`AttemptCounter` keeps. Times are ms since the epoch, by Redis's clock.

    Every method raises :class:`CounterError` where Redis is unreachable, refuses, or holds something else under the
    name of an index.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``, best one that does not decode: one that does can't
        read what is no UTF-8, which is never ours.
    :param namespace: the counter's.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = "dag-retry") -> None:
        self._redis = redis_client
        self._keys = Keys(namespace)

    def now(self) -> int:
        """Return Redis's time."""
        client: Any = self._redis
        with self._errors():
            if hasattr(client, "get_node_from_key"):
                # On a Cluster, of the node that holds the keys.
                seconds, micros = client.time(target_nodes=client.get_node_from_key(self._keys.events()))
            else:
                seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def sizes(self) -> Sizes:
        """Return how many runs each index holds."""
        now = self.now()
        due = self._keys.index("due")
        active, attention, recent, all_due, overdue = self._ask(
            *(("ZCARD", self._keys.index(name)) for name in ("active", "attention", "recent")),
            ("ZCARD", due),
            ("ZCOUNT", due, "-inf", now),
        )
        return Sizes(now, active, attention, all_due, overdue, recent)

    def runs(
        self,
        index: Index,
        *,
        dag_ids: Collection[str] | None = None,
        statuses: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Page:
        """Return runs of an index: of ``due`` the one that is due longest first, else the one that changed last.

        :param index: ``due``, ``active``, ``attention`` or ``recent``.
        :param dag_ids: only of these Dags.
        :param statuses: only in these.
        :param since: only those that changed, or are due, then or later.
        :param until: only those that changed, or are due, then or earlier; of ``due`` with Redis's time: the overdue.
        :param limit: how many at most.
        :param offset: the one that the page before named. What changed meanwhile may be met twice, or missed.
        :return: at most ``limit``. It is shorter, and not the last, where a filter passes few of many.
        """
        found: list[RunRecord | Unreadable] = []
        looked_at = 0
        while looked_at < _LOOK_AT:
            want = limit + 1 - len(found) if statuses is None else _CHUNK
            wanted, seen, over = self._members(index, dag_ids, since, until, offset, want)
            if statuses is not None:
                looked_at += len(wanted)
                known = self._statuses([run for _, run in wanted])
                wanted = [placed for placed, status in zip(wanted, known, strict=True) if status in statuses]
            # One more than there is room for says where to go on.
            for some in _chunks(wanted, limit + 1):
                for (place, _), record in zip(some, self._records([run for _, run in some]), strict=True):
                    if len(found) == limit:
                        return Page(found, place)
                    if record is not None:
                        found.append(record)
            if over:
                return Page(found, None)
            offset += seen
        return Page(found, offset)

    def run(self, dag_id: str, run_id: str) -> RunRecord | Unreadable | None:
        """Return a run's record; None where it never failed, or its TTL is over."""
        return self._records([(dag_id, run_id)])[0]

    def timeline(self, dag_id: str, run_id: str) -> list[Event]:
        """Return a run's events, oldest first; the stream holds about the newest 10,000 of all runs.

        An event's id is its time, so they are looked for from the record's ``created_at`` on. Not up to ``updated_at``:
        a callback that loses changes no record.
        """
        record = self.run(dag_id, run_id)
        first = str(record.created_at) if isinstance(record, RunRecord) else "-"
        return list(self._events("oldest", first, "+", run_id, [dag_id]))

    def events(
        self, *, dag_ids: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> list[Event]:
        """Return the latest events, newest first.

        :param dag_ids: only of these Dags.
        :param after: only those after the event of this id.
        :param limit: how many at most.
        """
        last = "-" if after is None else f"({after}"
        return list(islice(self._events("newest", "+", last, "", dag_ids), limit))

    def stats(self, dag_id: str | None = None) -> dict[str, int]:
        """Return how often each event happened, of a Dag or of all."""
        return self.stats_of([dag_id])[0]

    def stats_of(self, dag_ids: Iterable[str | None]) -> list[dict[str, int]]:
        """Return how often each event happened, for each of these Dags; None stands for all."""
        answers = self._ask(*(("HGETALL", self._keys.stats(dag_id)) for dag_id in dag_ids))
        return [{text(event): number(count) for event, count in answer.items()} for answer in answers]

    def outcomes(self, *, since: int, dag_ids: Collection[str] | None = None) -> dict[str, Counter[str]]:
        """Return per Dag how many of its runs in ``recent`` are ``active``, ``attention`` or ``succeeded``.

        :param since: only those that changed then or later.
        :param dag_ids: only of these Dags.
        """
        placed, _, _ = self._members("recent", dag_ids, since, None, 0, _KEPT)
        recent = self._keys.index("recent")
        others: tuple[Index, ...] = ("active", "attention")
        answers = self._ask(*(("ZINTER", 2, recent, self._keys.index(name)) for name in others))
        where = {text(member): name for name, members in zip(others, answers, strict=True) for member in members}
        outcomes: dict[str, Counter[str]] = {}
        for _, run in placed:
            outcomes.setdefault(run[0], Counter())[where.get(":".join(run), "succeeded")] += 1
        return outcomes

    def _members(
        self,
        index: Index,
        dag_ids: Collection[str] | None,
        since: int | None,
        until: int | None,
        offset: int,
        want: int,
    ) -> tuple[list[tuple[int, _RunId]], int, bool]:
        """Return wanted runs with their places, how many were looked at, and whether that was the end."""
        if dag_ids is not None and not dag_ids:
            return [], 0, True
        low, high = "-inf" if since is None else since, "+inf" if until is None else until
        wanted = "" if dag_ids is None else json.dumps(sorted(dag_ids))
        placed: list[tuple[int, _RunId]] = []
        looked_at, over = 0, 0
        while len(placed) < want and not over:
            with self._errors():
                found, seen, over = self._redis.eval(
                    text_of("members"),
                    1,
                    self._keys.index(index),
                    low,
                    high,
                    "lowest" if index == "due" else "highest",
                    offset + looked_at,
                    _KEPT,
                    want - len(placed),
                    wanted,
                )
            looked_at += seen
            for place, member in zip(found[::2], found[1::2], strict=True):
                dag_id, _, run_id = text(member).partition(":")
                placed.append((place, (dag_id, run_id)))
        return placed, looked_at, bool(over)

    def _statuses(self, runs: list[_RunId]) -> list[str]:
        """Return the status of each of these runs, of which there are not more than some thousands."""
        if not runs:
            return []
        with self._errors():
            answers = self._redis.eval(text_of("statuses"), len(runs), *(self._keys.run(*run) for run in runs))
        return [text(answer) for answer in answers]

    def _records(self, runs: list[_RunId]) -> list[RunRecord | Unreadable | None]:
        answers = self._ask(*(("HGETALL", self._keys.run(*run)) for run in runs), foreign=True)
        return [_read(*run, answer) for run, answer in zip(runs, answers, strict=True)]

    def _events(
        self, order: str, first: str, last: str, run_id: str, dag_ids: Collection[str] | None
    ) -> Iterator[Event]:
        wanted = "" if dag_ids is None else json.dumps(sorted(dag_ids))
        looked_at, seen = 0, _CHUNK
        # The stream is trimmed to about so many, never to fewer.
        while seen == _CHUNK and looked_at < 2 * _KEPT:
            with self._errors():
                found, seen, cursor = self._redis.eval(
                    text_of("events"), 1, self._keys.events(), first, last, order, _CHUNK, run_id, wanted
                )
            for entry_id, flat in found:
                texts = [text(part) for part in flat]
                yield Event.of(text(entry_id), dict(zip(texts[::2], texts[1::2], strict=True)))
            looked_at += seen
            first = f"({text(cursor)}"

    def _ask(self, *commands: tuple[Any, ...], foreign: bool = False) -> list[Any]:
        """Send commands in one go.

        :param foreign: whether a key of another type is an answer, and no error.
        """
        if not commands:
            return []
        with self._errors():
            with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not (foreign and "WRONGTYPE" in str(answer)):
                    raise answer
        return answers

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with counter_errors(self._redis):
                yield
        except UnicodeDecodeError as error:
            raise CounterError(
                "a record or event holds what is no text, so it is none of ours: delete it, or read with a client that "
                "does not decode"
            ) from error


def _read(dag_id: str, run_id: str, answer: Any) -> RunRecord | Unreadable | None:
    if isinstance(answer, Exception):
        return Unreadable(dag_id, run_id, f"its key holds something else: {answer}")
    fields = {text(name): text(value) for name, value in answer.items()}
    if fields and (schema := fields.get("schema")) != SCHEMA:
        return Unreadable(dag_id, run_id, f"its schema is {schema!r}, and this version knows {SCHEMA!r}")
    try:
        return record_of(dag_id, run_id, fields)
    except CounterError as error:
        return Unreadable(dag_id, run_id, f"not of schema {SCHEMA!r}: {error.__cause__!r}")


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
