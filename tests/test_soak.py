"""Thousands of runs in bad weather: processes killed at random, and outages that come and go.

The callbacks and the sweepers are the real ones, each in a real process, against a real redis-server; only Airflow is a
stand-in. A password is rotated, an ingress answers in place of Airflow, the API server is busy or away, a hook fails,
Redis is killed and restarted, and clears that are done are answered as if they were not.
``make soak`` runs 10,000 runs, ``make test`` some.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from dag_retry import AttemptCounter, RunRecord, Status
from dag_retry._redis.overview import Overview
from tests.servers import AOF, PATIENCE, RedisServer, until
from tests.soak import alert
from tests.soak.api import DAG
from tests.soak.api import PATIENCE as API_TIMEOUT
from tests.soak.at_work import Stream, carried_out, sweeping
from tests.soak.runs import NAMESPACE, Misanswer, Runs, runs_api
from tests.soak.sweepers import Sweepers
from tests.soak.team import BRANCHES, CAP, Plan, Team
from tests.soak.weather import Switch, Weather

RUNS = int(os.environ.get("SOAK_RUNS", "80"))
FULL = RUNS >= 10_000
TIMES = 10 if FULL else 2
LONGEST = 6.0 if FULL else 0.5
KILLED = 0.05 if FULL else 0.25
MISANSWERED = 0.05 if FULL else 0.1
TEAMS = 4
OUTAGES = ("password", "ingress", "busy", "away", "pager", "Redis")
MISANSWERS: tuple[Misanswer, ...] = ("500", "cut", "late", "slow")


def plans(chance: random.Random) -> list[Plan]:
    """Return runs of which some recover at once, some at the cap, some never; and those that are hit."""

    killed, misanswered = (set(chance.sample(range(RUNS), round(RUNS * share))) for share in (KILLED, MISANSWERED))
    return [
        Plan(
            run_id=f"run-{index}",
            failures=chance.choices([1, CAP, CAP + 2], [80, 10, 10])[0],
            kill=chance.choice(["look", "clear", "one", "all"]) if index in killed else "",
            misanswer=chance.choice(MISANSWERS) if index in misanswered else "",
            late=chance.random() < 0.1,
        )
        for index in range(RUNS)
    ]


def weather(redis: RedisServer, runs: Runs, folder: Path, chance: random.Random) -> Weather:
    """Return the outages to come."""
    pager_away = folder / alert.AWAY
    switches = {
        outage: Switch(partial(runs.begin, outage), partial(runs.over, outage), LONGEST)
        for outage in ("password", "ingress", "busy", "away")
    }
    # One run of ten calls the hook.
    switches["pager"] = Switch(pager_away.touch, pager_away.unlink, 4 * LONGEST)
    # As long as a supervisor takes to start it again.
    switches["Redis"] = Switch(redis.kill, lambda: redis.start().ready(), 1)
    return Weather(switches, TIMES, RUNS, chance)


def as_expected(plan: Plan, generation: int, record: RunRecord | None) -> bool:
    """Check what came of a run against what had to: nobody but the sweepers has put anything right."""
    attempts = min(plan.failures, CAP)
    ended = Status.SUCCEEDED if plan.failures <= CAP else Status.EXHAUSTED
    return (
        record is not None
        and (generation, record.attempt, record.status) == (attempts, attempts, ended)
        and not record.due_at
    )


def test_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    todo = plans(chance)
    pages = tmp_path / alert.PAGES
    pages.touch()
    begin = time.monotonic()
    with (
        RedisServer(tmp_path, *AOF) as redis,
        Redis.from_url(redis.url, decode_responses=True, retry=PATIENCE) as client,
        runs_api(redis.url) as runs,
    ):
        options = {
            "redis_url": redis.url,
            "namespace": NAMESPACE,
            "api_url": runs.url(),
            "api_username": "retry",
            "api_password": "secret",
            "api_timeout": API_TIMEOUT,
            "max_attempts": CAP,
            "on_exhausted": "tests.soak.alert:page",
        }
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__DAG_RETRY__{name.upper()}", str(value))
        monkeypatch.setenv(alert.FOLDER, str(tmp_path))
        # Three quarters of this are a callback's budget: outages outlast some callbacks.
        monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", "6")
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "6")
        stream = Stream(client)
        outages = weather(redis, runs, tmp_path, chance)
        with sweeping(Sweepers(redis.url, runs, seed)) as sweepers:
            teams = [Team(redis.url, runs, seed + number) for number in range(TEAMS)]
            results = carried_out(teams, todo, stream, outages)
            # Sweepers settle what callbacks of successes could not record.
            overview = Overview(client, namespace=NAMESPACE)
            with suppress(AssertionError):  # What is left is counted.
                until(lambda: not overview.sizes().active, 60)
            sweepers.send("the figures")
            swept = sweepers.recv()
        took = time.monotonic() - begin
        stream.read_on()
        counter = AttemptCounter(client, namespace=NAMESPACE)
        records = {plan.run_id: counter.read(DAG, plan.run_id) for plan in todo}
        generations = dict(zip(records, runs.generations(list(records)), strict=True))
        met = runs.met()
        stats = {event: int(count) for event, count in client.hgetall(f"{{{NAMESPACE}}}:v1:stats").items()}
        forever = [key for key in client.scan_iter(count=1000) if client.pttl(key) < 0]

    telling = [line.split() for line in pages.read_text().splitlines()]
    told = Counter(run_id for said, run_id in telling if said == "told")
    by_times = Counter(min(told[result.plan.run_id], 2) for result in results if result.plan.failures > CAP)
    figures = {
        "seed": seed,
        "seconds": round(took),
        "runs": len(results),
        "callbacks": sum(result.callbacks for result in results),
        "Dag-level callbacks": sum(result.dag_level for result in results),
        "callbacks that failed": dict(sum((result.faults for result in results), Counter[str]())),
        "runs hit": sum(bool(result.killed) for result in results),
        "processes killed in a callback": sum(result.killed for result in results),
        "which was": dict(Counter(moment for result in results for moment in result.moments)),
        "runs that callbacks left to sweepers": sum(bool(result.times_left) for result in results),
        "successes that callbacks could not record": sum(result.unrecorded for result in results),
        "sweepers": dict(swept),
        "events": stats,
        "at the end": dict(Counter(record.status.value if record else "no record" for record in records.values())),
        "hooks of exhausted runs": f"told once {by_times[1]}, more than once {by_times[2]}, never {by_times[0]}",
        "faults": ", ".join(
            [f"{name} out {times} times" for name, times in outages.came.items()]
            + [f"{what} met by {requests} requests" for what, requests in met.items()]
            + [f"hook failed {len(telling) - told.total()} times"]
        ),
    }
    wrong = {
        "runs without result": RUNS - len(results),
        "double wins": [of for of, count in stream.of.items() if of[2] == "won" and count > 1],
        "double clears, or stuck": [f"{result.plan}: {result.stuck}" for result in results if result.stuck],
        "generation, attempts, status or due not as expected": [
            (plan, generations[plan.run_id], records[plan.run_id])
            for plan in todo
            if not as_expected(plan, generations[plan.run_id], records[plan.run_id])
        ],
        "errors that had no cause": [result for result in results if result.unexpected]
        + [f"sweeper: {error}" for error in swept if error.startswith("unexpected")],
        "alerts: none": [result for result in results if result.plan.failures > CAP and not told[result.plan.run_id]],
        "alerts: more than one, and nothing had failed": [
            result for result in results if told[result.plan.run_id] > 1 and not (result.faults or result.times_left)
        ],
        "alerts of runs that recovered": [
            result for result in results if result.plan.failures <= CAP and told[result.plan.run_id]
        ],
        # Of the losers of a generation the stream keeps the first three, and of a run that is put off again no event.
        "events that are counted, and not in the stream": [
            (event, count, stream.read[event])
            for event, count in stats.items()
            if event not in ("lost", "postponed") and count != stream.read[event]
        ],
        "keys that live for ever": forever,
        "blocked": stats.get("blocked", 0),
        "faults that never came": sorted(
            {*OUTAGES, *MISANSWERS} - {name for name, times in (met + outages.came).items() if times} if FULL else ()
        ),
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
