"""The lines that this route writes into Airflow's audit log: which clears it has made."""

from __future__ import annotations

import json
from typing import NamedTuple

from dag_retry._airflow.audit_log import json_object
from dag_retry.plugin.clear.messages import ClearRequest

OUR_CLEAR = "dag_retry_clear"
"""The event of the line that this route writes with each clear."""


class OurClear(NamedTuple):
    """A clear that this route has made.

    :param claim_id: the claim for which.
    :param generation: the generation of the failure.
    :param attempt: the attempt that began.
    :param dag_run: ``dag_run.id``, by which a run is told from another that had its ids.
    """

    claim_id: str
    generation: int
    attempt: int
    dag_run: int


def write_our_clear(asked: ClearRequest, attempt: int, dag_run: int) -> str:
    """Return the extra of the line for a clear.

    :param asked: the claim.
    :param attempt: the attempt that begins.
    :param dag_run: ``dag_run.id``.
    """
    told = asked.model_dump(include={"claim_id", "generation", "base", "max_attempts"})
    return json.dumps(told | {"attempt": attempt, "dag_run": dag_run})


def read_our_clear(extra: str | None) -> OurClear | None:
    """Return the clear that a line tells of; None if another version wrote what can't be read.

    :param extra: the extra of the line.
    """
    try:
        return OurClear(**{name: value for name, value in json_object(extra).items() if name in OurClear._fields})
    except TypeError:
        return None
