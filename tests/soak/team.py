"""A team that carries runs out, as Airflow does: eight tasks that fail together, then the Dag-level callback."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from redis import Redis

from dag_retry import AttemptCounter, DagRetry, RunRecord, Status
from dag_retry._redis.overview import Overview
from dag_retry._redis.views import Unreadable
from tests import contexts
from tests.servers import PATIENCE
from tests.soak.api import DAG, ti_id
from tests.soak.runs import NAMESPACE, Misanswer, Runs
from tests.soak.worker import FAULTS, Worker

CAP = 2
BRANCHES = 8

Kill = Literal["", "look", "clear", "one", "all"]
"""Who is killed in a run, and when: the winner between claim and clear, the winner between clear and confirm, one
process at any moment, all eight at any moment."""


class Plan(NamedTuple):
    """One run.

    :param run_id: its id.
    :param failures: how many generations fail; more than the cap for a run that never recovers.
    :param kill: what befalls its first generation.
    :param misanswer: how its first clear is answered.
    :param late: whether a ninth task of each generation calls back only when the next one fails or succeeds.
    """

    run_id: str
    failures: int
    kill: Kill
    misanswer: Misanswer
    late: bool


@dataclass
class Result:
    """What came of a run, as far as Redis does not tell."""

    plan: Plan
    generation: int = 0
    left: bool = False
    """Whether its callbacks have left it to a sweeper."""
    times_left: int = 0
    callbacks: int = 0
    killed: int = 0
    dag_level: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    stuck: str = ""
    unrecorded: bool = False
    unexpected: list[str] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)


class Callback(NamedTuple):
    level: Literal["task", "dag", "success"]
    run_id: str
    generation: int
    task_id: str

    def context(self) -> dict[str, Any]:
        make = {"task": contexts.task_failed, "dag": contexts.dag_failed, "success": contexts.dag_succeeded}[self.level]
        context = make(self.generation)
        context["ti"].id, context["ti"].task_id = ti_id(self.task_id, self.generation), self.task_id
        run = contexts.dag_run(self.generation, DAG, self.run_id)
        return context | {"dag_run": run, "run_id": run.run_id, "dag": SimpleNamespace(dag_id=DAG)}


def call_back(callback: Callback) -> None:
    # Airflow parses the Dag file anew for each callback.
    retry = DagRetry(CAP)
    (retry.on_success if callback.level == "success" else retry.on_failure)(callback.context())


class Team:
    """Eight workers for the tasks of a run, and one for the Dag level and for who comes late.

    :param redis_url: where attempts are counted.
    :param runs: the stand-in for Airflow.
    :param seed: for the moments of random kills.
    """

    def __init__(self, redis_url: str, runs: Runs, seed: int) -> None:
        self.runs = runs
        self.workers: list[Worker] = []
        self._random = random.Random(seed)
        self._lasts = 0.02
        self._redis = Redis.from_url(redis_url, retry=PATIENCE)
        self._counter = AttemptCounter(self._redis, namespace=NAMESPACE)
        self._overview = Overview(self._redis, namespace=NAMESPACE)
        self._left: list[Result] = []

    def lead(self, plans: list[Plan], results: Connection) -> None:
        """Carry runs out, and send what came of each. While a run waits for a sweeper, others are carried out."""
        try:
            for _ in range(BRANCHES + 1):
                self.workers.append(Worker(call_back, self.workers))
            for plan in plans:
                self.runs.plan(plan.run_id, plan.kill, plan.misanswer)
                self._carry_out(Result(plan), results)
                self._go_on(results)
            while self._left:
                time.sleep(0.1)
                self._go_on(results)
        finally:
            for worker in self.workers:
                worker.bury()
            results.close()

    def _go_on(self, results: Connection) -> None:
        """Go on with the runs that a sweeper has finished."""
        if not self._left:
            return
        run_ids = [result.plan.run_id for result in self._left]
        generations = self.runs.generations(run_ids)
        records = self._overview.records([(DAG, run_id) for run_id in run_ids])
        for result, generation, record in zip(list(self._left), generations, records, strict=True):
            if generation > result.generation or has_ended(record, result.generation):
                self._left.remove(result)
                self._carry_out(result, results)

    def _carry_out(self, result: Result, results: Connection) -> None:
        """Carry a run out until it ends, or must wait for a sweeper."""
        run_id = result.plan.run_id
        while result.generation < result.plan.failures and not result.stuck:
            moved = self._moved(result) if result.left else self._fail(result)
            if not moved:
                if not has_ended(self._counter.read(DAG, run_id), result.generation):
                    self.runs.rest(run_id)
                    result.times_left += not result.left
                    result.left = True
                    self._left.append(result)
                    return
                late = result.generation
                break
            result.left = False
        else:
            late = result.generation - 1
            self.runs.end(run_id, "success")
            self._together([Callback("success", run_id, result.generation, "branch_0")], result)
        # Where the run succeeds or is given up, it is most important that who comes late loses.
        if result.plan.late:
            self._together([*[None] * BRANCHES, Callback("task", run_id, late, "late")], result)
        if self._moved(result):
            result.stuck = "cleared after its end"
        self.runs.rest(run_id)
        results.send(result)

    def _fail(self, result: Result) -> bool:
        """Have the tasks of a run fail, then the run, unless it is cleared before: is it started again?"""
        run_id, failed = result.plan.run_id, result.generation
        tasks = [Callback("task", run_id, failed, f"branch_{index}") for index in range(BRANCHES)]
        late = [Callback("task", run_id, failed - 1, "late")] if result.plan.late and failed else []
        self._together([*tasks, *late], result, "" if failed else result.plan.kill)
        if self._moved(result):
            return True
        result.dag_level += 1
        self.runs.end(run_id, "failed")
        self._together([*[None] * BRANCHES, Callback("dag", run_id, failed, "branch_0")], result)
        return self._moved(result)

    def _moved(self, result: Result) -> bool:
        """Look whether the failed generation has been cleared, and go on to the next."""
        now = self.runs.generation(result.plan.run_id)
        if now > result.generation + 1:
            result.stuck = f"cleared {now - result.generation} times for one failure"
        moved, result.generation = now > result.generation, now
        return moved

    def _together(self, callbacks: list[Callback | None], result: Result, kill: Kill = "") -> None:
        """Have each worker run a callback, all at once."""
        begin = time.monotonic()
        dead: set[int] = set()
        busy: dict[Any, int] = {}
        for index, callback in enumerate(callbacks):
            if callback and self.workers[index].give(callback):
                busy[self.workers[index].connection] = index
            elif callback:
                # It has not waited for the answer at which it was to be killed, and has been killed since.
                result.killed += 1
                dead.add(index)
        result.callbacks += len(busy)
        if kill in ("one", "all"):
            time.sleep(self._random.uniform(0, self._lasts))
            victims = range(BRANCHES) if kill == "all" else [self._random.randrange(BRANCHES)]
            for victim in victims:
                self.workers[victim].process.kill()
            dead.update(victims)
        while busy:
            for connection in wait(list(busy)):
                index = busy.pop(connection)
                answer = self.workers[index].answer()
                if answer is None:
                    result.killed += 1
                    dead.add(index)
                    continue
                error, warned = answer
                result.unrecorded |= any("was not recorded" in message for message in warned)
                if error in FAULTS:
                    result.faults[error] += 1
                elif error:
                    result.unexpected.append(error)
        if kill:
            result.moments.append(self._moment(result))
        else:
            self._lasts = time.monotonic() - begin
        for index in dead:
            self.workers[index].bury()
            self.workers[index] = Worker(call_back, self.workers)

    def _moment(self, result: Result) -> str:
        """Say how far the winner had come when the kill was over."""
        record = self._counter.read(DAG, result.plan.run_id)
        if record is None:
            return "before any claim"
        if record.status is not Status.CLAIMED:
            return "after the winner was done, or of another"
        cleared = self.runs.generation(result.plan.run_id) > record.generation
        return "between clear and confirm" if cleared else "between claim and clear"


def has_ended(record: RunRecord | Unreadable | None, generation: int) -> bool:
    """Return whether the run is given up in this generation, and its hook was told."""
    return (
        isinstance(record, RunRecord)
        and (record.status, record.generation) == (Status.EXHAUSTED, generation)
        and record.acknowledged
    )
