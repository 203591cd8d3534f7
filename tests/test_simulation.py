"""The real scripts, callbacks and decisions in every order: :mod:`tests.simulation`.

Small cases are tried exhaustively, large ones at random; each rule taken out is missed, by the schedule written here.

On the atomic way anything may happen between any two requests: so cap, one clear a generation, and what people decide
hold whatever Redis loses, whenever. On the other ways nothing happens between look and clear, unless a case has a gap
there: those gaps, and what these ways can't see, are the limits below.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dag_retry import AttemptCounter
from dag_retry._airflow.ways import supervisor
from dag_retry._airflow.ways.decision import CLEARED, CURRENT
from dag_retry._airflow.ways.rest import RestWay
from dag_retry._airflow.ways.supervisor import SupervisorWay
from dag_retry._callback import winner
from dag_retry._callback.holder import Holder
from dag_retry._policy.hooks import Hooks
from dag_retry._redis.scripts import script
from tests.simulation.airflow import Airflow, BrokenPromiseError, Faults, State
from tests.simulation.flow import VERBS, AskingApi, AskingRedis, Flow, Request, Way
from tests.simulation.scripts import Scripts
from tests.simulation.search import at_random, exhaustively

pytestmark = pytest.mark.no_cover  # other tests cover these lines too, and a measured schedule takes twice as long

MINUTE = timedelta(minutes=1)
WHOLE = "SEEDS" in os.environ  # make simulate
SEEDS = int(os.environ.get("SEEDS", "250"))
# For each limit, and each rule taken out, the promise that breaks, and the shortest schedule that breaks it.
BROKEN = (Path(__file__).parent / "simulation" / "broken.txt").read_text(encoding="utf-8").splitlines()
SCRIPTS = {verb: script("record", verb).text for verb in VERBS}


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def scripts() -> Scripts:
    return Scripts(SCRIPTS)


# Tasks, cap, faults; by the REST API.
SMALL: dict[str, tuple[int, int, Faults]] = {
    "no fault": (3, 2, Faults()),
    "tasks killed": (2, 2, Faults(kill=2)),
    "killed, and replies lost": (2, 2, Faults(kill=1, lost_reply=2)),
    "tasks succeed": (2, 2, Faults(success=3, kill=1)),
    "workers lost": (2, 1, Faults(silent=1, kill=1)),
    "API unclear": (2, 2, Faults(api_look=1, api_before=1, api_after=1)),
    "API unclear, tasks killed": (2, 1, Faults(api_before=1, api_after=1, kill=1)),
    "API late": (2, 1, Faults(api_late=1, kill=1)),
    "API late, and unclear": (2, 2, Faults(api_late=1, api_before=1)),
    "API refuses": (2, 2, Faults(refused=1, kill=1)),
    "Redis away": (2, 2, Faults(redis_before=1, redis_after=1)),
    "Redis forgets": (2, 2, Faults(loss=1, api_after=1)),
    "Redis forgets twice, tasks killed": (2, 1, Faults(loss=2, kill=1)),
    "a replica that lags": (2, 2, Faults(failover=1)),
    "a replica that lags, tasks killed": (2, 1, Faults(failover=1, kill=1)),
    "people clear": (2, 2, Faults(manual_clear=1)),
    "people clear twice": (1, 1, Faults(manual_clear=2)),
    "people clear, Redis forgets": (1, 1, Faults(manual_clear=1, loss=1)),
    "people clear, a replica lags": (1, 1, Faults(manual_clear=1, failover=1)),
    "people clear, tasks succeed": (2, 1, Faults(manual_clear=1, success=2)),
    "the clock leaps": (1, 1, Faults(leap=2, kill=1)),
    "the clock leaps, API refuses": (2, 1, Faults(leap=1, refused=1)),
    "Redis forgets between look and renewal": (2, 1, Faults(gap_after_look=1, loss=1)),
    "a replica lags between look and renewal": (2, 1, Faults(gap_after_look=1, failover=1)),
    "Dag level killed, called again, leases over": (1, 1, Faults(dag_kill=1, duplicate=1, minute=1, kill=1)),
}
# Minutes each, or the cases above with one task more: make simulate.
LARGE: dict[str, tuple[int, int, Faults]] = {
    "workers lost": (2, 2, Faults(silent=1, kill=1)),
    "workers lost, people clear": (2, 2, Faults(silent=1, manual_clear=1)),
    "people clear twice": (2, 1, Faults(manual_clear=2)),
    "people clear, Redis forgets": (2, 1, Faults(manual_clear=1, loss=1)),
    "people clear, a replica lags": (2, 1, Faults(manual_clear=1, failover=1)),
    "the clock leaps": (2, 1, Faults(leap=2, kill=1)),
    "Dag level killed, called again, leases over": (2, 1, Faults(dag_kill=1, duplicate=1, minute=1, kill=1)),
    "a crash, a loss, a clear by hand, two unclear answers": (
        2,
        1,
        Faults(kill=1, loss=1, manual_clear=1, api_before=1, api_after=1),
    ),
}
CASES = SMALL | (LARGE if WHOLE else {})


@pytest.mark.parametrize("case", CASES)
def test_every_schedule(case: str, scripts: Scripts) -> None:
    tasks, cap, faults = CASES[case]
    searched = exhaustively(Airflow(Flow(cap), scripts), tasks, faults)
    print(f"{case}: {searched.states:,} states, {searched.moves:,} moves")


# Tasks, cap, faults, and what is special; by the route.
ATOMIC: dict[str, tuple[int, int, Faults, dict[str, Any]]] = {
    "no fault": (3, 2, Faults(), {}),
    "tasks killed, replies lost": (2, 2, Faults(kill=1, lost_reply=2), {}),
    "API unclear": (2, 2, Faults(api_before=1, api_after=1), {}),
    "API late, tasks killed": (2, 1, Faults(api_late=1, kill=1), {}),
    "API late, and unclear": (2, 2, Faults(api_late=1, api_before=1), {}),
    "API refuses": (2, 2, Faults(refused=1, kill=1), {}),
    "Redis away": (2, 1, Faults(redis_before=1, redis_after=1), {}),
    "Redis forgets twice": (2, 2, Faults(loss=2), {}),
    "Redis forgets, API unclear": (2, 2, Faults(loss=1, api_after=1), {}),
    "Redis forgets, API late": (2, 1, Faults(loss=1, api_late=1), {}),
    "Redis forgets, tasks killed": (2, 1, Faults(loss=2, kill=1), {}),
    "Redis forgets a run, and is sure that it did not": (2, 2, Faults(loss=2), {"forgets": True}),
    "Redis forgets a run, tasks killed": (2, 1, Faults(loss=1, kill=1), {"forgets": True}),
    "a replica that lags": (2, 2, Faults(failover=1), {}),
    "a replica that lags, tasks killed": (2, 1, Faults(failover=1, kill=1), {}),
    "people clear": (2, 1, Faults(manual_clear=1, kill=1), {}),
    "people clear, Redis forgets": (1, 1, Faults(manual_clear=1, loss=1), {}),
    "people clear, a replica lags": (1, 1, Faults(manual_clear=1, failover=1), {}),
}


@pytest.mark.parametrize("case", ATOMIC)
def test_every_schedule_of_the_atomic_way(case: str, scripts: Scripts) -> None:
    tasks, cap, faults, of_flow = ATOMIC[case]
    searched = exhaustively(Airflow(Flow(cap, way="atomic", **of_flow), scripts), tasks, faults)
    print(f"{case}: {searched.states:,} states, {searched.moves:,} moves")


# What people do: tasks, faults, policy, what is special of Airflow; and by which ways.
BY_DELAY: dict[str, Any] = {"delay": MINUTE}
NO_SUPERVISOR: tuple[Way, ...] = ("atomic", "rest")
ALL_WAYS: tuple[Way, ...] = (*NO_SUPERVISOR, "supervisor")
PEOPLE: dict[str, tuple[int, Faults, dict[str, Any], dict[str, Any], tuple[Way, ...]]] = {
    "nothing": (2, Faults(kill=1), {}, {}, ("supervisor",)),
    "Redis forgets": (2, Faults(loss=1), {}, {}, ("supervisor",)),
    "a clear": (2, Faults(manual_clear=1), {}, {"keeps_ids": True}, ALL_WAYS),
    "a clear, API unclear": (1, Faults(manual_clear=1, api_after=1), {}, {"keeps_ids": True}, ALL_WAYS),
    "set to success": (2, Faults(run_success=1, kill=1), {}, {}, ALL_WAYS),
    "set to success, Redis forgets": (2, Faults(run_success=1, loss=1), {}, {}, ALL_WAYS),
    "set to success, delays": (2, Faults(run_success=1), BY_DELAY, {}, NO_SUPERVISOR),
    "set to failed": (2, Faults(run_failed=1), {}, {}, ALL_WAYS),
    "set to failed, Redis forgets": (2, Faults(run_failed=1, loss=1), {}, {}, ("atomic",)),
    "set to failed, delays": (2, Faults(run_failed=1), BY_DELAY, {}, NO_SUPERVISOR),
    "a task set to success": (2, Faults(task_success=1, kill=1), {}, {}, ALL_WAYS),
    "a task set to success, delays": (1, Faults(task_success=1), BY_DELAY, {}, ALL_WAYS),
    "made anew": (2, Faults(delete=1, kill=1), {}, {}, NO_SUPERVISOR),
    "made anew, cap 2": (1, Faults(delete=1, success=1), {"max_attempts": 2}, {}, NO_SUPERVISOR),
    "made anew, Redis forgets": (2, Faults(delete=1, loss=1), {}, {}, NO_SUPERVISOR),
    "made anew twice": (1, Faults(delete=2), {}, {}, NO_SUPERVISOR),
    "made anew, delays": (1, Faults(delete=1), BY_DELAY, {}, NO_SUPERVISOR),
    "cancelled": (2, Faults(cancel=1), {}, {}, ALL_WAYS),
    "cancelled, cap 2": (1, Faults(cancel=1, success=1), {"max_attempts": 2}, {}, ALL_WAYS),
    "cancelled, delays": (1, Faults(cancel=1), BY_DELAY, {}, ALL_WAYS),
    "paused": (2, Faults(pause=1), {}, {}, ALL_WAYS),
    "paused, delays": (1, Faults(pause=1), BY_DELAY, {}, ALL_WAYS),
    "a harmless failure, delays": (2, Faults(success=2), BY_DELAY, {"harmless": [0], "level": "task"}, NO_SUPERVISOR),
    "a harmless failure, workers lost": (
        2,
        Faults(silent=1, success=1),
        {},
        {"harmless": [0], "level": "task"},
        ALL_WAYS,
    ),
}


@pytest.mark.parametrize(("case", "way"), [(case, way) for case, (*_, ways) in PEOPLE.items() for way in ways])
def test_every_schedule_of_people(case: str, way: Way, scripts: Scripts) -> None:
    tasks, faults, of_flow, of_airflow, _ = PEOPLE[case]
    policy = dict(of_flow)
    flow = Flow(policy.pop("max_attempts", 1), way=way, **policy)
    # Delays, pauses, and what a Dag-level callback without credentials leaves, are for a sweeper.
    sweeps = way == "supervisor" or "delay" in of_flow or faults.pause > 0
    searched = exhaustively(Airflow(flow, scripts, sweeps=sweeps, **of_airflow), tasks, faults)
    print(f"{case}, {way}: {searched.states:,} states, {searched.moves:,} moves")


# Tasks (two of them always: make simulate), cap, faults, policy.
SWEPT: dict[str, tuple[int, int, Faults, dict[str, Any], dict[str, Any]]] = {
    "delays": (2, 2, Faults(), {"delay": MINUTE}, {}),
    "delays, a list": (1, 2, Faults(kill=1), {"delay": [timedelta(0), MINUTE]}, {}),
    "delays, three sweepers at once": (1, 1, Faults(sweep=2), {"delay": MINUTE}, {}),
    "delays, sweepers killed": (1, 1, Faults(sweep=1, dag_kill=1), {"delay": MINUTE}, {}),
    "delays, API unclear": (2, 1, Faults(api_before=1, api_after=1), {"delay": MINUTE}, {}),
    "delays, API refuses": (2, 1, Faults(refused=1, kill=1), {"delay": MINUTE}, {}),
    "delays, Redis away": (1, 1, Faults(redis_after=1, lost_reply=1), {"delay": MINUTE}, {}),
    "delays, Redis forgets": (1, 1, Faults(loss=1), {"delay": MINUTE}, {}),
    "delays, a replica that lags": (1, 1, Faults(failover=1), {"delay": MINUTE}, {}),
    "delays, people clear": (1, 1, Faults(manual_clear=1), {"delay": MINUTE}, {}),
    "delays, the clock leaps": (1, 1, Faults(leap=1, sweep=1), {"delay": MINUTE}, {}),
    "delays, hooks of the Dag": (2, 1, Faults(refused=1, kill=1), {"delay": MINUTE, "own_hooks": True}, {}),
    "hooks of the Dag, Dag level killed": (1, 1, Faults(dag_kill=1, kill=1), {"own_hooks": True}, {}),
    "delays, level dag": (2, 2, Faults(kill=1), {"delay": MINUTE}, {"level": "dag"}),
    "no delays, task level alone, winners killed": (2, 2, Faults(kill=1), {}, {"level": "task"}),
    "no delays, Dag level killed": (2, 1, Faults(dag_kill=1, kill=1), {}, {}),
    "no delays, API away": (2, 1, Faults(api_look=2), {"repeats": False}, {}),
    "a hopeless task": (2, 2, Faults(kill=1), {"hopeless": [0]}, {}),
    "a hopeless task, delays": (2, 2, Faults(sweep=1), {"hopeless": [0], "delay": MINUTE}, {}),
    "a hopeless task, people clear": (2, 1, Faults(manual_clear=1), {"hopeless": [0]}, {}),
    "callbacks that never come": (1, 2, Faults(uncalled=1, miss=1, kill=1), {}, {}),
    "callbacks that never come, a reset": (1, 2, Faults(uncalled=1, miss=1, reset=1, kill=1, duplicate=1), {}, {}),
    "callbacks that never come, late ones": (2, 1, Faults(uncalled=1, miss=1, duplicate=1, kill=1), {}, {}),
    "callbacks that never come, people clear": (1, 1, Faults(uncalled=1, miss=2, manual_clear=1, minute=1), {}, {}),
    "callbacks that never come, Redis forgets": (2, 1, Faults(uncalled=1, miss=1, loss=1, duplicate=1), {}, {}),
}


@pytest.mark.parametrize("case", SWEPT)
def test_every_schedule_with_sweepers(case: str, scripts: Scripts) -> None:
    tasks, cap, faults, of_flow, of_airflow = SWEPT[case]
    airflow = Airflow(Flow(cap, **of_flow), scripts, sweeps=True, **of_airflow)
    searched = exhaustively(airflow, 2 if WHOLE else tasks, faults)
    print(f"{case}: {searched.states:,} states, {searched.moves:,} moves")


POLICIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no time to repeat": ({"repeats": False}, {}),
    "level dag": ({}, {"level": "dag"}),
    "level task": ({}, {"level": "task"}),
    "level dag, a hopeless task": ({"hopeless": [0], "judges": True}, {"level": "dag"}),
    "level dag, a hopeless task that is harmless": (
        {"hopeless": [0], "judges": True},
        {"level": "dag", "harmless": [0]},
    ),
    "a clear by hand begins no budget": ({"on_manual_clear": "keep"}, {"keep": True}),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("faults", [Faults(kill=1, api_after=1), Faults(manual_clear=1), Faults(loss=1, lost_reply=1)])
def test_every_schedule_of_other_policies(policy: str, faults: Faults, scripts: Scripts) -> None:
    of_flow, of_airflow = POLICIES[policy]
    tasks = 2 if WHOLE or not faults.manual_clear else 1
    searched = exhaustively(Airflow(Flow(2, **of_flow), scripts, **of_airflow), tasks, faults)
    print(f"{policy}: {searched.states:,} states, {searched.moves:,} moves")


@pytest.mark.parametrize("way", NO_SUPERVISOR)
@pytest.mark.parametrize("sweeps", [False, True])
def test_random_schedules(sweeps: bool, way: Way, scripts: Scripts) -> None:
    of_sweepers = {"uncalled", "sweep", "miss", "reset", "pause"}
    # In a run made anew a clear by hand before the first failure counts; and see the limits.
    kinds = [name for name in Faults._fields if not name.startswith("gap") and (sweeps or name not in of_sweepers)]
    kinds = [name for name in kinds if name != "delete" and (way == "atomic" or name != "run_failed")]
    policy: dict[str, Any] = {"delay": [timedelta(0), MINUTE]} if sweeps else {}
    airflows = {cap: Airflow(Flow(cap, way=way, **policy), scripts, sweeps=sweeps) for cap in (1, 2, 3)}
    # With sweepers every minute that passes is new to the scripts: ten times slower.
    for seed in range(SEEDS // 40 if sweeps else SEEDS // 2):
        choice = random.Random(seed)
        faults = Faults(**{kind: choice.randint(1, 2) for kind in choice.sample(kinds, 4)})
        try:
            at_random(airflows[choice.randint(1, 3)], choice.randint(2, 4), faults, seed)
        except BrokenPromiseError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from None


# What src/dag_retry/_airflow/README.md and lua/README.md state as limits: each can break a promise.
LIMITS: dict[str, tuple[Way, Faults]] = {
    "a person clears between look and clear": ("rest", Faults(gap_after_look=1, manual_clear=1)),
    "Redis forgets between renewal and clear": ("rest", Faults(gap_before_clear=1, loss=1)),
    "a person sets a run to failed right after it failed": ("rest", Faults(run_failed=1, loss=1)),
    "a person clears between look and clear, no credentials": ("supervisor", Faults(gap_after_look=1, manual_clear=1)),
    "Redis forgets between renewal and clear, no credentials": ("supervisor", Faults(gap_before_clear=1, loss=1)),
    "a person sets a failed run to failed, no credentials": ("supervisor", Faults(run_failed=1, kill=1)),
    "a run is made anew while a claim is due, no credentials": ("supervisor", Faults(delete=1)),
}


def broken(airflow: Airflow, faults: Faults) -> str:
    """Return the promise that breaks, and the shortest schedule that breaks it."""
    with pytest.raises(BrokenPromiseError) as broken:
        exhaustively(airflow, 2, faults)
    return str(broken.value)


@pytest.mark.parametrize("limit", LIMITS)
def test_limits(limit: str, scripts: Scripts) -> None:
    way, faults = LIMITS[limit]
    airflow = Airflow(Flow(1, way=way), scripts, sweeps=way == "supervisor")
    assert f"{limit}: {broken(airflow, faults)}" in BROKEN


# Each rule of the scripts, taken out: the name on its line, what stands there instead, under which cap and faults.
RULES: dict[str, tuple[str, str, int, Faults]] = {
    "the same claim asked again gets the same answer": (
        "same claim, same answer", "if false then", 1, Faults(lost_reply=1, kill=2)),
    "an older generation is stale (the recipe has no fence)": ("older is stale", "if false then", 2, Faults()),
    "a generation has one winner": ("one winner", "if false then", 1, Faults()),
    "an ending that was told is at rest": ("a told ending is at rest", "local finished = false", 1, Faults()),
    "the Dag level takes over from a dead task": ("no death ends a delay", "local dead = false", 1, Faults(kill=1)),
    "the Dag level takes over from nobody else": ("only a task's holder is dead", "", 1, Faults(silent=1)),
    "a lease ends": (
        "a lease lasts", "local due = false", 1, Faults(dag_kill=1, kill=2, duplicate=1, minute=1)),
    "a lease lasts": ("a lease lasts", "local due = true", 1, Faults()),
    "what Redis forgot counts": ("what was forgotten counts", "or true) then", 1, Faults(loss=1)),
    "Airflow is the second witness": ("the second witness", "local used = attempt", 1, Faults(loss=1)),
    "the cap": ("the cap", "if used > max_attempts then", 1, Faults()),
    "an ending ends a budget": ("an ending ends a budget", "ended = false", 1, Faults(manual_clear=1)),
    "nothing but an ending ends a budget": ("only an ending ends a budget", "if true then", 1, Faults()),
    "a budget begins with the clear after an ending": (
        "the clear begins the budget", "base, reason = generation, 'fresh_budget'", 1,
        Faults(manual_clear=1, failover=1)),
    "a blocked run of which nobody was told has not ended": (
        "blocked ends once told", "ended = ended or record.status == 'blocked'", 1,
        Faults(refused=1, failover=1, kill=1)),
    "an ending is kept (the recipe deletes its counter)": (
        "an ending is kept", """
        local told = answer(verdict, reason)
        if verdict == 'exhausted' then redis.call('DEL', run_key) end
        return told""", 1, Faults()),
    "a success is kept": (
        "a success is kept", "redis.call('DEL', run_key) return {}", 1, Faults(success=2, manual_clear=1)),
    "an older success changes nothing": (
        "an older success changes nothing", "if false then", 1, Faults(success=2, manual_clear=1)),
    "a run made anew has no record": ("a run made anew has no record", "if false then", 1, Faults(delete=1)),
    "a clear is no deletion": ("a clear is no deletion", "", 1, Faults(manual_clear=1)),
    "a run made anew began later": ("a run made anew began later", "return true", 2, Faults(cancel=1)),
    "a cancel counts for a failure to come": ("cancelled in advance", "if false then", 1, Faults(cancel=1)),
    "a cancel counts for the attempt under way": (
        "a cancel counts for the attempt under way", "record.generation}", 2, Faults(cancel=1)),
    "what was not told is told again": ("untold is told again", "local due_at = '0'", 1, Faults(kill=1)),
}  # fmt: skip


# The same, of those that delays, conditions and sweepers need; with the policy.
SWEPT_RULES: dict[str, tuple[str, str, Faults, dict[str, Any], dict[str, Any]]] = {
    "nobody's death ends a delay": (
        "no death ends a delay", "local dead = args.takeover == '1'", Faults(), {"delay": MINUTE}, {}),
    "a failure that is not to be retried is not": (
        "hopeless is skipped", "elseif false then", Faults(), {"hopeless": [0, 1]}, {"hopeless": True}),
    "a skip ends a budget": ("a skip ends a budget", "", Faults(manual_clear=2), {"hopeless": [0]}, {}),
    "what is unclaimed is in nobody's hand": (
        "unclaimed is in nobody's hand", "local in_hand = true", Faults(miss=1, kill=2), {}, {}),
    "without a clear nothing has recovered": (
        "no clear, no recovery", "local uncleared = false", Faults(success=2), {"delay": MINUTE},
        {"harmless": [0], "level": "task"}),
    "a success has a start": (
        "a success has a start", "local started = record.run_started", Faults(silent=1, success=2), {"delay": MINUTE},
        {"harmless": [0], "level": "task"}),
    "what is due is taken by one": (
        "what is due is taken by one", "elseif record.due_at ~= '0' then", Faults(sweep=2, kill=1, dag_kill=1), {},
        {"level": "task"}),
    "a reset of an unclaimed run begins with the next claim": (
        "a reset begins with the next claim", "", Faults(miss=1, reset=1, kill=2), {}, {}),
    "what is left to the Dag level is told there": (
        "what is left is told by the Dag level", "local left = false", Faults(),
        {"hopeless": [0], "judges": True}, {"level": "dag", "sweeps": False}),
    "a success needs no alarm": (
        "a success needs no alarm", "elseif uncleared and record.reason == 'cancelled' then", Faults(success=1),
        {"hopeless": [0], "judges": True}, {"level": "dag", "harmless": [0], "sweeps": False}),
}  # fmt: skip

MARK = re.compile(r"(?m)^.*-- rule: (.+)$")


def without(rule: str, instead: str) -> Scripts:
    """Return the scripts with another line in place of the one that bears a rule's name."""
    (verb,) = (verb for verb, text in SCRIPTS.items() if rule in MARK.findall(text))
    return Scripts(SCRIPTS | {verb: MARK.sub(lambda line: instead if line[1] == rule else line[0], SCRIPTS[verb])})


