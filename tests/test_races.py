"""Many processes, one winner; and a reply that is lost. Only a real Redis can show either."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier

import redis

from dag_retry import AttemptCounter, Verdict
from dag_retry._redis.connection import connect
from tests.proxy import losing_proxy

PROCESSES = 64
ROUNDS = 500


def claim_each_round(url: str, barrier: Barrier, name: int, wins: multiprocessing.Queue[list[tuple[int, int]]]) -> None:
    """Claim the same generation as everybody else, round after round; report the rounds won."""
    won = []
    with redis.Redis.from_url(url) as client:
        counter = AttemptCounter(client)
        for round_ in range(ROUNDS):
            barrier.wait()
            claim = counter.claim("race", f"run-{round_}", generation=0, max_attempts=3)
            if claim.verdict is Verdict.WON:
                won.append((round_, name))
    wins.put(won)


def test_64_processes_one_winner_in_each_of_500_rounds(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    wins = context.Queue()
    claimers = [
        context.Process(target=claim_each_round, args=(redis_url, barrier, name, wins)) for name in range(PROCESSES)
    ]
    for claimer in claimers:
        claimer.start()
    won = [win for _ in claimers for win in wins.get(timeout=120)]
    for claimer in claimers:
        claimer.join()

    assert sorted(round_ for round_, _ in won) == list(range(ROUNDS))
    # Had one process been first every time, the others would not have raced at all.
    assert len({name for _, name in won}) > 1
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.hgetall("{dag-retry}:v1:stats") == {"won": "500", "lost": str(ROUNDS * (PROCESSES - 1))}


def test_lost_reply_is_one_claim_counted_once(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as server, losing_proxy(redis_url, b"EVALSHA") as proxy:
        server.flushall()
        with connect(proxy.url) as client:
            counter = AttemptCounter(client)
            counter.claim("warm", "up", generation=0, max_attempts=3)  # the script is cached now
            proxy.to_lose = 1
            claim = counter.claim("daily_load", "run", generation=0, max_attempts=3)
        assert proxy.lost == 1
        assert (claim.verdict, claim.attempt) == (Verdict.WON, 1)
        assert server.hgetall("{dag-retry}:v1:stats:daily_load") == {"won": "1"}
        assert server.hget("{dag-retry}:v1:run:daily_load:run", "attempt") == "1"
