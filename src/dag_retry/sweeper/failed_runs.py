"""The failed runs that Airflow knows of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from dag_retry._airflow.client import ALL, ApiClient

_PAGE = 100
# One request names at most so many Dags.
_DAGS = 200


class FailedRun(NamedTuple):
    """A run that has failed.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param queued_at: when the run was last queued, as Airflow writes dates. Since Airflow 3.2 each clear changes it.
    """

    dag_id: str
    run_id: str
    queued_at: str

    @property
    def queued_ms(self) -> int:
        """When the run was last queued, in ms since the epoch; 0 if Airflow does not say."""
        # Python 3.10 does not know the suffix Z.
        moment = self.queued_at.replace("Z", "+00:00")
        return int(datetime.fromisoformat(moment).timestamp() * 1000) if moment else 0


class FailedRuns:
    """Asks Airflow for failed runs. Every call raises what the calls of :class:`ApiClient` raise.

    :param client: sends the requests.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def tagged(self, tag: str) -> set[str]:
        """Return the ids of the Dags that have a tag.

        :param tag: the tag.
        """
        found: set[str] = set()
        offset = 0
        while True:
            answer = self._client.get("dags", query={"tags": tag, "limit": _PAGE, "offset": offset})
            page = self._client.items(answer, "dags")
            found |= {str(dag["dag_id"]) for dag in page}
            offset += len(page)
            if len(page) < _PAGE:
                return found

    def between(self, since: datetime, until: datetime, dag_ids: Collection[str]) -> Iterator[FailedRun]:
        """Yield the runs of some Dags that ended in an interval, and are failed now.

        :param since: the start of the interval.
        :param until: the end of the interval.
        :param dag_ids: the Dags.
        """
        wanted = sorted(dag_ids)
        for first in range(0, len(wanted), _DAGS):
            query: dict[str, Any] = {
                "dag_ids": wanted[first : first + _DAGS],
                "states": ["failed"],
                "end_date_gte": since.isoformat(),
                "end_date_lte": until.isoformat(),
                "order_by": "end_date",
                "page_limit": _PAGE,
            }
            offset = 0
            while page := self._page(query | {"page_offset": offset}):
                for run in page:
                    yield FailedRun(str(run["dag_id"]), str(run["dag_run_id"]), run.get("queued_at") or "")
                offset += len(page)

    def _page(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        return self._client.items(self._client.post("dags", ALL, "dagRuns", "list", body=query), "dag_runs")
