"""A team that carries runs out, as Airflow does: eight tasks that fail together, then the Dag-level callback."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from redis import Redis

from dag_retry import AttemptCounter, DagRetry, DagRetryError, Status
from tests import contexts
from tests.servers import PATIENCE
from tests.soak.api import DAG, NAMESPACE, Runs, ti_id

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
    :param late: whether a ninth task of each generation calls back only when the next one fails or succeeds.
    """

    run_id: str
    failures: int
    kill: Kill
    late: bool


@dataclass
class Result:
    """What came of a run, as far as Redis does not tell."""

    plan: Plan
    generation: int = 0
    attempts: int = 0
    """Clears that callbacks made in the present budget."""
    most_attempts: int = 0
    """Of any budget."""
    by_hand: int = 0
    callbacks: int = 0
    killed: int = 0
    dag_level: int = 0
    redis_errors: int = 0
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


class Worker:
    """A process that runs one callback after the other, until it is killed."""

    def __init__(self, team: Team) -> None:
        fork = multiprocessing.get_context("fork")
        self.connection, theirs = fork.Pipe()
        # A pipe ends when all who hold its other end are gone: no worker may hold another's.
        inherited = [self.connection, *(worker.connection for worker in team.workers if not worker.connection.closed)]
        self.process = fork.Process(target=_work, args=(theirs, inherited, team), daemon=True)
        self.process.start()
        theirs.close()

    def bury(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def _work(connection: Connection, inherited: list[Connection], team: Team) -> None:
    for other in inherited:
        other.close()
    log = logging.getLogger("dag_retry")
    log.propagate = False
    warned: list[str] = []
    log.handlers = [_Into(warned)]

    def alert(context: Any) -> None:
        # In a file, so that it is known although the process is killed a moment later.
        with os.fdopen(os.open(team.alerts, os.O_APPEND | os.O_CREAT | os.O_WRONLY), "w") as alerts:
            alerts.write(f"{context['dag_retry'].run_id}\n")

    where = {"REDIS_URL": team.redis_url, "API_URL": team.runs.url, "NAMESPACE": NAMESPACE}
    os.environ.update({f"AIRFLOW__DAG_RETRY__{name}": value for name, value in where.items()})
    retry = DagRetry(CAP, on_exhausted=alert)
    while True:
        try:
            callback: Callback = connection.recv()
        except EOFError:
            return
        warned.clear()
        error = ""
        try:
            (retry.on_success if callback.level == "success" else retry.on_failure)(callback.context())
        except DagRetryError as known:
            error = type(known).__name__
        except Exception as unknown:  # noqa: BLE001 (whoever leads reports it)
            error = repr(unknown)
        connection.send((error, [message for message in warned if "was not recorded" in message]))


class _Into(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


class Team:
    """Eight workers for the tasks of a run, and one for the Dag level and for who comes late.

    :param redis_url: where attempts are counted.
    :param runs: the stand-in for Airflow.
    :param alerts: a file that takes a line for each alert.
    :param seed: for the moments of random kills.
    """

    def __init__(self, redis_url: str, runs: Runs, alerts: Path, seed: int) -> None:
        self.redis_url = redis_url
        self.runs = runs
        self.alerts = alerts
        self.workers: list[Worker] = []
        self._random = random.Random(seed)
        self._lasts = 0.02
        self._redis = Redis.from_url(redis_url, retry=PATIENCE)
        self._counter = AttemptCounter(self._redis, namespace=NAMESPACE)

    def lead(self, plans: list[Plan], results: Connection) -> None:
        """Carry runs out, one after the other, and send what came of each."""
        try:
            for _ in range(BRANCHES + 1):
                self.workers.append(Worker(self))
            for plan in plans:
                results.send(self._carry_out(plan))
        finally:
            for worker in self.workers:
                worker.bury()
            results.close()

    def _carry_out(self, plan: Plan) -> Result:
        result = Result(plan)
        late: list[Callback] = []
        while result.generation < plan.failures and not result.stuck:
            failed = result.generation
            tasks = [Callback("task", plan.run_id, failed, f"branch_{index}") for index in range(BRANCHES)]
            self._together([*tasks, *late], result, plan.kill if failed == 0 else "")
            late = [Callback("task", plan.run_id, failed, "late")] if plan.late else []
            if not self._moved(result) and not self._dag_level(result):
                break
        else:
            self._together([Callback("success", plan.run_id, result.generation, "branch_0")], result)
        # Where the run succeeds or is given up, it is most important that who comes late loses.
        self._together([*[None] * BRANCHES, *late], result)
        if self._moved(result):
            result.stuck = "cleared after its end"
        return result

    def _moved(self, result: Result, *, by_hand: bool = False) -> bool:
        """Look whether the failed generation has been cleared, and go on to the next."""
        now = self.runs.generation(result.plan.run_id)
        if now > result.generation + 1:
            result.stuck = f"cleared {now - result.generation} times for one failure"
        moved, result.generation = now > result.generation, now
        result.attempts += moved and not by_hand
        result.most_attempts = max(result.most_attempts, result.attempts)
        return moved

    def _dag_level(self, result: Result) -> bool:
        """Airflow fails the run, and calls back: is it started again?"""
        run_id, failed = result.plan.run_id, result.generation
        result.dag_level += 1
        (error,) = self._together([*[None] * BRANCHES, Callback("dag", run_id, failed, "branch_0")], result)
        if self._moved(result):
            return True
        record = self._counter.read(DAG, run_id)
        if record and (record.status, record.generation, record.acknowledged) == (Status.EXHAUSTED, failed, True):
            return False
        if not error:
            result.stuck = f"failed, and nobody said so: {record}"
            return False
        # What the log asks for: Redis was away at both levels. Where only its answer was lost, or what told the ending
        # of it, the budget is over all the same, and this clear begins a fresh one.
        result.by_hand += 1
        self.runs.clear(run_id)
        if record and (record.status, record.generation) == (Status.EXHAUSTED, failed):
            result.attempts = 0
        return self._moved(result, by_hand=True)

    def _together(self, callbacks: list[Callback | None], result: Result, kill: Kill = "") -> list[str]:
        """Have each worker run a callback, all at once; return how those ended that lived, '' for well."""
        if not any(callback and callback.level == "task" for callback in callbacks):
            # Airflow calls back for a Dag seconds after the tasks have ended. (And Redis may be killed then, again.)
            self._redis.ping()
        if kill in ("look", "clear"):
            self.runs.kill_at(result.plan.run_id, kill)
        begin = time.monotonic()
        dead: set[int] = set()
        busy: dict[Any, int] = {}
        for index, callback in enumerate(callbacks):
            if callback:
                self.workers[index].connection.send(callback)
                busy[self.workers[index].connection] = index
        result.callbacks += len(busy)
        if kill in ("one", "all"):
            time.sleep(self._random.uniform(0, self._lasts))
            victims = range(BRANCHES) if kill == "all" else [self._random.randrange(BRANCHES)]
            for victim in victims:
                self.workers[victim].process.kill()
            dead.update(victims)
        errors: list[str] = []
        while busy:
            for connection in wait(list(busy)):
                index = busy.pop(connection)
                try:
                    error, unrecorded = self.workers[index].connection.recv()
                except (EOFError, ConnectionResetError):
                    result.killed += 1
                    dead.add(index)
                    continue
                errors.append(error)
                result.unrecorded |= bool(unrecorded)
                result.redis_errors += error == "CounterError"
                if error not in ("", "CounterError"):
                    result.unexpected.append(error)
        if kill:
            result.moments.append(self._moment(result))
        else:
            self._lasts = time.monotonic() - begin
        for index in dead:
            self.workers[index].bury()
            self.workers[index] = Worker(self)
        return errors

    def _moment(self, result: Result) -> str:
        """Say how far the winner had come when the kill was over."""
        record = self._counter.read(DAG, result.plan.run_id)
        if record is None:
            return "before any claim"
        if record.status is not Status.CLAIMED:
            return "after the winner was done, or of another"
        cleared = self.runs.generation(result.plan.run_id) > record.generation
        return "between clear and confirm" if cleared else "between claim and clear"
