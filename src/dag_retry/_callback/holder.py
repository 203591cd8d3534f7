"""What the answer to a claim asks for: clear the run, wait, or tell an ending."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dag_retry._policy.hooks import Context, Hooks
from dag_retry._types import Claim, Verdict

if TYPE_CHECKING:
    from dag_retry._airflow.deadline import Deadline
    from dag_retry._airflow.settings import ApiSettings
    from dag_retry._redis.counter import AttemptCounter


class Holder(NamedTuple):
    """The holder of a claim, which is a callback or a sweeper, and all that it needs.

    :param claim: a claim that was not lost.
    :param counter: the counter that answered the claim.
    :param api_settings: returns the settings of Airflow's API.
    :param hooks: the hooks to tell.
    :param context: what the hooks are called with.
    :param deadline: when the holder stops. Only hooks may take longer.
    """

    claim: Claim
    counter: AttemptCounter
    api_settings: Callable[[], ApiSettings]
    hooks: Hooks
    context: Context
    deadline: Deadline

    def act(self) -> None:
        """Do what the answer to the claim asks for.

        :raises ClearRefused: Airflow refused for good. The run is blocked, and the hooks were told.
        :raises ClearUnconfirmed: Airflow gave no clear answer in time. The claim stays due.
        :raises CounterError: Redis failed.
        """
        # A callback that loses its claim needs none of these, nor what they load: requests and tenacity.
        from dag_retry._callback import endings, waiting, winner

        if self.claim.verdict is Verdict.EXHAUSTED:
            endings.tell_exhausted(self)
        elif self.claim.verdict is Verdict.SKIPPED:
            endings.tell_skipped(self, self.claim.reason)
        elif self.claim.due_at:
            waiting.wait(self)
        else:
            winner.clear(self)

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
