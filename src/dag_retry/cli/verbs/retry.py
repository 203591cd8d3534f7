"""Retry a run now: a run that waits is due at once, and a run that has ended is cleared, as if by hand."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone

from dag_retry._airflow import settings
from dag_retry._airflow.deadline import Deadline
from dag_retry._callback.waiting import SWEEPER_DAG
from dag_retry._errors import ApiUnanswered, DagRetryError
from dag_retry._redis.views import Unreadable
from dag_retry._types import RunRecord, Status
from dag_retry.cli.arguments import json_argument, run_arguments
from dag_retry.cli.connection import connected, operator
from dag_retry.cli.output import Output
from dag_retry.cli.runs import UNKNOWN

_SECONDS = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    run_arguments(parser)
    parser.add_argument("--force", action="store_true", help="clear the run even if it has succeeded")
    json_argument(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the verb, and return the exit code."""
    named = (args.dag_id, args.run_id)
    with connected() as (overview, interventions):
        record = overview.run(*named)
        now = overview.now()
        if isinstance(record, RunRecord) and record.status is Status.WAITING:
            if not interventions.hasten(*named, holder=operator()):
                return out.answer(*named, "changed meanwhile: look again", done=False)
            return out.answer(*named, f"due now, for {_call_sweeper(now)}", done=True)
        if why_not := _in_hand(record, now):
            return out.answer(*named, why_not, done=False)
        assert isinstance(record, RunRecord)  # noqa: S101 (there is a record, and it is readable)

        from dag_retry._airflow.api import AirflowApi

        with AirflowApi(settings.api(), Deadline(_SECONDS)) as api:
            why_not = _why_not(api.state(*named), force=args.force)
            if why_not:
                return out.answer(*named, why_not, done=False)
            try:
                api.clear(*named, record.clear_options)
            except ApiUnanswered:
                # Airflow may have cleared the run, and no clear is without an event.
                interventions.retry(*named, holder=operator())
                raise
            interventions.retry(*named, holder=operator())
    return out.answer(*named, "cleared", done=True)


def _in_hand(record: RunRecord | Unreadable | None, now: int) -> str:
    """Return why nobody but a holder may clear the run; empty if a person may.

    :param record: the record of the run.
    :param now: Redis's time, in ms.
    """
    if record is None:
        return UNKNOWN
    if isinstance(record, Unreadable):
        return f"unreadable: {record.why}"
    # Nobody holds a claim whose lease is over.
    if record.status is Status.RETRYING or (record.status is Status.CLAIMED and record.due_at > now):
        return f"{record.status.value}: it is retried already"
    return ""


def _why_not(state: str, *, force: bool) -> str:
    """Return why a run should not be cleared; empty if it should.

    Somebody may have cleared the run since, or marked it success. The record does not change then.

    :param state: the state of the run; empty if Airflow can't tell.
    :param force: whether to clear a run that has not failed.
    """
    if state in ("queued", "running"):
        return f"Airflow has it {state} already: wait until it has ended"
    if state == "failed" or force:
        return ""
    known = f"Airflow has it as {state}" if state else "Airflow can't tell the state of a run with this id"
    return f"{known}: use --force to clear it all the same"


def _call_sweeper(now: int) -> str:
    """Make a run of the sweeper's Dag, if there is such a Dag, and return what will clear the run.

    :param now: Redis's time, in ms.
    """
    at = datetime.fromtimestamp(now / 1000, tz=timezone.utc)
    try:
        if not settings.has_credentials():
            return "a sweeper"
        from dag_retry._airflow.api import AirflowApi

        with AirflowApi(settings.api(), Deadline(_SECONDS)) as api:
            if api.trigger(SWEEPER_DAG, f"hastened__{at.isoformat()}", at):
                return f"the Dag {SWEEPER_DAG}"
    except DagRetryError as error:
        print(f"dag-retry: the Dag {SWEEPER_DAG} was not called: {error}")
        return "a sweeper"
    return "dag-retry sweep"
