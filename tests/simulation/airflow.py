"""One Dag run in Airflow, its callbacks, what can happen next, and the promises that must hold.

Tasks fail, or succeed where that is asked for. As in Airflow each clear moves the generation, gives every task
instance a new id (which tells its era: the clears so far, and those of the runs that had this id before), and leaves a
task that runs to be killed at some later time. Nobody waits for anybody: every callback may go on, or stand still, at
each of its requests. The atomic way's clear asks the real decision of the route.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from dag_retry._airflow.audit_log import SetByHand, Try
from dag_retry.plugin.clear.decision import decide
from dag_retry.plugin.clear.messages import ClearRequest
from dag_retry.plugin.clear.our_clears import OurClear
from tests.simulation.flow import Callback, Flow, Kind, Look, Point, Request, Trouble, frozen
from tests.simulation.scripts import DAG, EPOCH, RUN, TTL, Record, Scripts

LIVING = ("running", "calling", "silent")
_UNCLEARED = ("waiting", "claimed", "exhausted", "blocked", "skipped")
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
    :param said: the state that a person has set while its process lived.
    """

    began: int = 0
    try_number: int = 1
    phase: Literal["waiting", "running", "calling", "silent", "failed", "succeeded"] = "running"
    restarting: bool = False
    said: Literal["", "success", "failed"] = ""

    @property
    def state(self) -> str:
        """The state in Airflow's database."""
        if self.said:
            return self.said
        if self.phase in LIVING:
            return "restarting" if self.restarting else "running"
        return {"waiting": "", "failed": "failed", "succeeded": "success"}[self.phase]


class Actor(NamedTuple):
    """A callback that runs.

    :param at: where it stands.
    :param hurry: it looked, then renews and clears before anything else happens: the moment between look and
        clear. It can still be killed, or not be answered.
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
    uncalled: int = 0
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
    run_success: int = 0
    """A person sets the run to success."""
    run_failed: int = 0
    """A person sets the run to failed."""
    task_success: int = 0
    """A person sets a task that failed to success."""
    delete: int = 0
    """A person deletes the run, and then makes another one with its id."""
    cancel: int = 0
    """A person cancels the retry, perhaps in advance."""
    reset: int = 0
    """A person resets the attempts of a run that nobody has claimed."""
    pause: int = 0
    """A person pauses the Dag, and unpauses it where nothing else can happen."""
    success: int = 0
    """A task succeeds."""
    gap_after_look: int = 0
    """Something happens between a look and the renewal of the claim."""
    gap_before_clear: int = 0
    """Something happens between the renewal of the claim and the clear."""


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
    """A winner that Redis forgot cleared, after others had ended the budget: a limit in ``lua/README.md``."""
    cancelled: bool = False
    """A person has cancelled the retry, and nobody has cleared the run since."""
    uncalled: bool = False
    """A Dag-level callback was not called."""
    dag_trouble: int | None = None
    """The minute in which a callback in the dag processor was last killed, or met an API or a Redis that failed: until
    that is over, nobody comes after it."""


class State(NamedTuple):
    """All there is at one moment."""

    faults: Faults
    tasks: tuple[Task, ...]
    run: Literal["running", "failed", "succeeded", "gone"] = "running"
    generation: int = 0
    made: int = 0
    """The era in which the run was made."""
    started: int = 0
    """The era in which the run last began."""
    paused: bool = False
    decided: tuple[str, ...] = ()
    """What a person has set the run, or the task that failed, to, since the last clear."""
    ours: tuple[OurClear, ...] = ()
    """The lines of the route in Airflow's audit log, the newest first."""
    record: Record | None = None
    earlier: tuple[Record | None, ...] = ()
    minutes: int = 0
    queued: int = 0
    """The minute of the last clear."""
    sweepers: int = 0
    """How many came."""
    actors: tuple[Actor, ...] = ()
    late: tuple[tuple[int, bool, tuple[Any, ...]], ...] = ()
    """Clears that are yet to be carried out: in which generation, whether the run had ended when they began, and what
    the route was asked."""
    tally: Tally = Tally()


Move = tuple[Callable[..., State], tuple[Any, ...]]


