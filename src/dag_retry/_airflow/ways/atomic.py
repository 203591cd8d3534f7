"""The atomic way: a route of this package in Airflow's API server decides and clears in one transaction."""

from __future__ import annotations

from http import HTTPStatus

from dag_retry._airflow.client import ApiClient
from dag_retry._airflow.ways.decision import CURRENT, Decision, Level, is_own_failure, names_a_try
from dag_retry._errors import ApiError, DagRetryError
from dag_retry._types import Claim, FailedTry

ROUTE = "/dag-retry-clear/v1"
"""The route's path below the address of Airflow. ``dag_retry.plugin`` mounts the route there."""

_OUTCOMES = ("cleared", "already_cleared", "replaced", "settled", "gone", "hopeless", "exhausted")
# Airflow answers an unknown path with 404 or 405. The route itself answers 501 if it does not know this Airflow.
_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


class RouteMissingError(DagRetryError):
    """The API server does not have the route, or the route does not know this version of Airflow. Nothing was sent."""


class AtomicWay:
    """Clears by the route.

    :param client: sends the requests.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def generation(self, dag_id: str, run_id: str) -> int | None:
        """Return the generation of a run (``dag_run.clear_number``); None if there is no run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :raises RouteMissingError: there is no such route, or the route does not know this version of Airflow.
        """
        try:
            answer = self._client.read_from(f"{ROUTE}/run", query={"dag_id": dag_id, "run_id": run_id})
        except ApiError as error:
            _check_route(error)
            raise
        found = answer.get("clear_number")
        if found is not None and not isinstance(found, int):
            raise self._client.not_airflow()
        return found

    def look(self, claim: Claim, level: Level) -> Decision:
        """See :meth:`Way.look`. The route looks for itself."""
        return CURRENT

    def clear(self, claim: Claim, level: Level, note: str) -> Decision:
        """See :meth:`Way.clear`. The note comes with the clear.

        :raises RouteMissingError: there is no such route, or the route does not know this version of Airflow.
        """
        failed_try = claim.failed_try if names_a_try(claim) else FailedTry()
        body = {
            "claim_id": claim.claim_id,
            "generation": claim.generation,
            "base": claim.base,
            "attempt": claim.attempt,
            "max_attempts": claim.max_attempts,
            "fresh": is_own_failure(claim, level),
            "task_id": failed_try.task_id,
            "map_index": failed_try.map_index,
            "ti_id": failed_try.ti_id,
            **{option: option in claim.clear_options for option in ("only_failed", "run_on_latest_version")},
            "skip_if_newer_run": "skip_if_newer_run" in claim.clear_options,
            "note": note,
        }
        query = {"dag_id": claim.dag_id, "run_id": claim.run_id}
        try:
            answer = self._client.post_to(ROUTE, query=query, body=body)
        except ApiError as error:
            _check_route(error)
            raise
        outcome, reason, attempt = answer.get("outcome"), answer.get("reason"), answer.get("attempt")
        if outcome not in _OUTCOMES or not isinstance(reason, str) or not isinstance(attempt, int):
            raise self._client.not_airflow()
        return Decision(outcome, reason, attempt)


def _check_route(error: ApiError) -> None:
    """Raise RouteMissingError if the server says that there is no such route."""
    if error.status in _MISSING:
        raise RouteMissingError(str(error)) from error
