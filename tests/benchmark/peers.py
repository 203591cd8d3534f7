"""What else one would take to let one callback of many retry a run, with the client that redis-py makes by itself.

Each is written as its users do. What it has to do: of the callbacks of one generation let one win, and none once the
cap is used. Nothing here tells what became of a run; ours also keeps indices, an event and counters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import redis_lock  # type: ignore[import-untyped]
from limits import RateLimitItemPerDay
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from redis import Redis
from redis.exceptions import WatchError

from dag_retry import AttemptCounter, Verdict
from dag_retry._redis.connection import connect

CAP = 3
TTL = 86400


class Peer(ABC):
    """Something that decides who retries a run.

    :param url: of the Redis.
    """

    name: str

    def __init__(self, url: str) -> None:
        self.client: Any = Redis.from_url(url, decode_responses=True)

    @abstractmethod
    def claim(self, run_id: str, generation: int = 0) -> bool:
        """Return whether the caller is the one that retries the run."""

    def claims(self, run_id: Callable[[], str]) -> Callable[[], bool]:
        """Return what claims another run each time."""
        return lambda: self.claim(run_id())

    def close(self) -> None:
        self.client.close()

    def _count_up(self, run_id: str, generation: int) -> bool:
        """Read and write, which only a lock makes one step."""
        used = int(self.client.get(run_id) or 0)
        if used > generation or used >= CAP:
            return False
        self.client.set(run_id, used + 1, ex=TTL)
        return True


class Ours(Peer):
    name = "dag_retry"

    def __init__(self, url: str) -> None:
        self.client = connect(url, timeout=60)
        self.counter = AttemptCounter(self.client)

    def claim(self, run_id: str, generation: int = 0) -> bool:
        claim = self.counter.claim("daily_load", run_id, generation=generation, max_attempts=CAP)
        return claim.verdict is Verdict.WON


class WatchMulti(Peer):
    name = "WATCH/MULTI"

    def claim(self, run_id: str, generation: int = 0) -> bool:
        with self.client.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(run_id)
                    used = int(pipeline.get(run_id) or 0)
                    if used > generation or used >= CAP:
                        return False
                    pipeline.multi()
                    pipeline.set(run_id, used + 1, ex=TTL)
                    pipeline.execute()
                except WatchError:
                    continue
                else:
                    return True


class RedisPyLock(Peer):
    name = "redis-py Lock"

    def claim(self, run_id: str, generation: int = 0) -> bool:
        with self.client.lock(f"lock:{run_id}", timeout=10):
            return self._count_up(run_id, generation)


class PythonRedisLock(Peer):
    name = "python-redis-lock"

    def claim(self, run_id: str, generation: int = 0) -> bool:
        with redis_lock.Lock(self.client, run_id, expire=10):
            return self._count_up(run_id, generation)


class Limits(Peer):
    name = "limits, fixed window"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._limiter = FixedWindowRateLimiter(storage_from_string(url))

    def claim(self, run_id: str, generation: int = 0) -> bool:
        return self._limiter.hit(RateLimitItemPerDay(CAP), run_id)


class Recipe(Peer):
    name = "GET, SET, as the recipe"

    def claim(self, run_id: str, generation: int = 0) -> bool:
        used = int(self.client.get(run_id) or 0)
        if used >= CAP:
            return False
        self.client.set(run_id, used + 1)
        return True


class Increment(Peer):
    name = "INCR, EXPIRE"

    def claim(self, run_id: str, generation: int = 0) -> bool:
        with self.client.pipeline(transaction=False) as pipeline:
            used, _ = pipeline.incr(run_id).expire(run_id, TTL).execute()
        return bool(used <= CAP)


PEERS: tuple[type[Peer], ...] = (Ours, WatchMulti, RedisPyLock, PythonRedisLock, Limits, Recipe, Increment)
