"""A small model of Airflow around the real scripts and the real flow, in every order a seed can choose.

Tasks of one run fail for ever; their callbacks run as greenlets that stop before and after each call of Redis and each
look-and-clear, and a scheduler decides who goes on, who is killed, what is lost. A failing seed replays.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest
from greenlet import getcurrent, greenlet

from dag_retry import ClearUnconfirmed, DagRetry, DagRetryError, FailedTry, _airflow, _counter, _finish, _retry
from tests.contexts import dag_failed, task_failed

SEEDS = int(os.environ.get("SEEDS", "100"))
TASKS = ("a", "b", "c")


class Killed(BaseException):
    """SIGKILL: nothing that the flow catches."""


@dataclass
class Task:
    """A task instance of the run.

    :param ti_id: changes with every clear, also while its try is still being killed.
    :param began: the generation and the id with which its current try began: what its callback will be told.
    :param running: or failed.
    :param restarting: cleared while it ran; a new try begins when this one has ended.
    """

    ti_id: str = "0"
    began: tuple[int, str] = (0, "0")
    running: bool = True
    restarting: bool = False


@dataclass
class Faults:
    """How many of each may still happen."""

    kill: int = 0
    api_before: int = 0
    api_after: int = 0
    lost_reply: int = 0
    redis_loss: int = 0
    manual_clear: int = 0


@dataclass
class World:
    """One run in Airflow, its callbacks, and what goes wrong."""

    seed: int
    cap: int
    faults: Faults
    generation: int = 0
    tasks: dict[str, Task] = field(default_factory=lambda: {name: Task() for name in TASKS})
    actors: dict[str, Any] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    dag_told: set[int] = field(default_factory=set)
    """The generations for which the Dag-level callback was called."""
    clears: list[int] = field(default_factory=list)
    """The generation in which each clear by a callback was made."""
    manual: list[int] = field(default_factory=list)
    alerts: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.redis = SimulatedRedis(self)
        self.retry = DagRetry(self.cap, redis=self.redis, api="http://user:password@airflow", on_exhausted=self.alert)

    def alert(self, context: Any) -> None:
        self.point()
        self.alerts += 1

    def point(self) -> None:
        """Let others go on; the caller may be killed here."""
        current = getcurrent()
        name = next((name for name, actor in self.actors.items() if actor is current), None)
        if name is not None and current.parent:
            current.parent.switch()
            if name in self.killed:
                raise Killed

    def fault(self, kind: str) -> bool:
        """Decide whether this fault happens now."""
        left = getattr(self.faults, kind)
        if left and self.random.random() < 0.2:
            setattr(self.faults, kind, left - 1)
            return True
        return False

    def clear(self) -> None:
        """What Airflow's clear does."""
        self.generation += 1
        for task in self.tasks.values():
            task.ti_id = f"{self.generation}"
            if task.running:
                task.restarting = True
            else:
                self.begin(task)

    def begin(self, task: Task) -> None:
        task.running, task.restarting, task.began = True, False, (self.generation, task.ti_id)

    def ended(self, name: str) -> None:
        """A task's process is gone, with its callback."""
        task = self.tasks[name]
        if task.restarting:
            self.begin(task)
        else:
            task.running = False

    def callback(self, name: str, context: dict[str, Any]) -> Callable[[], None]:
        def run() -> None:
            with contextlib.suppress(DagRetryError, Killed):
                self.retry.on_failure(context)

        self.actors[name] = greenlet(run)
        return self.actors[name]  # type: ignore[no-any-return]

    def moves(self) -> Iterator[Callable[[], None]]:
        """Everything that can happen next, but for faults."""
        for name, task in self.tasks.items():
            if task.running and name not in self.actors:
                yield lambda name=name, task=task: self.fail(name, task)  # type: ignore[misc]
        for name in self.actors:
            yield lambda name=name: self.step(name)  # type: ignore[misc]
        at_rest = not self.actors and not any(task.running for task in self.tasks.values())
        if at_rest and self.generation not in self.dag_told:
            yield self.run_failed

    def fail(self, name: str, task: Task) -> None:
        generation, ti_id = task.began
        # A task that a clear is killing may fail in time to call back, or not.
        if task.restarting and self.random.random() < 0.5:
            self.ended(name)
        else:
            self.callback(name, task_failed(generation, id=ti_id, task_id=name))

    def run_failed(self) -> None:
        self.dag_told.add(self.generation)
        context = dag_failed(self.generation)
        context["ti"].id, context["ti"].task_id = self.tasks["c"].ti_id, "c"
        self.callback("dag", context)

    def step(self, name: str) -> None:
        if name != "dag" and self.fault("kill"):
            self.killed.add(name)
        actor = self.actors[name]
        actor.switch()
        if actor.dead:
            del self.actors[name]
            self.killed.discard(name)
            if name != "dag":
                self.ended(name)

    def run(self) -> None:
        for _ in range(2000):
            if self.fault("redis_loss"):
                self.redis.flushall()
            if self.fault("manual_clear"):
                self.manual.append(self.generation)
                self.clear()
            moves = list(self.moves())
            if not moves:
                return
            self.random.choice(moves)()
        raise AssertionError("it never ends")


class SimulatedRedis(fakeredis.FakeRedis):
    """Redis, at which every script may be the last thing its caller does, or be asked twice."""

    def __init__(self, world: World) -> None:
        super().__init__(server=fakeredis.FakeServer(), decode_responses=True)
        self.world = world

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "EVALSHA":
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        self.world.point()
        answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if self.world.fault("lost_reply"):
            self.world.point()
            answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        self.world.point()
        return answer