class Airflow:
    """What can happen to a run, and what then becomes of it.

    :param flow: the callbacks.
    :param scripts: the scripts.
    :param level: where callbacks are attached, as ``dag_args`` has it.
    :param keep: whether ``on_manual_clear="keep"``, so that there is but one budget.
    :param hopeless: whether no failure is to be retried.
    :param sweeps: whether a sweeper comes, sooner or later, to what is due.
    :param harmless: the tasks whose failure does not fail the run.
    :param keeps_ids: whether a cleared running task keeps its id until it has ended, as on Airflow 3.4.
    """

    def __init__(
        self,
        flow: Flow,
        scripts: Scripts,
        *,
        level: Literal["both", "dag", "task"] = "both",
        keep: bool = False,
        hopeless: bool = False,
        sweeps: bool = False,
        harmless: Collection[int] = (),
        keeps_ids: bool = False,
    ) -> None:
        self.flow = flow
        self._scripts = scripts
        self._cap = flow.cap
        self._level = level
        self._keep = keep
        self._hopeless = hopeless
        self._sweeps = sweeps
        self._harmless = harmless
        self._keeps_ids = keeps_ids
        self._atomic = flow.way == "atomic"

    # What can happen next

    def moves(self, state: State) -> Iterator[Move]:
        """Give everything that can happen next, but for faults."""
        if hurrying := [actor for actor in state.actors if actor.hurry]:
            yield self.step, (hurrying[0],)
            return
        for index, task in enumerate(state.tasks):
            if task.phase == "running":
                yield self.fail, (index,)
                if task.restarting or task.said:
                    yield self.end_quietly, (index,)
            elif task.phase == "silent":
                yield self.notice, (index,)
        for actor in state.actors:
            yield self.step, (actor,)
        for clear in state.late:
            yield self.carry_out, clear
        if state.run == "running" and not any(task.phase in LIVING for task in state.tasks):
            yield self.end_run, ()
        elif state.run == "gone" and not state.late:
            yield self.make_anew, ()
        elif state.paused and not state.actors and not state.late:
            yield self.unpause, ()
        elif self._sweeps and not state.actors and not state.late and state.record and state.record.is_for_sweepers:
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
        yield from self._people(state, left)
        if left.minute:
            yield self.wait_a_minute, ()
        if left.leap:
            yield self.leap, (1,)
            yield self.leap, (-1,)
        if state.run == "failed":
            if left.duplicate and not state.decided:
                yield self.call_again, ()
            if left.miss:
                yield self.miss, ()
        elif state.run == "running" and left.uncalled and not any(task.phase in LIVING for task in state.tasks):
            yield self.end_run_unnoticed, ()
        if left.sweep and state.record and state.record.is_due(state.minutes):
            yield self.sweep, ()

    def _people(self, state: State, left: Faults) -> Iterator[Move]:
        if state.run == "gone":
            return
        if left.manual_clear:
            yield self.clear_by_hand, ()
        if left.run_success and state.run != "succeeded":
            yield self.set_run, ("run_success", "succeeded", "success")
        if left.run_failed and state.run != "succeeded":
            yield self.set_run, ("run_failed", "failed", "failed")
        if left.task_success:
            for index, task in enumerate(state.tasks):
                if task.phase in ("calling", "failed") and not task.restarting and task.began == state.generation:
                    yield self.set_task, (index,)
        if left.delete:
            yield self.delete, ()
        if left.cancel:
            yield self.cancel, ()
        if left.reset and state.record and state.record.status == "unclaimed":
            yield self.reset, ()
        if left.pause and not state.paused:
            yield self.pause, ()

    def _troubles(self, actor: Actor, left: Faults) -> Iterator[Move]:
        request = actor.at.request
        what = request.what if request else None
        if what == "script":
            for fault in ("lost_reply", "redis_before", "redis_after"):
                if getattr(left, fault):
                    yield self.step, (actor, fault)
            if left.gap_before_clear and request and request.of == "renew":
                yield self.step, (actor, "gap_before_clear")
        elif what in ("look", "is_still_current_try"):
            if left.api_look:
                yield self.step, (actor, "api_look")
            if left.gap_after_look and what == "look":
                yield self.step, (actor, "gap_after_look")
        elif what == "clear":
            for fault in ("api_before", "api_after", "api_late", "refused"):
                if getattr(left, fault):
                    yield self.step, (actor, fault)

    # Tasks

    def fail(self, state: State, index: int) -> State:
        """A task fails, and calls back in its process, before Airflow knows."""
        if self._level == "dag" and not self.flow.judges:
            return self._ended(state, index, "failed")
        task = state.tasks[index]
        return self._call(self._with(state, index, task._replace(phase="calling")), "task", index, task)

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
        task = state.tasks[index]._replace(began=state.generation)
        state = self._ended(state, index, "failed")
        called = self._level != "dag" or self.flow.judges
        return self._call(state, "timeout", index, task) if called else state

    def end_run(self, state: State) -> State:
        failed = self._failed(state)
        state = state._replace(run="succeeded" if failed is None else "failed")
        if failed is not None and self._level == "task":
            return state
        return self._call_dag(state, "success" if failed is None else "dag")

    def _failed(self, state: State) -> int | None:
        """Return a task that failed, and failed the run with it."""
        failed = (index for index, task in enumerate(state.tasks) if task.phase == "failed")
        return next((index for index in failed if index not in self._harmless), None)

    def end_run_unnoticed(self, state: State) -> State:
        if self._failed(state) is None:
            return self.end_run(state)
        return _less(state, "uncalled")._replace(run="failed", tally=state.tally._replace(uncalled=True))

    def call_again(self, state: State) -> State:
        trouble = state.tally.dag_trouble
        if trouble is not None and state.minutes > trouble:  # whoever held a claim then has no lease any more
            state = state._replace(tally=state.tally._replace(dag_trouble=None))
        return self._call_dag(_less(state, "duplicate"), "dag", again=state.faults.duplicate)

    def _ended(self, state: State, index: int, phase: Literal["failed", "succeeded"]) -> State:
        task = state.tasks[index]
        if task.said:
            ended = task._replace(phase="succeeded" if task.said == "success" else "failed", restarting=False, said="")
        else:
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
        return self._cleared(state._replace(tally=tally))

    def _new_budget(self, tally: Tally, began: int) -> Tally:
        tally = tally._replace(began=began)
        return tally if self._keep else tally._replace(clears=0, by_hand=0)

    def set_run(self, state: State, fault: str, run: Any, said: Any) -> State:
        """A person sets the state of the run: what runs of it is killed, and nobody is called back."""
        state = _less(state, fault)
        phase: Any = "succeeded" if said == "success" else "failed"
        tasks = tuple(
            task._replace(said=said)
            if task.phase in LIVING
            else task._replace(phase=phase if task.phase == "waiting" or said == "success" else task.phase)
            for task in state.tasks
        )
        return state._replace(run=run, tasks=tasks, decided=(*state.decided, said))

    def set_task(self, state: State, index: int) -> State:
        """A person sets a failed task to success. The run stays as it is."""
        task = state.tasks[index]
        task = task._replace(said="success") if task.phase == "calling" else task._replace(phase="succeeded")
        state = self._with(_less(state, "task_success"), index, task)
        return state._replace(decided=(*state.decided, f"task {index}"))

    def delete(self, state: State) -> State:
        state = _less(state, "delete")
        tasks = tuple(task._replace(phase="succeeded") for task in state.tasks)
        tally = state.tally._replace(winner=(-1, ""))
        return state._replace(run="gone", tasks=tasks, decided=(), ours=(), tally=tally)

    def make_anew(self, state: State) -> State:
        """Minutes later a person makes another run with the id. The callbacks of the old one have ended."""
        for actor in state.actors:
            state = self._killed(state, actor)
        made = state.made + state.generation + 1
        return State(
            state.faults,
            (Task(),) * len(state.tasks),
            made=made,
            started=made,
            record=state.record,
            minutes=state.minutes,
            queued=state.minutes,
            sweepers=state.sweepers,
            paused=state.paused,
            tally=Tally(forgot=state.tally.forgot, again=state.tally.again),
        )

    def cancel(self, state: State) -> State:
        """A person cancels the retry. Who has just renewed a claim still clears the run: this is stated.

        A clear that Redis does not know of yet has begun another generation, for which the cancel does not count. And
        where Redis knows of no failure, an older failure that is on its way takes the cancel for itself.
        """
        args, before = {"dag_id": DAG, "run_id": RUN, "ttl": str(TTL), "holder": "ada"}, state.record
        state, done = self._script(_less(state, "cancel"), "cancel", frozen(args))
        renewed = any(actor.at.request and actor.at.request.what == "clear" for actor in state.actors)
        counts_for = before.generation + (before.status == "retrying") if before else -1
        older = [task.began for task in state.tasks if task.phase in LIVING]
        older += [actor.at.callback.generation for actor in state.actors]
        cleared = (counts_for if counts_for >= 0 else min(older, default=state.generation)) < state.generation
        too_late = bool(renewed or cleared or state.late)
        return state._replace(
            tally=state.tally._replace(cancelled=bool(done) and not too_late, forgot=state.tally.forgot or too_late)
        )

    def reset(self, state: State) -> State:
        """A person gives the run a fresh budget, which begins with the failure that nobody has claimed."""
        args = {"dag_id": DAG, "run_id": RUN, "ttl": str(TTL), "holder": "ada"}
        state, _ = self._script(_less(state, "reset"), "reset", frozen(args))
        return state._replace(tally=self._new_budget(state.tally, state.generation))

    def pause(self, state: State) -> State:
        return _less(state, "pause")._replace(paused=True)

    def unpause(self, state: State) -> State:
        return state._replace(paused=False)

    def carry_out(self, state: State, generation: int, had_ended: bool, body: tuple[Any, ...]) -> State:
        """A clear that nobody awaits is carried out. Once the run has failed, Airflow leaves it so."""
        state = state._replace(late=tuple(clear for clear in state.late if clear != (generation, had_ended, body)))
        if body:
            return self._decide(state, body)[0]
        if generation != state.generation or state.decided:
            return state  # what this costs is stated in src/dag_retry/_airflow/README.md
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
        return state._replace(run="running", tasks=tasks, started=state.made + state.generation)

    def _cleared(self, state: State) -> State:
        generation = state.generation + 1
        if state.run != "running":
            state = state._replace(started=state.made + generation)
        tasks = tuple(
            task._replace(restarting=True, said="") if task.phase in LIVING else self._begun(task, generation)
            for task in state.tasks
        )
        tally = state.tally._replace(cancelled=False)
        return state._replace(
            generation=generation, run="running", tasks=tasks, queued=state.minutes, decided=(), tally=tally
        )

    # Sweepers

    def sweep(self, state: State) -> State:
        return self._swept(_less(state, "sweep"))

    def sweep_later(self, state: State) -> State:
        """A minute later a sweeper comes: a fault for nobody."""
        state = state._replace(minutes=state.minutes + 1)
        return self._swept(state) if state.record and state.record.is_due(state.minutes) else state

    def _swept(self, state: State) -> State:
        number = state.sweepers + 1
        actor = Actor(self.flow.begin(Callback(f"sweeper{number}", "sweeper", 0, state.generation, 1)))
        return state._replace(sweepers=number, actors=_sorted((*state.actors, actor)))

    def miss(self, state: State) -> State:
        """A sweeper finds the run failed; a callback may be on its way all the same."""
        args = {"dag_id": DAG, "run_id": RUN, "ttl": str(TTL), "grace": "60000", "holder": "sweeper"}
        args["queued_at"] = str((EPOCH + 60 * state.queued) * 1000)
        state, _ = self._script(_less(state, "miss"), "miss", frozen(args))
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
                same = before.generation == record.generation and state.run != "gone" and not state.made
                if same and before.status == "succeeded" != record.status:
                    raise BrokenPromiseError(f"a success is {record.status} afterwards")
                recovered = verb == "succeed" and answer and dict(args)["generation"] == str(before.generation)
                if recovered and before.status in _UNCLEARED:
                    raise BrokenPromiseError(f"a run that was {before.status} recovered without a clear")
            if record and record.ended and state.tally.began <= record.generation < state.generation:
                # A person cleared the run while its ending was on its way: with that clear a budget began.
                tally = self._new_budget(state.tally, record.generation + 1)
                state = state._replace(tally=tally._replace(by_hand=state.generation - tally.began))
            if state.faults.failover:
                state = state._replace(earlier=(*state.earlier, before)[-_REMEMBERED:])
        return state, answer

    # Callbacks

    def _call_dag(self, state: State, kind: Kind, *, again: int = 0) -> State:
        task = Task(state.generation)
        return self._call(state, kind, self._failed(state) or 0, task, again="+" * again)

    def _call(self, state: State, kind: Kind, index: int, task: Task, *, again: str = "") -> State:
        """A callback begins, for a try of a task.

        :param task: its process read the generation when it began.
        """
        made = f" of {state.made}" if state.made else ""
        name = f"{kind}{index if kind in ('task', 'timeout') else ''}@{task.began}{again}{made}"
        ti_id = _ti_id(index, state.made + task.began)
        callback = Callback(name, kind, index, task.began, task.try_number, ti_id, state.started)
        return state._replace(actors=_sorted((*state.actors, Actor(self.flow.begin(callback)))))

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
            answer = tuple(self._look(state, index) for index in range(len(state.tasks)))
        elif request.what == "is_still_current_try" and not answer:
            answer = self._is_still_current_try(state, request.of, *request.args)
        elif request.what == "queue":
            state, answer = self._queue(state), state.run == "failed"
        elif request.what == "clear" and fault == "api_late":
            late = (state.generation, state.run != "running", request.args)
            state = state._replace(late=tuple(sorted({*state.late, late})))
        elif request.what == "clear" and self._atomic and fault not in ("api_before", "refused"):
            state, answered = self._decide(state, request.args)
            answer = answer or answered
        elif request.what == "clear" and state.run == "gone":
            answer = answer or Trouble.REFUSED
        elif request.what == "clear" and fault not in ("api_before", "refused"):
            # A sweeper has looked, at the try of whatever it took.
            of_sweeper = callback.kind == "sweeper"
            state = self._by_callback(state, state.generation if of_sweeper else callback.generation)
        elif request.what == "read":
            answer = state.record
        elif request.what == "hook":
            state = state._replace(tally=self._alert(state, callback))
        at = actor.at.after(answer)
        hurry = fault not in ("gap_after_look", "gap_before_clear") and self._hurries(request, at.request)
        actors = (*(other for other in state.actors if other is not actor), actor._replace(at=at, hurry=hurry))
        return state._replace(actors=_sorted(actors))

    def _hurries(self, request: Request, following: Request | None) -> bool:
        """Tell whether the next request follows at once, on the path look, renew, clear."""
        if following is None:
            return False
        if self._atomic:
            return False  # Airflow decides: anything may happen before.
        before_clear = request.what == "look" or request.of == "renew"
        return before_clear and (following.what == "clear" or following.of == "renew")

    def _left(self, state: State, actor: Actor) -> State:
        """A callback has ended, and its task with it."""
        state = state._replace(actors=tuple(other for other in state.actors if other is not actor))
        callback = actor.at.callback
        of_task = callback.kind == "task" and state.run != "gone"
        return self._ended(state, callback.task, "failed") if of_task else state

    def _id(self, state: State, index: int) -> str:
        """Return the id of a task instance in Airflow's database."""
        task = state.tasks[index]
        old = not task.restarting or self._keeps_ids
        return _ti_id(index, state.made + (task.began if old else state.generation))

    def _look(self, state: State, index: int) -> Look:
        if state.run == "gone":
            return Look("", 0, "", "", settled=False, paused=False)
        settled = any(each in ("success", "failed", f"task {index}") for each in state.decided)
        run = "success" if state.run == "succeeded" else state.run
        try_id, try_state = self._id(state, index), state.tasks[index].state
        return Look(run, state.generation, try_id, try_state, settled, state.paused)

    def _decide(self, state: State, body: tuple[Any, ...]) -> tuple[State, Any]:
        """The route decides, by its own code, and clears in the same moment."""
        asked = ClearRequest(**dict(body))
        tries = {self._id(state, index): Try(task.state, None) for index, task in enumerate(state.tasks)}
        made = datetime.fromtimestamp((state.made << 16) / 1000, tz=timezone.utc)
        run: Any = SimpleNamespace(
            our_clears=state.ours,
            find_try=tries.get,
            clear_number=state.generation,
            state="success" if state.run == "succeeded" else state.run,
            created_at=made,
            set_by_hand=[SetByHand(made, said, of_run=True) for said in state.decided if not said.startswith("task")],
            is_paused=state.paused,
            is_paused_by_failures=False,
            is_draining=False,
            is_of_paused_backfill=False,
            has_newer_success=False,
        )
        outcome, reason, attempt = decide(asked, None if state.run == "gone" else run)
        if outcome == "current":
            line = OurClear(asked.claim_id, asked.generation, attempt, state.made)
            state = self._by_callback(state, asked.generation)
            state, outcome = state._replace(ours=(line, *state.ours)), "cleared"
        return state, (("outcome", outcome), ("reason", reason), ("attempt", attempt))

    def _is_still_current_try(self, state: State, ti_id: str, task_id: str, try_number: int) -> bool:
        if state.run == "gone":
            return False
        task = state.tasks[int(task_id)]
        where_it_was = (ti_id, try_number) == (self._id(state, int(task_id)), task.try_number)
        return where_it_was and not task.restarting and task.phase in ("running", "silent", "failed")

    # Promises

    def _claimed(self, state: State, actor: Actor, answer: str) -> Tally:
        """G1: one winner in a generation."""
        callback, tally = actor.at.callback, state.tally
        said = json.loads(answer)
        verdict, reason = said["verdict"], said["reason"]
        if verdict != "won" or reason in ("taken_over", "due") or state.run == "gone":
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
        if {"success", "failed"} & {*state.decided}:
            raise BrokenPromiseError(f"a clear undoes what a person decided: {', '.join(state.decided)}")
        if state.run == "succeeded":
            raise BrokenPromiseError("a clear undoes a success")
        if tally.cancelled and not tally.forgot:
            raise BrokenPromiseError("a clear after a person cancelled the retry")
        if state.record and state.record.ended:
            if not tally.forgot:
                raise BrokenPromiseError(f"a clear after the ending {state.record}")
            tally = tally._replace(forgot_winner=not self._atomic)
        if tally.clears > self._cap and not tally.forgot_winner:
            raise BrokenPromiseError(f"over the cap: {tally.clears} clears")
        if generation != state.generation:
            raise BrokenPromiseError(f"a failure of {generation} clears {state.generation}")
        failed = [task for task in state.tasks if task.phase in ("calling", "failed") and task.said != "success"]
        if not any(task.began == state.generation for task in failed):
            raise BrokenPromiseError(f"a clear in {state.generation}, where nothing failed")
        return self._cleared(state._replace(tally=tally))

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
        """G3, G5, G6, where only faults can still happen: nothing given up too early, nothing stuck, nothing untold."""
        tally, record = state.tally, state.record
        if self._sweeps and record and record.is_for_sweepers:
            raise BrokenPromiseError(f"nobody takes {record}")
        if tally.uncalled and (
            record is None or record.generation < state.generation or record.status in ("retrying", "unclaimed")
        ):
            return  # what only a look at Airflow's failed runs finds
        if state.decided or tally.cancelled:
            return  # a person's business
        if tally.dag_trouble is not None or tally.forgot or (self._level == "task" and tally.again):
            return
        if state.run == "succeeded":
            if record and record.status != "succeeded" and not self._harmless and not state.made:
                raise BrokenPromiseError(f"the run succeeded, and its record says {record.status}")
            if record and record.is_untold and not state.made:
                raise BrokenPromiseError(f"the run succeeded, and an alert is to come: {record}")
            return
        if record and record.is_untold and not record.is_for_sweepers and self._sweeps:
            return  # a person finds it among the runs that need a human
        if record is None or record.status not in ("exhausted", "blocked", "skipped") or not record.at_rest:
            raise BrokenPromiseError(f"stuck: the run failed, and its record is {record}")
        if record.status == "exhausted" and tally.clears + tally.by_hand < self._cap:
            raise BrokenPromiseError(f"given up after {tally.clears} clears")
        if tally.told[0] != record.generation:
            raise BrokenPromiseError("nobody was told")


def _ti_id(index: int, era: int) -> str:
    """Return the id of a try: a UUIDv7, which begins with its time."""
    return f"{era:08x}-0000-7000-8000-{index:012x}"


def _less(state: State, fault: str) -> State:
    left: Any = {fault: getattr(state.faults, fault) - 1}
    return state._replace(faults=state.faults._replace(**left))


def _again(tally: Tally) -> Tally:
    return tally._replace(again=tally.again + 1)


def _sorted(actors: tuple[Actor, ...]) -> tuple[Actor, ...]:
    return tuple(sorted(actors, key=lambda actor: actor.at.callback.name))
