"""What Redis holds, as an operator looks at it: typed reads of indexes and events, never by SCAN or KEYS.

A record that is not of schema v1 is shown as :class:`Unreadable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dag_retry._defaults import NAMESPACE
from dag_retry._reasons import SETTLED
from dag_retry._redis.health import Health
from dag_retry._redis.heartbeat import Heartbeat
from dag_retry._redis.keys import Keys
from dag_retry._redis.reads import Placed, Reads, RunId
from dag_retry._redis.record import text
from dag_retry._redis.views import Event, Page, Sizes, Unreadable, number
from dag_retry._types import TOLD_BY, RunRecord

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

List: TypeAlias = Literal["active", "overdue", "attention", "recent"]

# One read looks at so many runs, and then says where to go on: it ends in time, whatever the filter.
_LOOK_AT = 10_000
# A record may change a little later than the event of the change, or without an event: when an ending is acknowledged.
# Redis may also stamp an event 1 ms before the time that the script read (redis/redis pull request 10300). In ms.
_LATER = 60_000
_ENDED = frozenset({"exhausted", "blocked", "skipped"})
# The statuses in which a sweeper takes a run that is due.
_HELD = frozenset({"claimed", *_ENDED})
# Of so many endings the records say whether they are untold. The index alone says so of those that are due for long.
_MOST_RECORDS = 1000


class Overview:
    """Reads what :class:`AttemptCounter` keeps. Times are ms since the epoch, by Redis's clock.

    Every method raises :class:`CounterError` where Redis is unreachable, where Redis refuses, and where a key of ours
    holds something else.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``. Best is one that does not decode: a client that
        decodes can't read bytes that are no UTF-8, which somebody else may have written.
    :param namespace: the counter's.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = NAMESPACE) -> None:
        self._redis: Any = redis_client
        self._keys = Keys(namespace)
        self._reads = Reads(redis_client, self._keys)

    def now(self) -> int:
        """Return Redis's time, in ms."""
        client = self._redis
        with self._reads.errors():
            if hasattr(client, "get_node_from_key"):
                # On a Cluster: the time of the node that holds the keys.
                seconds, micros = client.time(target_nodes=client.get_node_from_key(self._keys.events()))
            else:
                seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def sizes(self) -> Sizes:
        """Return how many runs each index holds, how many are overdue, and Redis's time."""
        now = self.now()
        active, attention = self._keys.index("active"), self._keys.index("attention")
        return Sizes(now, *self._reads.ask(("ZCARD", attention), ("ZCARD", active), ("ZCOUNT", active, "-inf", now)))

    def heartbeat(self) -> Heartbeat | None:
        """Return what the sweeper said that looked last; None if no sweeper has looked within the last 30 days."""
        (fields,) = self._reads.ask(("HGETALL", self._keys.sweeper()))
        return Heartbeat.of({text(name): text(value) for name, value in fields.items()})

    def health(self, *, dag_ids: Collection[str] | None = None) -> Health:
        """Return whether sweepers run, whether they reach Airflow, and how many runs need them.

        :param dag_ids: count only runs of these Dags; None for all. The 10,000 runs that are due soonest are looked at.
        """
        now = self.now()
        active = self._keys.index("active")
        due, late = self._reads.ask(("ZCOUNT", active, "-inf", now), ("ZCOUNT", active, "-inf", now - TOLD_BY))
        waiting = untold = 0
        ended: list[tuple[str, str]] = []
        for placed in self._reads.members("active", dag_ids, ("-inf", "+inf"), 0, _LOOK_AT):
            known = self._reads.statuses([run for _, run in placed])
            for (place, run), (status, _) in zip(placed, known, strict=True):
                # The run that is due soonest is the first, so its place tells whether a run is due.
                waiting += status == "waiting" or (place < due and status in _HELD)
                untold += place < late and status in _ENDED
                if place >= late and status in _ENDED:
                    ended.append(run)
        records = self._reads.records(ended[:_MOST_RECORDS])
        untold += sum(isinstance(record, RunRecord) and record.untold(now) for record in records)
        return Health(now, self.heartbeat(), waiting, untold)

    def runs(
        self,
        which: List,
        *,
        dag_ids: Collection[str] | None = None,
        statuses: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Page:
        """Return runs of a list.

        :param which: ``active``, the run that is due soonest first; ``overdue``, those of the active runs that are due
            now; ``attention``, the run that changed last first; ``recent``, the run whose last event is newest first.
        :param dag_ids: only runs of these Dags; None for all.
        :param statuses: only runs in these statuses; None for all.
        :param since: only runs that changed then or later, in ms.
        :param until: only runs that changed then or earlier, in ms.
        :param limit: how many runs at most, 1 or more.
        :param offset: what the page before named. A run that changed meanwhile may come twice, or not at all.
        :return: a page of at most ``limit`` runs. It may be short, and yet not the last: where a filter passes few of
            10,000 runs.
        """
        found: list[RunRecord | Unreadable] = []
        looked_at = 0
        for placed in self._placed(which, dag_ids, (since, until), offset):
            if looked_at >= _LOOK_AT:
                return Page(found, placed[0][0])
            looked_at += len(placed)
            if statuses is not None:
                known = self._reads.statuses([run for _, run in placed])
                placed = [each for each, (status, _) in zip(placed, known, strict=True) if status in statuses]
            for some in _chunks(placed, limit + 1):
                for (place, _), record in zip(some, self._reads.records([run for _, run in some]), strict=True):
                    if record is None or not _changed_between(record, since, until):
                        continue
                    # The first run that finds no room says where to go on.
                    if len(found) == limit:
                        return Page(found, place)
                    found.append(record)
        return Page(found, None)

    def run(self, dag_id: str, run_id: str) -> RunRecord | Unreadable | None:
        """Return a run's record, or None where the run never failed (or the record's TTL is over).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        return self.records([(dag_id, run_id)])[0]

    def records(self, runs: list[RunId]) -> list[RunRecord | Unreadable | None]:
        """Return the records of many runs in one round trip; None where a run never failed.

        :param runs: the runs, each with its Dag.
        """
        return self._reads.records(runs)

    def timeline(self, dag_id: str, run_id: str) -> list[Event]:
        """Return a run's events, oldest first. The stream holds about the newest 10,000 of all runs.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        record = self.run(dag_id, run_id)
        # An event's id is its time. There are no events before the first failure of a first budget.
        first_budget = isinstance(record, RunRecord) and record.base == 0
        first = str(record.budget_at - _LATER) if isinstance(record, RunRecord) and first_budget else "-"
        return list(chain.from_iterable(self._reads.events("oldest", first, "+", [dag_id], run_id=run_id)))

    def events(
        self, *, dag_ids: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> list[Event]:
        """Return the latest events, newest first.

        :param dag_ids: only events of these Dags; None for all.
        :param after: only events after the one with this id.
        :param limit: how many events at most.
        """
        last = "-" if after is None else f"({after}"
        return list(islice(chain.from_iterable(self._reads.events("newest", "+", last, dag_ids)), limit))

    def stats(self, dag_id: str | None = None) -> dict[str, int]:
        """Return how often each event happened.

        :param dag_id: of this Dag; None for all Dags together.
        """
        return self.stats_of([dag_id])[0]

    def stats_of(self, dag_ids: Iterable[str | None]) -> list[dict[str, int]]:
        """Return how often each event happened, for each of several Dags.

        :param dag_ids: the Dags; None stands for all Dags together.
        :return: an answer for each, in the same order.
        """
        answers = self._reads.ask(*(("HGETALL", self._keys.stats(dag_id)) for dag_id in dag_ids))
        return [{text(event): number(count) for event, count in answer.items()} for answer in answers]

    def outcomes(self, *, since: int, dag_ids: Collection[str] | None = None) -> dict[str, Counter[str]]:
        """Return for each Dag how many runs are in each status, of the runs that have an event in the stream.

        A run whose failure a person has settled, or that succeeded all the same, is left out.

        :param since: only runs with an event then or later, in ms.
        :param dag_ids: only runs of these Dags; None for all.
        """
        outcomes: dict[str, Counter[str]] = {}
        for placed in self._reads.recent(dag_ids, since, 0):
            runs = [run for _, run in placed]
            for (dag_id, _), (status, reason) in zip(runs, self._reads.statuses(runs), strict=True):
                if status and reason not in SETTLED:
                    outcomes.setdefault(dag_id, Counter())[status] += 1
        return outcomes

    def dag_ids(self) -> set[str]:
        """Return the Dags that have an event in the stream."""
        return {dag_id for placed in self._reads.recent(None, None, 0) for _, (dag_id, _) in placed}

    def retrying(self) -> dict[RunId, int]:
        """Return the runs that are ``retrying``, each with the generation whose failure was claimed."""
        return self._reads.retrying(self.now())

    def _placed(
        self, which: List, dag_ids: Collection[str] | None, changed: tuple[int | None, int | None], offset: int
    ) -> Iterator[list[Placed]]:
        """Yield the runs of a list with their places, some at a time."""
        since, until = changed
        if dag_ids is not None and not dag_ids:
            return iter(())
        if which == "recent":
            return self._reads.recent(dag_ids, None if since is None else max(0, since - _LATER), offset)
        if which == "attention":
            low, high = "-inf" if since is None else since, "+inf" if until is None else until
            return self._reads.members("attention", dag_ids, (low, high), offset)
        return self._reads.members("active", dag_ids, ("-inf", self.now() if which == "overdue" else "+inf"), offset)


def _changed_between(record: RunRecord | Unreadable, since: int | None, until: int | None) -> bool:
    if isinstance(record, Unreadable):
        return True
    return (since is None or record.updated_at >= since) and (until is None or record.updated_at <= until)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
