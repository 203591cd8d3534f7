"""One Dag run in Airflow, its callbacks, what can happen next, and the promises that must hold.

Tasks fail, or succeed where that is asked for. As in Airflow each clear moves the generation, gives every task
instance a new id (here: the generation), and leaves a task that runs to be killed at some later time. Nobody waits for
anybody: every callback may go on, or stand still, at each of its requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from tests.simulation.flow import Callback, Flow, Kind, Point, Trouble
from tests.simulation.scripts import DAG, EPOCH, RUN, TTL, Record, Scripts

LIVING = ("running", "calling", "silent")
_REMEMBERED = 6
"""How many earlier records a stale replica may hold."""


class BrokenPromiseError(AssertionError):
    """A schedule led to what must not happen."""


class Task(NamedTuple):
    """A task instance.

    :param began: the generation in which its try began: what its callback will be told.
    :param phase: ``waiting`` for a run that is not running, ``calling`` while its callback runs, ``silent`` once its
        worker was lost.
    :param restarting: cleared while its process lived; a new try begins when that has ended.
    """

    began: int = 0
    try_number: int = 1
    phase: Literal["waiting", "running", "calling", "silent", "failed", "succeeded"] = "running"
    restarting: bool = False


class Actor(NamedTuple):
    """A callback that runs.

    :param at: where it stands.
    :param hurry: it looked, and clears before anything else happens: the milliseconds which the README states.
    """

    at: Point
    hurry: bool = False


class Faults(NamedTuple):
    """How many of each may still happen."""

    kill: int = 0
    """SIGKILL of a task, with its callback if that runs."""
    dag_kill: int = 0
    """SIGKILL of a callback in the dag processor."""
    silent: int = 0
    """A worker is lost, and noticed later."""
    dag_lost: int = 0
    """A Dag-level callback is never called."""
    duplicate: int = 0
    """A Dag-level callback is called twice, or late."""
    sweep: int = 0
    """A sweeper comes, whenever it likes."""
    miss: int = 0
    """A sweeper looks for failed runs that nobody has claimed."""
    lost_reply: int = 0
    """Redis did it, and redis-py asks again."""
    redis_before: int = 0
    """Redis is not reached."""
    redis_after: int = 0
    """Redis did it, and is not reached again."""
    api_look: int = 0
    """A look is not answered."""
    api_before: int = 0
    """A clear is not carried out, and not answered."""
    api_after: int = 0
    """A clear is carried out, and not answered."""
    api_late: int = 0
    """A clear is not answered, and carried out later."""
    refused: int = 0
    """A clear is refused for good."""
    loss: int = 0
    """Redis loses everything."""
    failover: int = 0
    """Redis fails over to a replica which has not the last writes."""
    manual_clear: int = 0
    """A person clears the run."""
    minute: int = 0
    """A minute passes."""
    leap: int = 0
    """Redis's clock is set a minute forward or back."""
    success: int = 0
    """A task succeeds."""
    gap: int = 0
    """Something happens between a look and its clear."""


class Tally(NamedTuple):
    """What the promises are about. A budget begins with the run, and with a clear by hand after an ending."""

    clears: int = 0
    """By callbacks, in this budget."""
    by_hand: int = 0
    """In this budget."""
    began: int = 0
    """The generation in which it began."""
    told: tuple[int, int] = (-1, 0)
    """The generation whose ending was told last, and how often. (After an ending only a person moves it.)"""
    again: int = 0
    """Reasons for which an alert may be told once more."""
    winner: tuple[int, str] = (-1, "")
    """The generation claimed last, and by whom."""
    forgot: bool = False
    """Redis lost something."""
    forgot_winner: bool = False
    """A winner that Redis forgot cleared, after others had ended the budget: the limit that the README states."""
    dag_lost: bool = False
    """A Dag-level callback was not called."""
    dag_trouble: int | None = None
    """The minute in which a callback in the dag processor was last killed, or met an API or a Redis that failed: until
    that is over, nobody comes after it."""


class State(NamedTuple):
    """All there is at one moment."""

    faults: Faults
    tasks: tuple[Task, ...]
    run: Literal["running", "failed", "succeeded"] = "running"
    generation: int = 0
    record: Record | None = None
    earlier: tuple[Record | None, ...] = ()
    minutes: int = 0
    queued: int = 0
    """The minute of the last clear."""
    sweepers: int = 0
    """How many came."""
    actors: tuple[Actor, ...] = ()
    late: tuple[tuple[int, bool], ...] = ()
    """Clears that are yet to be carried out: in which generation, and whether the run had ended when they began."""
    tally: Tally = Tally()


