"""Which runs have failed, as Airflow has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from dag_retry._airflow.client import Session

_PAGE = 100
# Of Dags named in one question.
_DAGS = 200


class FailedRun(NamedTuple):
    """A run that has failed.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param queued_at: when it was queued last, in ms since the epoch: each clear moves it (since Airflow 3.2).
    """

    dag_id: str
    run_id: str
    queued_at: int


class FailedRuns(Session):
    """Asks Airflow for failed runs. Every call raises as those of :class:`Session` do."""

    def enter(self) -> None:
        """Ask for something small, which shows that the credentials are good."""
        self._list("dags", self._call("GET", "dags", query={"limit": 1}))

    def tagged(self, tag: str) -> set[str]:
        """Return the Dags that have a tag.

        :param tag: which.
        """
        found: set[str] = set()
        offset = 0
        while True:
            page = self._list("dags", self._call("GET", "dags", query={"tags": tag, "limit": _PAGE, "offset": offset}))
            found |= {str(dag["dag_id"]) for dag in page}
            offset += len(page)
            if len(page) < _PAGE:
                return found

    def between(self, since: datetime, until: datetime, dag_ids: Collection[str]) -> Iterator[FailedRun]:
        """Give the runs that failed in a stretch of time, and are failed now.

        :param since: when it begins.
        :param until: when it ends.
        :param dag_ids: of which Dags.
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
            while page := self._items("dag_runs", "dags", "~", "dagRuns", "list", body=query | {"page_offset": offset}):
                for run in page:
                    yield FailedRun(str(run["dag_id"]), str(run["dag_run_id"]), _ms(run.get("queued_at")))
                offset += len(page)


def _ms(moment: object) -> int:
    if not isinstance(moment, str):
        return 0
    # Python 3.10 knows no Z.
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
