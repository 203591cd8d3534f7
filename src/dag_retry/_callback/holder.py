"""The holder of a claim."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Literal, NamedTuple

from dag_retry._policy.hooks import Context, Hooks
from dag_retry._types import Claim

if TYPE_CHECKING:
    from dag_retry._airflow.deadline import Deadline
    from dag_retry._airflow.session import Airflow
    from dag_retry._redis.counter import AttemptCounter


class Holder(NamedTuple):
    """The holder of a claim, which is a callback or a sweeper, and all that it needs.

    :param claim: a claim that was not lost.
    :param counter: the counter that answered the claim.
    :param level: where the holder runs.
    :param hooks: the hooks to tell.
    :param context: what the hooks are called with.
    :param airflow: the session with Airflow's REST API. The holder stops at its deadline. Only hooks may take longer.
    """

    claim: Claim
    counter: AttemptCounter
    level: Literal["task", "dag", "sweeper"]
    hooks: Hooks
    context: Context
    airflow: Airflow

    @property
    def deadline(self) -> Deadline:
        """When the holder stops."""
        return self.airflow.deadline

    @property
    def run(self) -> str:
        """What the run is called in messages."""
        return describe_run(self.claim.dag_id, self.claim.run_id)

    @property
    def attempt(self) -> str:
        """What the attempt is called in messages."""
        return f"attempt {self.claim.attempt} of {self.claim.max_attempts}"


def describe_run(dag_id: str, run_id: str) -> str:
    """Return what a run is called in messages.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    """
    return f"run {run_id!r} of Dag {dag_id!r}"


def process_name() -> str:
    """Return how Redis's events name this process: its host and its id."""
    return f"{socket.gethostname()}:{os.getpid()}"