Move = tuple[Callable[..., State], tuple[Any, ...]]


class Airflow:
    """What can happen to a run, and what then becomes of it.

    :param flow: the callbacks.
    :param scripts: the scripts.
    :param cap: ``max_attempts``.
    :param level: where callbacks are attached, as ``dag_args`` has it.
    :param keep: whether ``on_manual_clear="keep"``, so that there is but one budget.
    :param hopeless: whether no failure is to be retried.
    :param sweeps: whether a sweeper comes, sooner or later, to what is due.
    """

    def __init__(
        self,
        flow: Flow,
        scripts: Scripts,
        cap: int,
        *,
        level: Literal["both", "dag", "task"] = "both",
        keep: bool = False,
        hopeless: bool = False,
        sweeps: bool = False,
    ) -> None:
        self._flow = flow
        self._scripts = scripts
        self._cap = cap
        self._level = level
        self._keep = keep
        self._hopeless = hopeless
        self._sweeps = sweeps

    # What can happen next

    def moves(self, state: State) -> Iterator[Move]:
        """Give everything that can happen next, but for faults."""
        if hurrying := [actor for actor in state.actors if actor.hurry]:
            yield self.step, (hurrying[0],)
            return
        for index, task in enumerate(state.tasks):
            if task.phase == "running":
                yield self.fail, (index,)
                if task.restarting:
                    yield self.end_quietly, (index,)
            elif task.phase == "silent":
                yield self.notice, (index,)
        for actor in state.actors:
            yield self.step, (actor,)
        for clear in state.late:
            yield self.carry_out, clear
        if state.run == "running" and not any(task.phase in LIVING for task in state.tasks):
            yield self.end_run, ()
        elif self._sweeps and not state.actors and not state.late and state.record and not state.record.at_rest:
            yield self.sweep_later, ()

    def faults(self, state: State) -> Iterator[Move]:
        """Give the faults that can happen next."""
        left = state.faults
        hurrying = [actor for actor in state.actors if actor.hurry]
        for actor in hurrying or state.actors:
            in_task = actor.at.callback.kind == "task"
            if left.kill if in_task else left.dag_kill:
                yield self.kill, (actor,)
            yield from self._troubles(actor, left)
        if hurrying:
            return
        for index, task in enumerate(state.tasks):
            if task.phase == "running":
                if left.kill:
                    yield self.kill_task, (index,)
                if left.silent:
                    yield self.fall_silent, (index,)
                if left.success:
                    yield self.succeed, (index,)
        if left.loss and state.record:
            yield self.lose, ()
        if left.failover:
            for record in state.earlier:
                yield self.fail_over, (record,)
        if left.manual_clear:
            yield self.clear_by_hand, ()
        if left.minute:
            yield self.wait_a_minute, ()
        if left.leap:
            yield self.leap, (1,)
            yield self.leap, (-1,)
        if state.run == "failed":
            if left.duplicate:
                yield self.call_again, ()
            if left.miss:
                yield self.miss, ()
        elif left.dag_lost and not any(task.phase in LIVING for task in state.tasks):
            yield self.end_run_unnoticed, ()
        if left.sweep and state.record and state.record.is_due(state.minutes):
            yield self.sweep, ()

    def _troubles(self, actor: Actor, left: Faults) -> Iterator[Move]:
        request = actor.at.request
        what = request.what if request else None
        if what == "script":
            for fault in ("lost_reply", "redis_before", "redis_after"):
                if getattr(left, fault):
                    yield self.step, (actor, fault)
        elif what in ("look", "is_still_current_try"):
            if left.api_look:
                yield self.step, (actor, "api_look")
            if left.gap and what == "look":
                yield self.step, (actor, "gap")
        elif what == "clear":
            for fault in ("api_before", "api_after", "api_late", "refused"):
                if getattr(left, fault):
                    yield self.step, (actor, fault)

    # Tasks

    def fail(self, state: State, index: int) -> State:
        """A task fails, and calls back in its process, before Airflow knows."""
        if self._level == "dag":
            return self._ended(state, index, "failed")
        task = state.tasks[index]
        return self._call(self._with(state, index, task._replace(phase="calling")), "task", index, task.began)

    def end_quietly(self, state: State, index: int) -> State:
        """A task that a clear kills ends without a callback."""
        return self._ended(state, index, "failed")

    def succeed(self, state: State, index: int) -> State:
        return self._ended(_less(state, "success"), index, "succeeded")

    def kill_task(self, state: State, index: int) -> State:
        return self._ended(_less(state, "kill"), index, "failed")

    def fall_silent(self, state: State, index: int) -> State:
        return self._with(_less(state, "silent"), index, state.tasks[index]._replace(phase="silent"))

    def notice(self, state: State, index: int) -> State:
        """The scheduler notices a silent task; its callback is told the generation and the id of this moment."""
        try_number = state.tasks[index].try_number
        state = self._ended(state, index, "failed")
        return state if self._level == "dag" else self._call(state, "lost", index, state.generation, try_number)

    def end_run(self, state: State) -> State:
        failed = any(task.phase == "failed" for task in state.tasks)
        state = state._replace(run="failed" if failed else "succeeded")
        if failed and self._level == "task":
            return state
        return self._call(state, "dag" if failed else "success", 0, state.generation)

    def end_run_unnoticed(self, state: State) -> State:
        if not any(task.phase == "failed" for task in state.tasks):
            return self.end_run(state)
        return _less(state, "dag_lost")._replace(run="failed", tally=state.tally._replace(dag_lost=True))

    def call_again(self, state: State) -> State:
        trouble = state.tally.dag_trouble
        if trouble is not None and state.minutes > trouble:  # whoever held a claim then has no lease any more
            state = state._replace(tally=state.tally._replace(dag_trouble=None))
        return self._call(_less(state, "duplicate"), "dag", 0, state.generation, again=state.faults.duplicate)

    def _ended(self, state: State, index: int, phase: Literal["failed", "succeeded"]) -> State:
        task = state.tasks[index]
        ended = self._begun(task, state.generation) if task.restarting else task._replace(phase=phase)
        return self._with(state, index, ended)

    def _begun(self, task: Task, generation: int) -> Task:
        return Task(generation, task.try_number + 1)

    def _with(self, state: State, index: int, task: Task) -> State:
        return state._replace(tasks=(*state.tasks[:index], task, *state.tasks[index + 1 :]))

    # Clears

    def clear_by_hand(self, state: State) -> State:
        state = _less(state, "manual_clear")
        record, tally = state.record, state.tally
        if record and record.ended and record.generation >= tally.began:
            tally = self._new_budget(tally, state.generation + 1)
        else:
            tally = tally._replace(by_hand=tally.by_hand + 1)
        return self._cleared(state)._replace(tally=tally)

    def _new_budget(self, tally: Tally, began: int) -> Tally:
        tally = tally._replace(began=began)
        return tally if self._keep else tally._replace(clears=0, by_hand=0)

    def carry_out(self, state: State, generation: int, had_ended: bool) -> State:
        """A clear that nobody awaits is carried out. Once the run has failed, Airflow leaves it so."""
        state = state._replace(late=tuple(clear for clear in state.late if clear != (generation, had_ended)))
        if generation != state.generation:
            return state  # what this costs is stated in the README
        run = state.run
        state = self._by_callback(state, generation)
        if run == "running" or had_ended:
            return state
        tasks = tuple(
            task._replace(phase="waiting") if task.phase == "running" and not task.restarting else task
            for task in state.tasks
        )
        return state._replace(run=run, tasks=tasks)

    def _queue(self, state: State) -> State:
        if state.run != "failed" or not any(task.phase == "waiting" for task in state.tasks):
            return state
        tasks = tuple(task._replace(phase="running") if task.phase == "waiting" else task for task in state.tasks)
        return state._replace(run="running", tasks=tasks)

    def _cleared(self, state: State) -> State:
        generation = state.generation + 1
        tasks = tuple(
            task._replace(restarting=True) if task.phase in LIVING else self._begun(task, generation)
            for task in state.tasks
        )
        return state._replace(generation=generation, run="running", tasks=tasks, queued=state.minutes)

    # Sweepers

    def sweep(self, state: State) -> State:
        return self._swept(_less(state, "sweep"))

    def sweep_later(self, state: State) -> State:
        """A minute later a sweeper comes: a fault for nobody."""
        state = state._replace(minutes=state.minutes + 1)
        return self._swept(state) if state.record and state.record.is_due(state.minutes) else state

    def _swept(self, state: State) -> State:
        number = state.sweepers + 1
        actor = Actor(self._flow.begin(Callback(f"sweeper{number}", "sweeper", 0, state.generation, 1)))
        return state._replace(sweepers=number, actors=_sorted((*state.actors, actor)))

    def miss(self, state: State) -> State:
        """A sweeper finds the run failed; a callback may be on its way all the same."""
        args = (DAG, RUN, TTL, 60_000, (EPOCH + 60 * state.queued) * 1000, "sweeper")
        state, _ = self._script(_less(state, "miss"), "miss", args)
        return state

    # Redis

    def lose(self, state: State) -> State:
        return _less(state, "loss")._replace(record=None, earlier=(), tally=self._forgot(state))

    def fail_over(self, state: State, record: Record | None) -> State:
        return _less(state, "failover")._replace(record=record, earlier=(), tally=self._forgot(state))

    def wait_a_minute(self, state: State) -> State:
        """Leases are over, and so is every callback: at the latest Airflow has killed it, after 20 s or 50 s."""
        state = _less(state, "minute")._replace(minutes=state.minutes + 1)
        for actor in state.actors:
            state = self._killed(state, actor)
        return state

    def leap(self, state: State, minutes: int) -> State:
        return _less(state, "leap")._replace(minutes=state.minutes + minutes, tally=_again(state.tally))

    def _forgot(self, state: State) -> Tally:
        return _again(state.tally)._replace(forgot=True)

    def _script(self, state: State, verb: str, args: tuple[Any, ...]) -> tuple[State, Any]:
        before = state.record
        if verb == "due":
            return state, ("", f"{DAG}:{RUN}") if before and before.is_due(state.minutes) else ("",)
        record, answer = self._scripts.run(before, state.minutes, verb, args)
        if record is not before:
            state = state._replace(record=record)
            if before and record:
                self._check_delay(before, record, state.minutes)
            if record and record.ended and state.tally.began <= record.generation < state.generation:
                # A person cleared the run while its ending was on its way: with that clear a budget began.
                tally = self._new_budget(state.tally, record.generation + 1)
                state = state._replace(tally=tally._replace(by_hand=state.generation - tally.began))
            if state.faults.failover:
                state = state._replace(earlier=(*state.earlier, before)[-_REMEMBERED:])
        return state, answer

    # Callbacks

    def _call(
        self, state: State, kind: Kind, task: int, generation: int, try_number: int = 1, *, again: int = 0
    ) -> State:
        name = f"{kind}{task if kind in ('task', 'lost') else ''}@{generation}{'+' * again}"
        actor = Actor(self._flow.begin(Callback(name, kind, task, generation, try_number)))
        return state._replace(actors=_sorted((*state.actors, actor)))

    def kill(self, state: State, actor: Actor) -> State:
        return self._killed(_less(state, "kill" if actor.at.callback.kind == "task" else "dag_kill"), actor)

    def _killed(self, state: State, actor: Actor) -> State:
        tally = _again(state.tally)
        if actor.at.callback.kind != "task":
            tally = tally._replace(dag_trouble=state.minutes)
        return self._left(state._replace(tally=tally), actor)

    def step(self, state: State, actor: Actor, fault: str | None = None) -> State:
        """A callback's request is answered, or one with a fault is not."""
        callback, request = actor.at.callback, actor.at.request
        if fault:
            state = _less(state, fault)
            if fault.startswith(("redis", "api")):
                tally = _again(state.tally)
                if callback.kind != "task":
                    tally = tally._replace(dag_trouble=state.minutes)
                state = state._replace(tally=tally)
        if request is None:
            return self._left(state, actor)
        answer: Any = None
        if fault in ("redis_before", "redis_after"):
            answer = Trouble.REDIS
        elif fault == "refused":
            answer = Trouble.REFUSED
        elif fault and fault.startswith("api"):
            answer = Trouble.UNCONFIRMED
        if request.what == "script" and fault != "redis_before":
            state, answered = self._script(state, request.of, request.args)
            answer = answer or answered
            if fault == "lost_reply":
                return state
            if request.of == "claim" and answer is answered:
                state = state._replace(tally=self._claimed(state, actor, answered))
        elif request.what == "look" and not answer:
            answer = request.of == str(state.generation)
        elif request.what == "is_still_current_try" and not answer:
            answer = self._is_still_current_try(state, request.of, *request.args)
        elif request.what == "queue":
            state = self._queue(state)
        elif request.what == "clear" and fault == "api_late":
            state = state._replace(late=tuple(sorted({*state.late, (state.generation, state.run != "running")})))
        elif request.what == "clear" and fault not in ("api_before", "refused"):
            # A sweeper has looked, at the try of whatever it took.
            of_sweeper = callback.kind == "sweeper"
            state = self._by_callback(state, state.generation if of_sweeper else callback.generation)
        elif request.what == "read":
            answer = state.record
        elif request.what == "hook":
            state = state._replace(tally=self._alert(state, callback))
        at = actor.at.after(answer)
        hurry = fault != "gap" and answer is True and at.request is not None and at.request.what == "clear"
        actors = (*(other for other in state.actors if other is not actor), actor._replace(at=at, hurry=hurry))
        return state._replace(actors=_sorted(actors))

    def _left(self, state: State, actor: Actor) -> State:
        """A callback has ended, and its task with it."""
        state = state._replace(actors=tuple(other for other in state.actors if other is not actor))
        callback = actor.at.callback
        return self._ended(state, callback.task, "failed") if callback.kind == "task" else state

    def _is_still_current_try(self, state: State, ti_id: str, task_id: str, try_number: int) -> bool:
        task = state.tasks[int(task_id)]
        where_it_was = (ti_id, try_number) == (str(state.generation), task.try_number)
        return where_it_was and not task.restarting and task.phase in ("running", "silent", "failed")

    # Promises

    def _claimed(self, state: State, actor: Actor, answer: str) -> Tally:
        """G1: one winner in a generation."""
        callback, tally = actor.at.callback, state.tally
        verdict, reason, *_ = json.loads(answer)
        if verdict != "won" or reason in ("taken_over", "due"):
            return tally
        generation, name = tally.winner
        if not tally.forgot and callback.generation <= generation and name != callback.name:
            raise BrokenPromiseError(f"two winners of generation {callback.generation}: {name}, {callback.name}")
        return tally._replace(winner=(callback.generation, callback.name))

    def _check_delay(self, before: Record, after: Record, minutes: int) -> None:
        """What waits is claimed when it is due; a clear by hand and another failure begin something new."""
        same = before.generation == after.generation
        if same and (before.status, after.status) == ("waiting", "claimed") and not before.is_due(minutes):
            raise BrokenPromiseError("a delay was cut short")

    def _by_callback(self, state: State, generation: int) -> State:
        """G2: never over the cap; G3, G4: only for a failure of this generation, and not after success."""
        tally = state.tally._replace(clears=state.tally.clears + 1)
        if self._hopeless:
            raise BrokenPromiseError("a hopeless failure was retried")
        if state.record and state.record.ended:
            if not tally.forgot:
                raise BrokenPromiseError(f"a clear after the ending {state.record}")
            tally = tally._replace(forgot_winner=True)
        if tally.clears > self._cap and not tally.forgot_winner:
            raise BrokenPromiseError(f"over the cap: {tally.clears} clears")
        if generation != state.generation:
            raise BrokenPromiseError(f"a failure of {generation} clears {state.generation}")
        if not any(task.began == state.generation and task.phase in ("calling", "failed") for task in state.tasks):
            raise BrokenPromiseError(f"a clear in {state.generation}, where nothing failed")
        return self._cleared(state)._replace(tally=tally)

    def _alert(self, state: State, callback: Callback) -> Tally:
        """G6: told once; once more only where whoever told it may not have lived to say so."""
        tally = state.tally
        generation, alerts = tally.told
        of = state.record.generation if callback.kind == "sweeper" and state.record else callback.generation
        if tally.forgot or of < generation:
            return tally
        alerts = alerts + 1 if of == generation else 1
        if alerts > 1 + tally.again:
            raise BrokenPromiseError(f"{alerts} alerts")
        return tally._replace(told=(of, alerts))

    def check_rest(self, state: State) -> None:
        """G3, G5, G6, where nothing can happen any more but a fault: nothing lost, nothing stuck, nothing untold."""
        tally, record = state.tally, state.record
        if self._sweeps and record and not record.at_rest:
            raise BrokenPromiseError(f"nobody takes {record}")
        if tally.dag_lost and (
            record is None or record.generation < state.generation or record.status in ("retrying", "unclaimed")
        ):
            return  # what only a look at Airflow's failed runs finds
        if tally.dag_trouble is not None or tally.forgot or (self._level == "task" and tally.again):
            return
        if state.run == "succeeded":
            if record and record.status != "succeeded":
                raise BrokenPromiseError(f"the run succeeded, and its record says {record.status}")
            return
        if record is None or record.status not in ("exhausted", "blocked", "skipped") or not record.at_rest:
            raise BrokenPromiseError(f"stuck: the run failed, and its record is {record}")
        if record.status == "exhausted" and tally.clears + tally.by_hand < self._cap:
            raise BrokenPromiseError(f"lost: given up after {tally.clears} clears")
        if tally.told[0] != record.generation:
            raise BrokenPromiseError("nobody was told")


def _less(state: State, fault: str) -> State:
    left: Any = {fault: getattr(state.faults, fault) - 1}
    return state._replace(faults=state.faults._replace(**left))


def _again(tally: Tally) -> Tally:
    return tally._replace(again=tally.again + 1)


def _sorted(actors: tuple[Actor, ...]) -> tuple[Actor, ...]:
    return tuple(sorted(actors, key=lambda actor: actor.at.callback.name))
