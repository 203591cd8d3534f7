"""Thousands of runs in bad weather: processes killed at random, and Redis killed and restarted.

The callbacks are the real ones, each in a real process, against a real redis-server; only Airflow is a stand-in.
``make soak`` runs 10,000 runs, ``make test`` some.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from dag_retry import AttemptCounter, RunRecord, Status
from tests.servers import AOF, PATIENCE, RedisServer
from tests.soak.api import DAG, NAMESPACE, runs_api
from tests.soak.team import BRANCHES, CAP, Plan, Result, Team

RUNS = int(os.environ.get("SOAK_RUNS", "80"))
FULL = RUNS >= 10_000
RESTARTS = 10 if FULL else 2
KILLED = 0.05 if FULL else 0.25
TEAMS = 4


def plans(chance: random.Random) -> list[Plan]:
    """Return runs of which some recover at once, some at the cap, some never; and those that are hit."""
    hit = set(chance.sample(range(RUNS), round(RUNS * KILLED)))
    return [
        Plan(
            run_id=f"run-{index}",
            failures=chance.choices([1, CAP, CAP + 2], [80, 10, 10])[0],
            kill=chance.choice(["look", "clear", "one", "all"]) if index in hit else "",
            late=chance.random() < 0.1,
        )
        for index in range(RUNS)
    ]


class Stream:
    """Reads all events, of which Redis keeps the newest only."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last = "-"
        self.read = 0
        self.of: Counter[tuple[str, str, str]] = Counter()
        """By run, generation and event."""

    def read_on(self) -> None:
        while entries := self._client.xrange(f"{{{NAMESPACE}}}:v1:events", min=self._last, count=5000):
            for _, fields in entries:
                self.of[fields["run_id"], fields["generation"], fields["event"]] += 1
                self.read += fields["event"] != "lost"
            self._last = f"({entries[-1][0]}"


def carried_out(teams: list[Connection], redis: RedisServer, stream: Stream, chance: random.Random) -> list[Result]:
    """Collect the results, and restart Redis at random moments meanwhile."""
    restart_at = sorted(chance.sample(range(RUNS // 20, RUNS - RUNS // 20), RESTARTS))
    results: list[Result] = []
    # Where nothing comes for so long, it hangs: what is missing then is counted.
    while teams and (ready := wait(teams, timeout=120)):
        for team in ready:
            assert isinstance(team, Connection)
            try:
                results.append(team.recv())
            except EOFError:
                teams.remove(team)
                team.close()
                continue
            if restart_at and len(results) >= restart_at[0]:
                restart_at.pop(0)
                redis.kill()
                # As long as a supervisor takes to start it again.
                time.sleep(chance.uniform(0, 1))
                redis.start().ready()
            if len(results) % 200 == 0:
                stream.read_on()
    stream.read_on()
    return results


def as_expected(result: Result, record: RunRecord | None) -> bool:
    """Check what came of a run against what had to."""
    attempts = min(result.plan.failures, CAP)
    if result.by_hand:
        # Each clear by hand used an attempt up, or came when all were used.
        return result.most_attempts <= attempts and (record is None or record.attempt <= CAP)
    if record is None or (result.generation, record.attempt) != (attempts, attempts):
        return False
    if result.unrecorded:
        # Redis was away when the run succeeded (or its answer was lost), and maybe when the clear was to be confirmed.
        return record.status in (Status.SUCCEEDED, Status.RETRYING, Status.CLAIMED)
    ended = Status.SUCCEEDED if result.plan.failures <= CAP else Status.EXHAUSTED
    return record.status is ended and not record.due_at


def test_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_RETRY__API_TOKEN", "token")
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    todo = plans(chance)
    fork = multiprocessing.get_context("fork")
    alerts = tmp_path / "alerts"
    alerts.touch()
    begin = time.monotonic()
    with (
        RedisServer(tmp_path, *AOF) as redis,
        Redis.from_url(redis.url, decode_responses=True, retry=PATIENCE) as client,
        runs_api(redis.url) as runs,
    ):
        stream = Stream(client)
        leaders, connections = [], []
        for number in range(TEAMS):
            ours, theirs = fork.Pipe(duplex=False)
            team = Team(redis.url, runs, alerts, seed + number)
            leader = fork.Process(target=team.lead, args=(todo[number::TEAMS], theirs))
            leader.start()
            theirs.close()
            leaders.append(leader)
            connections.append(ours)
        try:
            results = carried_out(connections, redis, stream, chance)
        finally:
            for leader in leaders:
                leader.kill()
                leader.join()
        took = time.monotonic() - begin
        counter = AttemptCounter(client, namespace=NAMESPACE)
        records = {plan.run_id: counter.read(DAG, plan.run_id) for plan in todo}
        stats = {event: int(count) for event, count in client.hgetall(f"{{{NAMESPACE}}}:v1:stats").items()}
        forever = [key for key in client.scan_iter(count=1000) if client.pttl(key) < 0]

    told = Counter(alerts.read_text().split())
    exhausted = [result for result in results if result.generation >= CAP and result.plan.failures > CAP]
    figures = {
        "seed": seed,
        "seconds": round(took),
        "runs": len(results),
        "callbacks": sum(result.callbacks for result in results),
        "Redis killed and restarted": RESTARTS,
        "callbacks that Redis failed": sum(result.redis_errors for result in results),
        "runs hit": sum(bool(result.killed) for result in results),
        "processes killed in a callback": sum(result.killed for result in results),
        "which was": dict(Counter(moment for result in results for moment in result.moments)),
        "Dag-level callbacks": sum(result.dag_level for result in results),
        "cleared by hand, Redis being away at both levels": sum(result.by_hand for result in results),
        "successes not recorded, Redis being away": sum(result.unrecorded for result in results),
        "events": stats,
    }
    wrong = {
        "runs without result": RUNS - len(results),
        "double wins": [of for of, count in stream.of.items() if of[2] == "won" and count > 1],
        "double clears, or stuck": [f"{result.plan}: {result.stuck}" for result in results if result.stuck],
        "over the cap": [result for result in results if result.most_attempts > CAP],
        "attempts, status or due not as expected": [
            (result, records[result.plan.run_id])
            for result in results
            if not as_expected(result, records[result.plan.run_id])
        ],
        "errors that had no cause": [result for result in results if result.unexpected],
        # A restart can meet each team once.
        "cleared by hand without need": max(0, sum(result.by_hand for result in results) - TEAMS * RESTARTS),
        "alerts: none": [result for result in exhausted if not told[result.plan.run_id] and not result.redis_errors],
        "alerts: more than one": [
            result for result in exhausted if told[result.plan.run_id] > 1 and not result.redis_errors
        ],
        "alerts of runs that recovered": [
            result
            for result in results
            if result.plan.failures <= CAP and told[result.plan.run_id] and not result.by_hand
        ],
        # Of the losers of a generation the stream keeps the first three.
        "events that are counted, and not in the stream": sum(stats.values()) - stats["lost"] - stream.read,
        "keys that live for ever": forever,
    }
    with capfd.disabled():
        print()
        for what, figure in figures.items():
            print(f"{what}: {figure}")
        for what, found in wrong.items():
            print(f"{what}: {len(found) if isinstance(found, list) else found}")
            for one in found[:5] if isinstance(found, list) else ():
                print(f"    {one}")
    assert sum(result.callbacks for result in results) >= BRANCHES * RUNS
    assert {what: found for what, found in wrong.items() if found} == {}