class SimulatedApi:
    """Airflow's API. Between the look and the clear nothing happens here: the limit that the README states."""

    world: World

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> SimulatedApi:
        return self

    def __exit__(self, *_: object) -> None: ...

    def is_current(self, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
        self.world.point()
        return self.world.tasks[failed_try.task_id].ti_id == failed_try.ti_id

    def clear(self, dag_id: str, run_id: str) -> None:
        world = self.world
        if world.fault("api_before"):
            raise ClearUnconfirmed("503")
        world.clears.append(world.generation)
        world.clear()
        world.point()
        if world.fault("api_after"):
            raise ClearUnconfirmed("500")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_finish, "AirflowApi", SimulatedApi)
    monkeypatch.setattr(_airflow, "count", lambda *_: None)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def simulate(seed: int, **faults: int) -> World:
    world = World(seed, cap=1 + seed % 2, faults=Faults(**faults))
    SimulatedApi.world = world
    world.run()
    return world


def check_safe(world: World) -> None:
    """Whatever happens: one clear a generation at most, and never over the cap."""
    told = f"seed {world.seed}: cap {world.cap}, clears {world.clears}, by hand {world.manual}"
    assert len(set(world.clears)) == len(world.clears), told
    # A clear by hand after an ending begins a fresh budget; in the middle of one it uses up an attempt.
    assert len(world.clears) <= world.cap * (1 + len(world.manual)), told


def check_complete(world: World) -> None:
    """And where callbacks may die, but Redis remembers: every attempt is made, and the ending told."""
    told = f"seed {world.seed}: cap {world.cap}, clears {world.clears}, alerts {world.alerts}"
    record = world.retry.read("daily_load", "run")
    assert record is not None, told
    assert (record.status.value, record.acknowledged) == ("exhausted", True), told
    assert len(world.clears) == world.cap, told


@pytest.mark.parametrize("budget", [15.0, 0.0], ids=["repeats", "no time to repeat"])
class TestSchedules:
    @pytest.fixture(autouse=True)
    def deadline(self, budget: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_retry, "_BUDGET", budget)

    def test_no_fault(self, budget: float) -> None:
        for seed in range(SEEDS):
            world = simulate(seed)
            check_safe(world)
            check_complete(world)
            assert world.alerts == 1, seed

    def test_crashes_and_unclear_answers(self, budget: float) -> None:
        for seed in range(SEEDS):
            world = simulate(seed, kill=1 + seed % 3, api_before=1, api_after=1, lost_reply=1)
            check_safe(world)
            assert world.alerts <= 1 + seed % 3 + 1, seed

    def test_crashes_alone_lose_nothing(self, budget: float) -> None:
        for seed in range(SEEDS):
            world = simulate(seed, kill=1, lost_reply=2)
            check_safe(world)
            check_complete(world)
            assert 1 <= world.alerts <= 2, seed

    def test_redis_forgets(self, budget: float) -> None:
        for seed in range(SEEDS):
            check_safe(simulate(seed, redis_loss=2, kill=1, api_after=1))

    def test_people_clear_too(self, budget: float) -> None:
        for seed in range(SEEDS):
            check_safe(simulate(seed, manual_clear=1, kill=1, api_after=1, lost_reply=1))


# A rule taken out, what it is for, and the faults under which a schedule shows that it is missing.
MUTANTS: dict[str, tuple[str, str, dict[str, int]]] = {
    "a newer generation does not fence": ("if generation < current then", "if false then", {}),
    "nobody has the generation in hand": ("if not (unfinished and holder_dead) then", "if false then", {}),
    "endings are told again and again": ("local unfinished = record.due_at ~= '0'", "local unfinished = true", {}),
    "the same claim is not known": ("record.claim_id == claim_id then", "false then", {"kill": 1, "lost_reply": 2}),
    "no takeover by the Dag level": ("(takeover == '1' and record.level == 'task')", "false", {"kill": 1}),
    "Airflow is no witness": ("math.max(attempt, generation - base)", "attempt", {"redis_loss": 2}),
    "the cap is off by one": ("if used >= max_attempts then", "if used > max_attempts then", {}),
    # The published recipe does this, and so never ends.
    "a counter deleted at the end": ("return answer(verdict, reason)", """
        local told = answer(verdict, reason)
        if verdict == 'exhausted' then redis.call('DEL', run_key) end
        return told""", {}),
}  # fmt: skip


def caught(seed: int, **faults: int) -> bool:
    """Whether the schedule of this seed breaks a promise."""
    try:
        world = simulate(seed, **faults)
        check_safe(world)
        if not faults.get("redis_loss"):
            check_complete(world)
            assert 1 <= world.alerts <= 1 + faults.get("kill", 0)
    except AssertionError:
        return True
    return False


def first_caught(**faults: int) -> int:
    return next(seed for seed in range(1000) if caught(seed, **faults))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_rule_taken_out_is_missed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, instead, faults = MUTANTS[mutant]
    scripts = {
        verb: _counter._script(verb) for verb in ("claim", "renew", "confirm", "block", "acknowledge", "succeed")
    }
    assert rule in scripts["claim"]
    with monkeypatch.context() as patch:
        patch.setattr(_counter, "_script", (scripts | {"claim": scripts["claim"].replace(rule, instead)}).__getitem__)
        seed = first_caught(**faults)
    assert not caught(seed, **faults)


def test_a_clear_without_a_look_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedApi, "is_current", lambda *_: True)
        seed = first_caught(api_after=1)
    assert not caught(seed, api_after=1)
