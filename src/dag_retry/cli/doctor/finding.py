"""The result of a check."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dag_retry._airflow.section import variable
from dag_retry._errors import CounterError

LOGIN = f"set {variable('api_username')} and {variable('api_password')}"
"""The remedy where Airflow's API is not asked for want of credentials."""

Grade = Literal["ok", "unknown", "note", "warning", "fault"]


class Finding(NamedTuple):
    """What one check found.

    :param check: what was checked.
    :param grade: ``fault`` if runs are not retried, or not safely; ``warning`` if retries work with a limit; ``note``
        if a retry does what the author of the Dag may not expect; ``unknown`` if the answer can't be seen from here;
        else ``ok``.
    :param found: what the check found.
    :param remedy: what to do; empty if all is well.
    """

    check: str
    grade: Grade
    found: str
    remedy: str = ""


def refused(check: str, error: CounterError, grade: Grade = "fault") -> Finding:
    """Return the finding for an error of Redis. Its message ends with what Redis said, in brackets.

    :param check: what was checked.
    :param error: the error.
    :param grade: how bad the error is.
    """
    remedy, _, said = str(error).rpartition(" [")
    return Finding(check, grade, said.removesuffix("]"), remedy)