def test_every_rule_of_the_scripts_is_taken_out() -> None:
    named = [rule for text in SCRIPTS.values() for rule in MARK.findall(text)]
    assert len(set(named)) == len(named)
    assert {rule for rule, *_ in [*RULES.values(), *SWEPT_RULES.values()]} == set(named)


def torn_claim(patch: pytest.MonkeyPatch) -> None:
    """Read first, then write: what the recipe does."""

    def run_script(self: AskingRedis, verb: str, args: tuple[Any, ...]) -> Any:
        return ask(self, verb, (*args, self.flow.ask(Request("read"))) if verb == "claim" else args)

    def script(self: Airflow, state: State, verb: str, args: tuple[Any, ...]) -> tuple[State, Any]:
        if verb == "claim":
            state, args = state._replace(record=args[-1]), args[:-1]
        return run(self, state, verb, args)

    ask, run = AskingRedis.run_script, Airflow._script
    patch.setattr(AskingRedis, "run_script", run_script)
    patch.setattr(Airflow, "_script", script)


def renewal_first(patch: pytest.MonkeyPatch) -> None:
    """Renew the claim, then look, then clear."""

    def try_once(holder: Holder, way: Any) -> Any:
        return once(holder, way) if renew(holder.counter, holder.claim) else None

    renew, once = AttemptCounter.renew, winner._try_once
    patch.setattr(AttemptCounter, "renew", lambda *_: True)
    patch.setattr(winner, "_try_once", try_once)


