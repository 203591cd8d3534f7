"""What a check found."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dag_retry._errors import CounterError

Grade = Literal["ok", "unknown", "warning", "fault"]


class Finding(NamedTuple):
    """What one check found.

    :param check: what was looked at.
    :param grade: ``fault``: runs are not retried, or not safely; ``warning``: it works, with a limit; ``unknown``: this
        user may not see it.
    :param found: what is so.
    :param remedy: what to do, empty where all is well.
    """

    check: str
    grade: Grade
    found: str
    remedy: str = ""


def refused(check: str, error: CounterError, grade: Grade = "fault") -> Finding:
    """Return what Redis's refusal means: its message holds where, the remedy, and what Redis said."""
    remedy, _, said = str(error).rpartition(" [")
    return Finding(check, grade, said.removesuffix("]"), remedy)
