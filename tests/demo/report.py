"""The results of the demo's runs, from Airflow's database, Redis and the logs; and the promised results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.airflow_server import LiveAirflow
from tests.demo.redis_server import DemoRedis

ALERT = "ALERT: "
"""The hook of ``branches_exhaust`` logs a line that begins like this."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The result that a run must have.

    :param state: Airflow's final state.
    :param clears: the run's ``clear_number``, which is also the number of claims won.
    :param alerts: the number of calls of the ``on_exhausted`` hook.
    """

    state: str
    clears: int
    alerts: int


PROMISES = {
    "branches_recover": Promise("success", clears=1, alerts=0),
    "branches_exhaust": Promise("failed", clears=2, alerts=1),
    "task_killed": Promise("success", clears=1, alerts=0),
}
"""The promise of each Dag in the folder ``dags``, by dag_id."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    :param dag_id: the Dag.
    :param failures: the number of failed tries (Airflow's database).
    :param clears: ``dag_run.clear_number`` (Airflow's database).
    :param state: the run's state (Airflow's database).
    :param events: the number of events of each name (the stream in Redis).
    :param attempts: attempts used and allowed, e.g. ``1/2`` (the record in Redis).
    :param status: the record's status (Redis).
    :param alerts: the number of lines that the hook logged (Airflow's logs).
    """

    dag_id: str
    failures: int
    clears: int
    state: str
    events: Counter[str]
    attempts: str
    status: str
    alerts: int

    def deviations(self) -> list[str]:
        """Return a sentence for each difference from the promise."""
        promise = PROMISES[self.dag_id]
        checks: list[tuple[str, object, object]] = [
            ("final state", self.state, promise.state),
            ("clears", self.clears, promise.clears),
            ("claims won", self.events["won"], promise.clears),
            ("exhausted events", self.events["exhausted"], promise.alerts),
            ("alerts", self.alerts, promise.alerts),
        ]
        return [
            f"{self.dag_id}: {what}: {found}, promised: {promised}"
            for what, found, promised in checks
            if found != promised
        ]


def result(airflow: LiveAirflow, redis: DemoRedis, dag_id: str, run_id: str) -> Result:
    """Read the result of a run.

    :param airflow: the Airflow of the run.
    :param redis: the Redis with the run's record.
    :param dag_id: the Dag.
    :param run_id: the run.
    """
    run = airflow.dag_run(dag_id, run_id)
    record = redis.record(dag_id, run_id)
    return Result(
        dag_id=dag_id,
        failures=sum(attempt.state == "failed" for attempt in airflow.tries(dag_id, run_id)),
        clears=run.clear_number,
        state=run.state,
        events=Counter(event["event"] for _, event in redis.events() if event["run_id"] == run_id),
        attempts=f"{record.get('attempt', '-')}/{record.get('max_attempts', '-')}",
        status=record.get("status", "-"),
        alerts=sum(f"{ALERT}{run_id}" in line for line in _logged(airflow, dag_id, run_id)),
    )


def errors(airflow: LiveAirflow, dag_id: str, run_id: str) -> list[str]:
    """Return the errors that a run's tasks and callbacks logged. They explain a broken promise."""
    return [line[:1000] for line in _logged(airflow, dag_id, run_id) if '"level":"error"' in line]


def _logged(airflow: LiveAirflow, dag_id: str, run_id: str) -> Iterator[str]:
    for log in (*airflow.task_logs(dag_id, run_id), *airflow.dag_processor_logs()):
        yield from log.read_text(errors="replace").splitlines()


def table(results: Iterable[Result]) -> str:
    """Return the results as a table with a line for each run."""
    head = ("Dag", "failures", "claims won", "lost", "clears", "attempts", "alerts", "state", "record", "")
    rows = [
        (
            result.dag_id,
            str(result.failures),
            str(result.events["won"]),
            str(result.events["lost"]),
            str(result.clears),
            result.attempts,
            str(result.alerts),
            result.state,
            result.status,
            "NOT as promised" if result.deviations() else "as promised",
        )
        for result in results
    ]
    return _aligned([head, *rows])


def legend(results: Sequence[Result]) -> str:
    """Return what the table says of callbacks, in words."""
    won, lost = (sum(each.events[event] for each in results) for event in ("won", "lost"))
    alerts = sum(each.alerts for each in results)
    return (
        f"{won} callbacks won and cleared their run, {lost} lost and did nothing, {alerts} gave up and told somebody."
    )


def operator_view(redis: DemoRedis, dag_id: str, run_id: str) -> str:
    """Return what an operator would look at: all keys, and the record of one run.

    :param redis: the Redis with the keys.
    :param dag_id: the record's Dag.
    :param run_id: the record's run.
    """
    client = redis.client
    keys = [(key, client.type(key), f"{client.ttl(key)} s") for key in redis.scan()]
    fields = [(f"  {field}", value) for field, value in sorted(redis.record(dag_id, run_id).items())]
    command = f'HGETALL "{redis.key("run", dag_id, run_id)}"'
    return "\n".join([_aligned([("key", "type", "TTL"), *keys]), "", command, _aligned(fields)])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
