"""What a run that failed takes in Redis, everything included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from dag_retry import Claim, FailedTry, Verdict
from dag_retry._redis.connection import connect
from tests.benchmark.measuring import Bench
from tests.benchmark.serving import Pipelined
from tests.benchmark.table import Row

# Runs at once.
_BATCH = 500


def rows(bench: Bench) -> Iterator[Row]:
    """Yield the bytes of a run: its record, its place in the indices, its share of events and keys."""
    batches = bench.counts.runs // _BATCH
    with bench.server() as server, closing(connect(server.url, timeout=60)) as connected:
        client: Any = connected
        pipelined = Pipelined(client)
        empty = _used(client)
        runs = [[bench.run_id() for _ in range(_BATCH)] for _ in range(batches)]
        count = sum(map(pipelined.claims, runs))
        claimed = (_used(client) - empty) / count
        record = next(client.scan_iter(match="{dag-retry}:v1:run:*"))
        encoding = client.object("encoding", record).decode()
        longest = max(len(value) for value in client.hvals(record))
        for batch in runs:
            with client.pipeline(transaction=False) as reads:
                for run_id in batch:
                    reads.hget(f"{{dag-retry}}:v1:run:daily_load:{run_id}", "claim_id")
                claims = [_claim(*each) for each in zip(batch, reads.execute(), strict=True)]
            pipelined.together(partial(pipelined.counter.confirm, claim) for claim in claims)
            pipelined.together(
                partial(pipelined.counter.succeed, "daily_load", run_id, generation=1) for run_id in batch
            )
        ended = (_used(client) - empty) / count
    bare = _bare(bench, runs)
    for status, size, goal in (("claimed", claimed, 650), ("ended", ended, 450)):
        yield Row(
            f"bytes of a run that is {status}, everything included, of {count:,} runs",
            {"": size},
            goal,
            note=f"bare INCR with TTL: {bare:.0f}",
            why="a record has 17 readable fields, and a claimed run stands in a ZSET besides",
        )
    yield Row(
        "records that are no listpack",
        {"": float(encoding not in ("listpack", "ziplist"))},
        0,
        note=f"{encoding}, its longest field {longest} bytes",
    )


def _claim(run_id: str, claim_id: str) -> Claim:
    """Return the claim that was won for a run."""
    return Claim(Verdict.WON, "claimed", 1, 3, 0, claim_id, "daily_load", run_id, "", FailedTry())


def _bare(bench: Bench, runs: list[list[str]]) -> float:
    """Return the bytes of a key that is only counted up."""
    with bench.server() as server, server.client() as client:
        empty = _used(client)
        for batch in runs:
            with client.pipeline(transaction=False) as pipeline:
                for run_id in batch:
                    key = f"dag_run_attempts::daily_load::{run_id}"
                    pipeline.incr(key).expire(key, 2592000)
                pipeline.execute()
        return (_used(client) - empty) / sum(map(len, runs))


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
