"""What Airflow's own UI shows of a retry: a line in the note of the run."""

from __future__ import annotations

import logging
import re

from dag_retry._airflow.api import AirflowApi
from dag_retry._callback.holder import describe_run
from dag_retry._errors import ApiError
from dag_retry._types import Claim, RunRecord, Status

log = logging.getLogger(__name__)

# The longest note that Airflow takes (`DAGRunPatchBody.note`, 3.2.2 and 3.3.2).
_LONGEST = 1000
# What `line_of` writes, and nothing else: a person may begin a line with the same words. A task_id has no space
# (airflow.sdk.definitions._internal.node.validate_key).
_CAUSE = r"(?:[\w.-]+(?:\[\d+\])?)?(?:: )?\S*"
_ENDED = rf"recovered on attempt \d+|gave up after \d+: {_CAUSE}|(?:blocked|not retried) \(\w+\): {_CAUSE}"
_OURS = re.compile(rf"^Dag retry(?: \d+/\d+: {_CAUSE}|: (?:{_ENDED}))$\n?", re.MULTILINE)


def write_note(api: AirflowApi, status: Status, what: Claim | RunRecord, reason: str) -> None:
    """Say in a run's note how the run stands, in a line of our own after what a person wrote.

    A note that Airflow does not take is left out.

    :param api: Airflow's API.
    :param status: how the run stands.
    :param what: the claim, or the record.
    :param reason: why, as a code.
    """
    line = line_of(status, what, reason)
    try:
        api.note(what.dag_id, what.run_id, lambda note: revise_note(note, line))
    except ApiError as error:
        log.info("Dag retry: the note of %s was not written: %s.", describe_run(what.dag_id, what.run_id), error)


def line_of(status: Status, what: Claim | RunRecord, reason: str) -> str:
    """Return our line for a run's note.

    :param status: how the run stands.
    :param what: the claim, or the record.
    :param reason: why, as a code.
    """
    failed = what.failed_try
    index = f"[{failed.map_index}]" if failed.map_index >= 0 else ""
    cause = ": ".join(filter(None, (f"{failed.task_id}{index}", failed.error)))
    if status in (Status.RETRYING, Status.WAITING):
        return f"Dag retry {what.attempt}/{what.max_attempts}: {cause}"
    ended = {
        Status.SUCCEEDED: f"recovered on attempt {what.attempt}",
        Status.EXHAUSTED: f"gave up after {what.attempt}: {cause}",
        Status.BLOCKED: f"blocked ({reason}): {cause}",
        Status.SKIPPED: f"not retried ({reason}): {cause}",
    }
    return f"Dag retry: {ended[status]}"


def revise_note(note: str, line: str) -> str | None:
    """Put our line into the note of a run, in place of our last one.

    :param note: the note; empty if the run has none.
    :param line: our line.
    :return: the new note; None if the note has no room, or has the line already.
    """
    others = _OURS.sub("", note).rstrip("\n")
    revised = f"{others}\n{line}" if others else line
    return revised if len(revised) <= _LONGEST and revised != note else None
