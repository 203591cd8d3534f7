"""The way by Airflow's REST API: look, clear, look again.

Airflow offers no compare-and-clear. Between the look and the commit of the clear lie the renewal of the claim and
Airflow's own work: 0.1 s, and seconds for large Dags.
"""

from __future__ import annotations

from dag_retry._airflow.api import AirflowApi
from dag_retry._airflow.ways.decision import CLEARED, CURRENT, GONE, Decision, Level, Seen, decide, is_late
from dag_retry._errors import ApiUnanswered
from dag_retry._types import Claim

IN_PROGRESS = Decision("left", "clear_in_progress")


class RestWay:
    """Clears by Airflow's REST API.

    :param api: Airflow's REST API.
    """

    def __init__(self, api: AirflowApi) -> None:
        self._api = api

    def look(self, claim: Claim, level: Level) -> Decision:
        """See :meth:`Way.look`. A run that Airflow has left failed after a clear is queued."""
        api, run = self._api, (claim.dag_id, claim.run_id)
        found = api.run(*run)
        if found is None:
            return GONE
        failed_try = api.find_try(*run, claim.failed_try)
        seen = Seen(
            run_state=str(found.get("state") or ""),
            try_id=str(failed_try.get("id") or ""),
            try_state=str(failed_try.get("state") or ""),
            settled=is_late(claim)
            and api.is_settled(*run, claim.failed_try, failed_try, since=str(found.get("queued_at") or "")),
        )
        decision = decide(seen, claim, level)
        if decision.outcome == "already_cleared":
            api.queue_stranded(*run, claim.failed_try)
        if decision == CURRENT and (reason := api.why_not(*run, claim.clear_options)):
            return Decision("hopeless", reason)
        return decision

    def clear(self, claim: Claim, level: Level, note: str) -> Decision:
        """See :meth:`Way.clear`. The note is a request of its own: :func:`dag_retry._callback.note.write_note`.

        A clear that takes too long is left to a sweeper, which looks again later.
        """
        try:
            self._api.clear(claim.dag_id, claim.run_id, claim.clear_options)
        except ApiUnanswered as unanswered:
            if not unanswered.in_progress:
                raise
            # Airflow may still be at work on the clear. A second clear would then come on top of the first.
            try:
                decision = self.look(claim, level)
            except ApiUnanswered:
                return IN_PROGRESS
            return IN_PROGRESS if decision == CURRENT else decision
        self._api.queue_stranded(claim.dag_id, claim.run_id, claim.failed_try)
        return CLEARED
