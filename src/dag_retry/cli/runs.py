"""Runs as the command line shows them, and what is wrong for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from dag_retry._reasons import SETTLED, reason_of, reason_of_run
from dag_retry._redis.health import Health
from dag_retry._redis.views import Unreadable
from dag_retry._types import RunRecord, Status
from dag_retry.cli.output import ago, at, cell, due, duration, failed_task, grid, status
from dag_retry.sweeper.advice import how_to_start

UNKNOWN = "never failed, or long ago, or the ids are misspelt: see dag-retry list recent"
"""What is said of a run that has no record."""


def head(health: Health) -> Iterator[Text]:
    """Yield a line for each thing that is wrong for all runs: the way to Airflow is broken, or no sweeper runs.

    :param health: the health of the deployment.
    """
    if broken := health.broken:
        yield _alarm(
            f"Airflow's API has been unusable for {duration(health.now - broken.fault_at)} ({broken.fault}): "
            f"{broken.fault_text}. {_waiting(health.waiting)}. {reason_of(broken.fault).remedy}"
        )
    if health.missing:
        last = health.heartbeat
        since = f"No sweeper has run for {duration(health.now - last.at)}" if last else "No sweeper has ever run"
        yield _alarm(f"{since}, and {_waiting(health.waiting)} for one: {how_to_start(last)}")


def table(records: Iterable[RunRecord | Unreadable], health: Health, title: str | None = None) -> Table:
    """Return a table of runs.

    :param records: the records of the runs.
    :param health: the health of the deployment.
    :param title: the title above the table.
    """
    heads = ("status", "Dag", "run", "attempt", "why", "failed task", "changed", "due")
    return grid(*heads, rows=(_row(record, health) for record in records), title=title)


def data(record: RunRecord | Unreadable, health: Health) -> dict[str, Any]:
    """Return a record for scripts: its fields, whether its ending is untold, and whether Airflow keeps it queued.

    :param record: the record of the run.
    :param health: the health of the deployment.
    """
    if isinstance(record, Unreadable):
        return record._asdict()
    return record._asdict() | {"untold": record.untold(health.now), "still_queued": _still_queued(record, health)}


def state(record: RunRecord, health: Health) -> Text:
    """Return the status of a run in its colour, and in words what is wrong with that status.

    :param record: the record of the run.
    :param health: the health of the deployment.
    """
    shown = status(record.status.value)
    if record.untold(health.now):
        shown.append(", untold", "bold red")
    if _still_queued(record, health):
        shown.append(", still queued", "bold red")
    if record.was_reset:
        shown.append(", reset")
    return shown


def why(record: RunRecord, now: int) -> str:
    """Return why a run stands as it does, as a code and in words. A code that says nothing more is left out.

    :param record: the record of the run.
    :param now: Redis's time, in ms.
    """
    text = reason_of_run(record).text
    if record.status is Status.WAITING and record.reason in ("claimed", "fresh_budget"):
        if record.due_at > now:
            return f"its delay is over at {at(record.due_at)[:-4]} UTC; a sweeper clears it then"
        return "its delay is over; a sweeper clears it"
    if record.status is Status.CLAIMED:
        return "its callback clears it" if record.due_at > now else "its callback died; a sweeper clears it"
    return f"{record.reason}: {text}" if text else record.reason


def stays_failed(record: RunRecord) -> bool:
    """Return whether a run has failed for good: nobody clears it but a person.

    A run whose retry was cancelled may still be on its attempt, and one that a person has settled may have succeeded.

    :param record: the record of the run.
    """
    ended = record.status in (Status.EXHAUSTED, Status.BLOCKED, Status.SKIPPED, Status.UNCLAIMED)
    return ended and record.acknowledged and record.reason not in (*SETTLED, "cancelled")


def of_all(health: Health) -> dict[str, Any]:
    """Return the health of the deployment for scripts.

    :param health: the health.
    """
    return health._asdict() | {"missing": health.missing, "broken": health.broken is not None}


def _row(record: RunRecord | Unreadable, health: Health) -> Sequence[object]:
    if isinstance(record, Unreadable):
        return (status("unreadable"), record.dag_id, record.run_id, "", record.why, "", "", "")
    return (
        state(record, health),
        record.dag_id,
        record.run_id,
        f"{record.attempt}/{record.max_attempts}",
        record.reason,
        failed_task(record.failed_try.task_id, record.failed_try.map_index, record.failed_try.error),
        ago(record.updated_at, health.now),
        due(record.due_at, health.now),
    )


def _still_queued(record: RunRecord, health: Health) -> bool:
    return record.status is Status.RETRYING and (record.dag_id, record.run_id) in health.queued


def _waiting(count: int) -> str:
    return "1 run waits" if count == 1 else f"{count or 'no'} runs wait"


def _alarm(text: str) -> Text:
    return cell(text, "bold red")
