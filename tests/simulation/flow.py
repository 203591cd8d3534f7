"""The real callbacks, as a function: the answers they got so far in, what they ask for next out.

A callback does nothing but ask (Redis, Airflow's API, a hook) and go by the answers. So the code is run from its
beginning with the answers so far, and stopped at the first question beyond them: once for each series that differs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, cast
from unittest.mock import patch

import redis
from airflow.sdk.exceptions import AirflowFailException

from dag_retry import ApiRefused, ApiUnanswered, DagRetry, DagRetryError, FailedTry
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.session import Airflow
from dag_retry._airflow.ways.atomic import AtomicWay, RouteMissingError
from dag_retry._policy.hooks import Hooks
from dag_retry._redis.scripts import script
from dag_retry.sweeper.sweeper import Sweeper
from tests.contexts import NOW, dag_failed, dag_succeeded, heartbeat_timeout, task_failed
from tests.deployment import connected_to

Kind = Literal["task", "timeout", "dag", "success", "sweeper"]
Way = Literal["atomic", "rest", "supervisor"]


class Trouble(Enum):
    """An answer that is none."""

    UNCONFIRMED = "API unclear"
    REFUSED = "API refused"
    REDIS = "Redis away"

    def error(self) -> Exception:
        if self is Trouble.UNCONFIRMED:
            return ApiUnanswered("503")
        if self is Trouble.REFUSED:
            return ApiRefused("403", reason="http_403")
        return redis.ConnectionError("away")


class Callback(NamedTuple):
    """One call of a callback: what Airflow tells it.

    :param name: names its claim.
    :param generation: ``clear_number`` in its context.
    :param ti_id: the id of its task instance.
    :param started: in which era its run began, as an offset.
    """

    name: str
    kind: Kind
    task: int
    generation: int
    try_number: int
    ti_id: str = ""
    started: int = 0


class Request(NamedTuple):
    """What a callback asks for: a ``script`` by verb with its ARGV, ``look``, ``is_still_current_try``,
    ``queue``, ``clear``, ``hook``. A look and a clear are of a task, as its name."""

    what: str
    of: Any = None
    args: tuple[Any, ...] = ()


class Point:
    """Where a callback stands: its answers so far, and its next request, None where it has ended."""

    def __init__(self, flow: Flow, callback: Callback, answers: tuple[Any, ...]) -> None:
        self.callback = callback
        self.request = flow.run(callback, answers)
        self._flow = flow
        self._answers = answers
        self._next: dict[Any, Point] = {}

    def after(self, answer: Any) -> Point:
        if answer not in self._next:
            self._next[answer] = Point(self._flow, self.callback, (*self._answers, answer))
        return self._next[answer]


class Asked(BaseException):
    """Stops a callback at a question; nothing that it catches."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Flow:
    """Runs callbacks of one policy.

    :param cap: ``max_attempts``.
    :param way: how runs are cleared.
    :param forgets: whether a claim of a run without a record has all attempts: as if Redis were sure that it has
        forgotten nothing.
    :param repeats: whether a callback has the time to repeat what was not answered.
    :param hopeless: the tasks that fail in a way which is not to be retried.
    :param own_hooks: whether the hooks are the Dag's own, and no sweeper has them. Else they are the section's.
    :param judges: whether tasks only judge.
    :param policy: further parameters of ``DagRetry``.
    """

    def __init__(
        self,
        cap: int,
        *,
        way: Way = "rest",
        forgets: bool = False,
        repeats: bool = True,
        hopeless: Collection[int] = (),
        own_hooks: bool = False,
        judges: bool = False,
        **policy: Any,
    ) -> None:
        told = lambda context: self.ask(Request("hook", context["dag_retry"].status.value))  # noqa: E731
        hooks: Any = {"on_exhausted": told, "on_blocked": told, "on_skipped": told}
        self._retry = DagRetry(cap, **(hooks if own_hooks else {}), **policy)
        self._redis = AskingRedis(self)
        with self._deployed():
            self._sweeper = Sweeper(self._redis, Airflow(Deadline(15)))
        if not own_hooks:
            self._retry._hooks = self._sweeper._hooks = of_section = Hooks(**hooks)
            of_section.own = False
        # The way to Airflow works. What is not answered is one run's fault.
        self._sweeper.way = cast("Any", SimpleNamespace(beat=lambda: None, check=lambda: None))
        self.cap = cap
        self.way = way
        self.forgets = forgets
        self.judges = judges
        self._hopeless = hopeless
        self._repeats = repeats
        self._answers: Iterator[Any] = iter(())
        self._name = ""
        self._points: dict[Callback, Point] = {}

    def begin(self, callback: Callback) -> Point:
        if callback not in self._points:
            self._points[callback] = Point(self, callback, ())
        return self._points[callback]

    def run(self, callback: Callback, answers: tuple[Any, ...]) -> Request | None:
        self._answers, self._name = iter(answers), callback.name
        try:
            if callback.kind == "sweeper":
                self._sweeper.sweep()
            elif callback.kind == "success":
                self._retry.on_success(_context(callback))
            elif self.judges and callback.kind != "dag":
                self._retry.judge(self._failure(callback))
            else:
                self._retry.on_failure(self._failure(callback))
        except Asked as asked:
            return asked.request
        except DagRetryError:
            pass
        return None

    def _failure(self, callback: Callback) -> dict[str, Any]:
        context = _context(callback)
        if "exception" in context and callback.task in self._hopeless:
            context["exception"] = AirflowFailException()
        return context

    def ask(self, request: Request) -> Any:
        for answer in self._answers:
            if isinstance(answer, Trouble):
                raise answer.error()
            return answer
        raise Asked(request)

    @contextmanager
    def _deployed(self) -> Iterator[None]:
        with connected_to(self._redis), patch("dag_retry._airflow.settings.api"):
            yield

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have all that callbacks ask for ask this flow. Callbacks run only within this block."""
        way: Any = AtomicWay if self.way == "atomic" else NoRoute
        with (
            self._deployed(),
            patch("dag_retry._airflow.settings.has_credentials", lambda: self.way != "supervisor"),
            patch("dag_retry._callback.winner.has_supervisor", lambda: True),
            patch("dag_retry._callback.winner.AtomicWay", way),
            patch("dag_retry._airflow.ways.supervisor._send", AskingSupervisor(self).send),
            patch("dag_retry._airflow.api.AirflowApi", lambda *_: AskingApi(self)),
            patch("dag_retry._airflow.sdk.count", lambda *_: None),
            patch("tenacity.nap.time.sleep", lambda _: None),
            patch("dag_retry._callback.winner._LEAST", 0.0 if self._repeats else 1e6),
            patch("dag_retry._redis.scripts.secrets.token_hex", lambda _: self._name),
        ):
            yield


class AskingRedis(redis.Redis):
    """A client that sends nothing, and asks instead."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(decode_responses=True)
        self.flow = flow

    def eval(self, text: str, numkeys: int, *call: Any) -> Any:
        return self._run({script("record", verb).text: verb for verb in VERBS}.get(text), call[numkeys:])

    def evalsha(self, sha: str, numkeys: int, *call: Any) -> Any:
        return self._run({script("record", verb).sha: verb for verb in VERBS}.get(sha), call[numkeys:])

    def pipeline(self, *_: Any, **__: Any) -> Any:
        raise redis.ConnectionError("away")

    def _run(self, verb: str | None, arguments: tuple[Any, ...]) -> Any:
        if verb is None:
            return self.run_script("due", arguments)
        args = json.loads(arguments[0])
        if verb == "claim" and self.flow.forgets:
            args["on_missing_record"] = "start_fresh"
        return self.run_script(verb, frozen(args))

    def run_script(self, verb: str, args: tuple[Any, ...]) -> Any:
        return self.flow.ask(Request("script", verb, args))


