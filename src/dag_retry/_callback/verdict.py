"""What a claim's verdict asks for: clear the run, wait, or tell an ending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag_retry._types import Verdict

if TYPE_CHECKING:
    from dag_retry._airflow.ways.decision import Decision
    from dag_retry._callback.holder import Holder


def act(holder: Holder) -> Decision | None:
    """Do what the verdict asks for.

    :param holder: the holder of a claim that was not lost.
    :return: what Airflow decided about a clear; None if nothing was to be cleared, or if another holds the claim.
    :raises ApiRefused: Airflow refused for good. The run is blocked, and the hooks were told.
    :raises ApiUnusable: the way to Airflow is broken. The run waits for a sweeper, and the hooks were told.
    :raises ApiUnanswered: Airflow gave no clear answer in time. The claim stays due.
    :raises CounterError: Redis failed.
    """
    # A callback that loses its claim needs none of these, nor what they load: requests and tenacity.
    from dag_retry._callback import endings, waiting, winner

    claim = holder.claim
    if claim.verdict is Verdict.EXHAUSTED:
        endings.tell_exhausted(holder, claim.reason)
    elif claim.verdict is Verdict.SKIPPED:
        endings.tell_skipped(holder, claim.reason)
    elif claim.due_at:
        waiting.wait(holder)
    else:
        return winner.clear(holder)
    return None
