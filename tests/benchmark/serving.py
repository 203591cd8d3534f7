"""The server's time for a claim: its main thread's processor time, so that no client's slowness is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import takewhile
from typing import Any

from dag_retry import AttemptCounter, FailedTry
from dag_retry._redis.connection import connect
from dag_retry._redis.scripts import script
from tests.benchmark.measuring import Bench, in_turns, served_in_turns
from tests.benchmark.table import Row

_AT_ONCE = 100


class _Queued(Exception):
    """The call stands in the pipeline; there is no answer yet."""


class PipelinedClient:
    """Stands in for a client: EVALSHA goes into a pipeline."""

    def __init__(self, client: Any) -> None:
        self.pipeline = client.pipeline(transaction=False)

    def evalsha(self, *call: Any) -> Any:
        self.pipeline.evalsha(*call)
        raise _Queued


class Pipelined:
    """Sends many calls of a counter in one go.

    :param client: where to.
    :param options: of the counter.
    """

    def __init__(self, client: Any, **options: Any) -> None:
        for verb in ("claim", "confirm", "succeed"):
            client.script_load(script("record", verb).text)
        self._client = PipelinedClient(client)
        self.counter = AttemptCounter(self._client, **options)  # type: ignore[arg-type]

    def together(self, calls: Iterable[Callable[[], object]]) -> int:
        """Make these calls of the counter; return how many that was."""
        made = 0
        for made, call in enumerate(calls, 1):  # noqa: B007
            with suppress(_Queued):
                call()
        self._client.pipeline.execute()
        return made

    def claims(self, run_ids: Iterable[str]) -> int:
        """Claim these runs, as a callback in a worker on Kubernetes would each."""
        return self.together(
            partial(
                self.counter.claim,
                "daily_load",
                run_id,
                generation=0,
                max_attempts=3,
                holder="airflow-worker-6d8f7c9b54-x2k9q:4242",
                failed_try=FailedTry("extract_orders", -1, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "AirflowException"),
            )
            for run_id in run_ids
        )


def claims(bench: Bench, client: Any) -> Callable[[], int]:
    """Return what claims many runs in one go."""
    pipelined = Pipelined(client)
    return lambda: pipelined.claims(bench.run_id() for _ in range(_AT_ONCE))


def _commands(bench: Bench, client: Any) -> Callable[[], int]:
    """Return what sends the commands of many claims without the script: what it calls, as MONITOR shows it."""
    counter = AttemptCounter(client)
    claimed = bench.run_id()
    with client.monitor() as monitor:
        counter.claim("daily_load", claimed, generation=0, max_attempts=3, holder="w:1")
        client.ping()
        heard = iter(monitor.next_command, None)
        called = list(takewhile(lambda each: each["command"] != "PING", heard))
    # No argument of these holds a space.
    commands = [each["command"].split(" ") for each in called if each["client_type"] == "lua"]

    def send() -> int:
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(_AT_ONCE):
                run_id = bench.run_id()
                for command in commands:
                    pipeline.execute_command(*(argument.replace(claimed, run_id) for argument in command))
            pipeline.execute()
        return _AT_ONCE

    return send


def _return_1(client: Any) -> Callable[[], int]:
    digest = client.script_load("return 1")

    def send() -> int:
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(_AT_ONCE):
                pipeline.evalsha(digest, 0)
            pipeline.execute()
        return _AT_ONCE

    return send


# Copies of a record, and what the indices hold of it, so that a million take seconds.
_FILL = """
local record = redis.call('HGETALL', KEYS[1])
for i = ARGV[1], ARGV[2] do
  local member = 'daily_load:filled-' .. i
  redis.call('HSET', string.gsub(KEYS[1], 'daily_load:.*', member), unpack(record))
  redis.call('PEXPIRE', string.gsub(KEYS[1], 'daily_load:.*', member), 2592000000)
  for index = 2, #KEYS do
    redis.call('ZADD', KEYS[index], ARGV[3] + i, member)
  end
end
"""


def fill(client: Any, key: str, records: int) -> None:
    """Copy a claimed run's record so often, with what the indices hold of it."""
    active = f"{key.partition(':run:')[0]}:active"
    due = client.hget(key, "due_at")
    for first in range(0, records, 10_000):
        last = min(first + 10_000, records) - 1
        client.eval(_FILL, 2, key, active, first, last, due)


def rows(bench: Bench) -> Iterator[Row]:
    """Yield the time of a claim beside the emptiest script's, with many records, and with AOF."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(bench.server()) for name in ("one", "many")}
        clients: Any = {name: stack.enter_context(closing(connect(of.url, timeout=60))) for name, of in servers.items()}
        run_id = bench.run_id()
        AttemptCounter(clients["many"]).claim("daily_load", run_id, generation=0, max_attempts=3)
        fill(clients["many"], f"{{dag-retry}}:v1:run:daily_load:{run_id}", bench.counts.records)
        turns = served_in_turns(
            {
                "return 1": (clients["one"], _return_1(clients["one"])),
                "commands": (clients["one"], _commands(bench, clients["one"])),
                **{name: (client, claims(bench, client)) for name, client in clients.items()},
            },
            bench.counts.turns,
        )
    yield Row(
        "the server's time for a claim / EVALSHA `return 1`, pipelined",
        {"": turns.ratio("one", "return 1")},
        12,
        note=f"{1e6 * turns.median('one'):.1f} µs and {1e6 * turns.median('return 1'):.1f} µs",
        why="the next row is what its ten commands take by themselves; the rest is Lua and JSON",
    )
    yield Row(
        "… what it calls, sent as commands / EVALSHA `return 1`, pipelined",
        {"": turns.ratio("commands", "return 1")},
        note="the same reads and writes of schema v1, not atomic",
    )
    yield Row(
        "for which a claim keeps one core of Redis busy",
        {"": 1e6 * turns.median("one")},
        1e6 / 35_000,
        "µs",
        note=f"{1 / turns.median('one'):,.0f} claims a second; the goal is 35,000",
    )
    yield Row(
        f"the server's time with {bench.counts.records:,} runs in Redis / with few",
        {"": turns.ratio("many", "one")},
        1.2,
    )
    with ExitStack() as stack:
        aof = ("appendonly yes", "appendfsync everysec")
        actions = {}
        for name, lines in {"everysec": aof, "none": ()}.items():
            server = stack.enter_context(bench.server(*lines))
            counter = AttemptCounter(stack.enter_context(closing(connect(server.url, timeout=60))))
            actions[name] = lambda counter=counter: counter.claim(
                "daily_load", bench.run_id(), generation=0, max_attempts=3
            )
        times = in_turns(actions, bench.counts.turns)
    yield Row("a warm claim with AOF everysec / without", {"": times.ratio("everysec", "none")}, 1.1)