def frozen(arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a verb's arguments in a form that a dictionary of answers can have as its key."""
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in arguments.items())


VERBS = (
    "claim", "renew", "confirm", "postpone", "forget", "withdraw", "block", "acknowledge", "succeed", "take", "miss",
    "cancel", "reset",
)  # fmt: skip


class Look(NamedTuple):
    """What Airflow says of a run and the failed task, all at one moment.

    :param run: the state of the run, as an API says; empty if there is none.
    :param clear_number: of the run.
    :param try_id: the id of the failed task's instance.
    :param try_state: its state.
    :param settled: whether the audit log says that a person decided.
    :param paused: whether the Dag is paused.
    """

    run: str
    clear_number: int
    try_id: str
    try_state: str
    settled: bool
    paused: bool


class NoRoute:
    """The atomic way to an API server without this package. This tells before the claim is renewed."""

    def __init__(self, client: object) -> None: ...

    def look(self, *_: object) -> None:
        raise RouteMissingError


class AskingApi:
    """Airflow's API as the flow knows it. The look of a claim is one request, and so all of one moment."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.client = self

    def close(self) -> None: ...

    def post_to(self, route: str, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """The atomic way's request."""
        return dict(self._flow.ask(Request("clear", body["task_id"], tuple(body.items()))))

    def run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        # All that is known of the run is asked for at once, before the failed try is known: so all tasks are.
        self._looks: tuple[Look, ...] = self._flow.ask(Request("look"))
        run = self._looks[0].run
        return {"state": run, "queued_at": ""} if run else None

    def find_try(self, dag_id: str, run_id: str, failed_try: FailedTry) -> dict[str, Any]:
        look = self._looks[int(failed_try.task_id)]
        return {"id": look.try_id, "state": look.try_state}

    def is_settled(self, dag_id: str, run_id: str, failed_try: FailedTry, found: Any, *, since: str) -> bool:
        return self._looks[int(failed_try.task_id)].settled

    def is_still_current_try(self, dag_id: str, run_id: str, failed_try: FailedTry, try_number: int) -> Any:
        return self._flow.ask(Request("is_still_current_try", failed_try.ti_id, (failed_try.task_id, try_number)))

    def queue_stranded(self, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
        return bool(self._flow.ask(Request("queue", failed_try.task_id)))

    def clear(self, dag_id: str, run_id: str, options: object) -> None:
        self._flow.ask(Request("clear"))

    def why_not(self, dag_id: str, run_id: str, options: object) -> str:
        return "dag_paused" if self._looks[0].paused else ""

    def trigger(self, dag_id: str, run_id: str, run_after: object) -> bool:
        return True

    def note(self, dag_id: str, run_id: str, revise: object) -> None: ...


class AskingSupervisor:
    """A task's supervisor as the flow knows it. A look is one request, and so all of one moment.

    Its Dag-level callback sends nothing, since nobody would answer.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def send(self, message: str, **fields: Any) -> Any:
        if message == "GetDagRun":
            self._looks: tuple[Look, ...] = self._flow.ask(Request("look"))
            if not self._looks[0].run:
                raise ApiRefused("404", reason="http_404")
            return SimpleNamespace(state=self._looks[0].run, clear_number=self._looks[0].clear_number)
        if message == "GetDag":
            return SimpleNamespace(is_paused=self._looks[0].paused)
        if message == "GetTaskStates":
            (task_id,) = fields["task_ids"]
            return SimpleNamespace(task_states={fields["run_ids"][0]: {task_id: self._looks[int(task_id)].try_state}})
        assert message == "TriggerDagRun"
        return self._flow.ask(Request("clear"))


def _context(callback: Callback) -> dict[str, Any]:
    ti = {"id": callback.ti_id, "task_id": str(callback.task), "try_number": callback.try_number}
    if callback.kind == "task":
        context = task_failed(callback.generation, **ti)
    elif callback.kind == "timeout":
        context = heartbeat_timeout(callback.generation, **ti)
    else:
        context = dag_failed(callback.generation) if callback.kind == "dag" else dag_succeeded(callback.generation)
        vars(context["ti"]).update(ti)
    context["dag_run"].start_date = NOW + timedelta(minutes=callback.started)
    return context
