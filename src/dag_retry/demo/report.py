"""What came of the demo's runs, read from Airflow's database, from Redis and from the logs, and what was promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dag_retry.demo.airflow import LiveAirflow
from dag_retry.demo.redis_server import DemoRedis

ALERT = "ALERT: "
"""How the line begins that the hook of ``branches_exhaust`` logs."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What must come of a run.

    :param state: Airflow's final state.
    :param clears: its ``clear_number``; as many claims are won.
    :param alerts: how often the ``exhausted`` ending is told.
    """

    state: str
    clears: int
    alerts: int


PROMISES = {
    "branches_recover": Promise("success", clears=1, alerts=0),
    "branches_exhaust": Promise("failed", clears=2, alerts=1),
    "task_killed": Promise("success", clears=1, alerts=0),
}
"""By dag_id, what each Dag of the folder ``dags`` shows."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    :param dag_id: its Dag.
    :param failures: tries that failed (Airflow's database).
    :param clears: ``dag_run.clear_number`` (Airflow's database).
    :param state: the run's state (Airflow's database).
    :param events: how often each event happened (the stream in Redis).
    :param attempts: attempts used and allowed (the record in Redis), e.g. ``1/2``.
    :param status: the record's status (Redis).
    :param alerts: lines that the hook logged (Airflow's logs).
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
        """Return what is not as promised, in words."""
        promise = PROMISES[self.dag_id]
        checks: list[tuple[str, object, object]] = [
            ("final state", self.state, promise.state),
            ("clears", self.clears, promise.clears),
            ("claims won", self.events["won"], promise.clears),
            ("endings told", self.events["exhausted"], promise.alerts),
            ("alerts", self.alerts, promise.alerts),
        ]
        return [
            f"{self.dag_id}: {what}: {found}, promised: {promised}"
            for what, found, promised in checks
            if found != promised
        ]


def result(airflow: LiveAirflow, redis: DemoRedis, dag_id: str, run_id: str) -> Result:
    """Gather what came of a run.

    :param airflow: where it ran.
    :param redis: where its attempts were counted.
    :param dag_id: its Dag.
    :param run_id: its run id.
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
    """Return what a run's tasks and callbacks logged as errors, for whoever must find out why it deviates."""
    return [line[:1000] for line in _logged(airflow, dag_id, run_id) if '"level":"error"' in line]


def _logged(airflow: LiveAirflow, dag_id: str, run_id: str) -> Iterator[str]:
    for log in (*airflow.task_logs(dag_id, run_id), *airflow.dag_processor_logs()):
        yield from log.read_text(errors="replace").splitlines()


def table(results: Iterable[Result]) -> str:
    """Return the results as a table, a run per line."""
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


def operator_view(redis: DemoRedis, dag_id: str, run_id: str) -> str:
    """Return what an operator would look at: all keys, and the record of one run.

    :param redis: where.
    :param dag_id: the record's Dag.
    :param run_id: the record's run.
    """
    client = redis.client
    keys = [(key, client.type(key), f"{client.ttl(key)} s") for key in redis.scan()]
    fields = [(f"  {field}", value) for field, value in sorted(redis.record(dag_id, run_id).items())]
    question = f'HGETALL "{redis.key("run", dag_id, run_id)}"'
    return "\n".join([_aligned([("key", "type", "TTL"), *keys]), "", question, _aligned(fields)])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