# Each rule of the callbacks, taken out.
HABITS: dict[str, tuple[Any, int, Faults]] = {
    "a claim is one step (the recipe reads, then writes)": (torn_claim, 1, Faults()),
    "a clear is sent after a look": (
        lambda patch: patch.setattr(RestWay, "look", lambda *_: CURRENT), 1, Faults(api_after=1)),
    "a claim is renewed before its clear": (
        lambda patch: patch.setattr(AttemptCounter, "renew", lambda *_: True), 1, Faults(leap=1, refused=1)),
    "a claim is renewed after its look": (renewal_first, 1, Faults(gap_after_look=1, loss=1)),
    "a task with a heartbeat timeout is looked at before its claim": (
        lambda patch: patch.setattr(AskingApi, "is_still_current_try", lambda *_: True), 2, Faults(silent=1)),
    "a run that a late clear left failed is queued": (
        lambda patch: patch.setattr(AskingApi, "queue_stranded", lambda *_: False), 1, Faults(api_late=1, kill=1)),
    "an ending is acknowledged after it was told": (
        lambda patch: patch.setattr(Hooks, "tell", lambda *_: None), 1, Faults()),
}  # fmt: skip


def clear_what_is_failed(self: SupervisorWay, claim: Any, level: Any, note: str) -> Any:
    """Clear once more whatever has failed."""
    supervisor._send("TriggerDagRun")
    if supervisor._send("GetDagRun").state == "failed":
        supervisor._send("TriggerDagRun")
    return CLEARED


