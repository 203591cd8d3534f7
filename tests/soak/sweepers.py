"""Two sweepers, and the clock: between two sweeps it leaps a minute."""

from __future__ import annotations

import random
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from redis import Redis

from dag_retry._redis.keys import Keys, run_of
from dag_retry.sweeper.service import sweep_once
from tests.servers import PATIENCE
from tests.soak.runs import MINUTE, NAMESPACE, Runs
from tests.soak.worker import FAULTS, Worker

SWEEPERS = 2
KILLED = 0.05

# KEYS: the index, the heartbeat, then records. ARGV: ms, then the members of these records.
_LEAP = """
local minute = tonumber(ARGV[1])
local function back(moment)
  return string.format('%.0f', moment - minute)
end
for i = 3, #KEYS do
  local due_at = tonumber(redis.call('HGET', KEYS[i], 'due_at') or 0)
  if due_at > 0 then
    redis.call('HSET', KEYS[i], 'due_at', back(due_at))
    redis.call('ZADD', KEYS[1], 'XX', back(due_at), ARGV[i - 1])
  end
end
local looked_until = redis.call('HGET', KEYS[2], 'looked_until')
if looked_until then
  redis.call('HSET', KEYS[2], 'looked_until', back(looked_until))
end
"""


def sweep(_: object) -> None:
    """Sweep, as a run of the sweeper's Dag does each minute."""
    sweep_once()


class Sweepers:
    """The sweepers of a deployment.

    :param redis_url: where attempts are counted.
    :param runs: the stand-in for Airflow.
    :param seed: for the moments of random kills.
    """

    def __init__(self, redis_url: str, runs: Runs, seed: int) -> None:
        self._runs = runs
        self._random = random.Random(seed)
        self._redis: Any = Redis.from_url(redis_url, decode_responses=True, retry=PATIENCE)
        self._keys = Keys(NAMESPACE)
        self._workers: list[Worker] = []
        self._lasts = 0.1
        self.figures: Counter[str] = Counter()

    def lead(self, end: Connection, pause: float) -> None:
        """Sweep again and again until somebody asks for the figures, and send them."""
        try:
            for _ in range(SWEEPERS):
                self._workers.append(Worker(sweep, self._workers))
            while not end.poll(pause):
                self._leap()
                self._sweep()
            end.send(self.figures)
        finally:
            for worker in self._workers:
                worker.bury()

    def _leap(self) -> None:
        """Let a minute pass for the runs that nobody holds: their callbacks are over, and the sweepers are at rest.

        Every moment that is kept moves back instead: when they are due, when they ended, how far sweepers have looked.
        """
        members = self._redis.zrange(self._keys.index("active"), 0, -1)
        run_ids = {run_of(member)[1]: member for member in members}
        ended = {run_ids[run_id]: self._keys.run(*run_of(run_ids[run_id])) for run_id in self._runs.leap(list(run_ids))}
        keys = [self._keys.index("active"), self._keys.sweeper(), *ended.values()]
        self._redis.eval(_LEAP, len(keys), *keys, MINUTE * 1000, *ended)
        self.figures["minutes"] += 1

    def _sweep(self) -> None:
        due = self._redis.zcount(self._keys.index("active"), "-inf", time.time() * 1000)
        begin = time.monotonic()
        for worker in self._workers:
            worker.connection.send("sweep")
        killed = bool(due) and self._random.random() < KILLED
        if killed:
            time.sleep(self._random.uniform(0, self._lasts))
            self._workers[0].process.kill()
        for worker in self._workers:
            answer = worker.answer()
            if answer is None:
                self.figures["killed in a sweep"] += 1
            elif error := answer[0]:
                self.figures[error if error in FAULTS else f"unexpected {error}"] += 1
        if killed:
            self._workers[0].bury()
            self._workers[0] = Worker(sweep, self._workers)
        elif due:
            self._lasts = time.monotonic() - begin
