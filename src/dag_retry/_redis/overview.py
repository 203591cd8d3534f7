"""What Redis holds, as an operator looks at it: typed reads by index, never by SCAN or KEYS.

What is not ours, or half-written, is shown as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dag_retry._defaults import NAMESPACE
from dag_retry._redis.keys import Keys
from dag_retry._redis.reads import Placed, Reads
from dag_retry._redis.record import text
from dag_retry._redis.views import Event, Page, Sizes, Unreadable, number
from dag_retry._types import RunRecord

if TYPE_CHECKING:
    from redis import Redis, RedisCluster

List: TypeAlias = Literal["active", "overdue", "attention", "recent"]

# Runs looked at in one read, so that the read ends in time whatever the filter.
_LOOK_AT = 10_000


class Overview:
    """Reads what :class:`AttemptCounter` keeps. Times are ms since the epoch, by Redis's clock.

    Every method raises :class:`CounterError` where Redis is unreachable, refuses, or holds something else under the
    name of an index.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``, best one that does not decode: one that does can't
        read what is no UTF-8, which is never ours.
    :param namespace: the counter's.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = NAMESPACE) -> None:
        self._redis: Any = redis_client
        self._keys = Keys(namespace)
        self._reads = Reads(redis_client, self._keys)

    def now(self) -> int:
        """Return Redis's time."""
        client = self._redis
        with self._reads.errors():
            if hasattr(client, "get_node_from_key"):
                # On a Cluster, of the node that holds the keys.
                seconds, micros = client.time(target_nodes=client.get_node_from_key(self._keys.events()))
            else:
                seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def sizes(self) -> Sizes:
        """Return how many runs each index holds, and how many are overdue."""
        now = self.now()
        active, attention = self._keys.index("active"), self._keys.index("attention")
        return Sizes(now, *self._reads.ask(("ZCARD", attention), ("ZCARD", active), ("ZCOUNT", active, "-inf", now)))

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

        :param which: ``active``: the run that is due soonest first; ``overdue``: those of them that are due;
            ``attention`` and ``recent``: the run that changed last first. ``recent`` is read from the events.
        :param dag_ids: only of these Dags.
        :param statuses: only in these.
        :param since: only those that changed then or later.
        :param until: only those that changed then or earlier.
        :param limit: how many at most.
        :param offset: the one that the page before named. What changed meanwhile may be met twice, or missed.
        :return: at most ``limit``. It is shorter, and not the last, where a filter passes few of many.
        """
        found: list[RunRecord | Unreadable] = []
        looked_at = 0
        for placed in self._placed(which, dag_ids, since, offset):
            if looked_at >= _LOOK_AT:
                return Page(found, placed[0][0])
            looked_at += len(placed)
            if statuses is not None:
                known = self._reads.statuses([run for _, run in placed])
                placed = [each for each, status in zip(placed, known, strict=True) if status in statuses]
            for some in _chunks(placed, limit + 1):
                for (place, _), record in zip(some, self._reads.records([run for _, run in some]), strict=True):
                    if record is None or not _changed_between(record, since, until):
                        continue
                    # One more than there is room for says where to go on.
                    if len(found) == limit:
                        return Page(found, place)
                    found.append(record)
        return Page(found, None)

    def run(self, dag_id: str, run_id: str) -> RunRecord | Unreadable | None:
        """Return a run's record; None where it never failed, or its TTL is over."""
        return self._reads.records([(dag_id, run_id)])[0]

    def timeline(self, dag_id: str, run_id: str) -> list[Event]:
        """Return a run's events, oldest first; the stream holds about the newest 10,000 of all runs.

        An event's id is its time. A first budget has no events before its first failure.
        """
        record = self.run(dag_id, run_id)
        first_budget = isinstance(record, RunRecord) and record.base == 0
        first = str(record.budget_at) if isinstance(record, RunRecord) and first_budget else "-"
        return list(chain.from_iterable(self._reads.events("oldest", first, "+", [dag_id], run_id=run_id)))

    def events(
        self, *, dag_ids: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> list[Event]:
        """Return the latest events, newest first.

        :param dag_ids: only of these Dags.
        :param after: only those after the event of this id.
        :param limit: how many at most.
        """
        last = "-" if after is None else f"({after}"
        return list(islice(chain.from_iterable(self._reads.events("newest", "+", last, dag_ids)), limit))

    def stats(self, dag_id: str | None = None) -> dict[str, int]:
        """Return how often each event happened, of a Dag or of all."""
        return self.stats_of([dag_id])[0]

    def stats_of(self, dag_ids: Iterable[str | None]) -> list[dict[str, int]]:
        """Return how often each event happened, for each of these Dags; None stands for all."""
        answers = self._reads.ask(*(("HGETALL", self._keys.stats(dag_id)) for dag_id in dag_ids))
        return [{text(event): number(count) for event, count in answer.items()} for answer in answers]

    def outcomes(self, *, since: int, dag_ids: Collection[str] | None = None) -> dict[str, Counter[str]]:
        """Return per Dag how many of the runs with an event are in each status.

        :param since: only those that changed then or later.
        :param dag_ids: only of these Dags.
        """
        outcomes: dict[str, Counter[str]] = {}
        for placed in self._reads.recent(dag_ids, since, 0):
            runs = [run for _, run in placed]
            for (dag_id, _), status in zip(runs, self._reads.statuses(runs), strict=True):
                if status:
                    outcomes.setdefault(dag_id, Counter())[status] += 1
        return outcomes

    def dag_ids(self) -> set[str]:
        """Return the Dags of the newest events: about 10,000."""
        return {dag_id for placed in self._reads.recent(None, None, 0) for _, (dag_id, _) in placed}

    def _placed(
        self, which: str, dag_ids: Collection[str] | None, since: int | None, offset: int
    ) -> Iterator[list[Placed]]:
        """Yield the runs of a list with their places, some at a time."""
        if dag_ids is not None and not dag_ids:
            return iter(())
        if which == "recent":
            return self._reads.recent(dag_ids, since, offset)
        if which == "overdue":
            return self._reads.members("active", dag_ids, ("-inf", self.now()), offset)
        low = "-inf" if since is None or which == "active" else since
        return self._reads.members(which, dag_ids, (low, "+inf"), offset)


def _changed_between(record: RunRecord | Unreadable, since: int | None, until: int | None) -> bool:
    if isinstance(record, Unreadable):
        return True
    return (since is None or record.updated_at >= since) and (until is None or record.updated_at <= until)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