# Each rule of Airflow's decision, taken out: by which way, what stands there instead, faults and policy.
DECISIONS: dict[str, tuple[Way, str, Any, Faults, dict[str, Any]]] = {
    "the audit log is the second witness": (
        "atomic", "dag_retry.plugin.clear.decision._next_attempt", lambda asked, _: asked.attempt, Faults(loss=1),
        {"forgets": True}),
    "what a person decided stands": (
        "atomic", "dag_retry.plugin.clear.decision._is_settled_by_hand", lambda *_: False, Faults(run_failed=1), {}),
    "what a person decided stands, by REST": (
        "rest", "tests.simulation.flow.AskingApi.is_settled", lambda *_, since: False, Faults(run_failed=1), BY_DELAY),
    "what is cleared is current, by REST": (
        "rest", "dag_retry._airflow.ways.rest.decide", lambda *_: CURRENT, Faults(run_success=1), {}),
    "a run that failed again was not left failed": (
        "supervisor", "dag_retry._airflow.ways.supervisor.SupervisorWay.clear", clear_what_is_failed, Faults(kill=1),
        {}),
}  # fmt: skip


@pytest.mark.parametrize("rule", DECISIONS)
def test_a_rule_of_the_decision_taken_out_is_missed(
    rule: str, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, name, instead, faults, of_flow = DECISIONS[rule]
    monkeypatch.setattr(name, instead)
    airflow = Airflow(Flow(1, way=way, **of_flow), scripts, sweeps=way == "supervisor" or bool(of_flow))
    assert f"{rule}: {broken(airflow, faults)}" in BROKEN


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_the_scripts_taken_out_is_missed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, instead, cap, faults = RULES[rule]
    # That an index lies is found by itself; what is shown here is the promise.
    monkeypatch.setattr(Scripts, "_check", lambda *_: None)
    assert f"{rule}: {broken(Airflow(Flow(cap), without(name, instead)), faults)}" in BROKEN


@pytest.mark.parametrize("rule", SWEPT_RULES)
def test_a_rule_of_sweepers_taken_out_is_missed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, instead, faults, of_flow, of_airflow = SWEPT_RULES[rule]
    monkeypatch.setattr(Scripts, "_check", lambda *_: None)
    airflow = Airflow(Flow(1, **of_flow), without(name, instead), **({"sweeps": True} | of_airflow))
    assert f"{rule}: {broken(airflow, faults)}" in BROKEN


@pytest.mark.parametrize("rule", HABITS)
def test_a_rule_of_the_callbacks_taken_out_is_missed(
    rule: str, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out, cap, faults = HABITS[rule]
    take_out(monkeypatch)
    assert f"{rule}: {broken(Airflow(Flow(cap), scripts), faults)}" in BROKEN
