"""The runs that Airflow lists."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from dag_retry._airflow.client import ALL, moment
from dag_retry._airflow.session import Airflow

_PAGE = 100
# In ms. The clocks of Airflow and of this host may differ by a minute.
_CLOCKS = 60_000


class AirflowRun(NamedTuple):
    """A run, as Airflow lists it. Dates are as Airflow writes them, and empty where there is none.

    :param dag_id: the Dag.
    :param run_id: the Dag run.
    :param queued_at: when the run was last queued. Since Airflow 3.2 each clear changes it.
    :param started_at: when the run began.
    :param ended_at: when the run ended.
    :param run_after: the run could not begin earlier.
    """

    dag_id: str
    run_id: str
    queued_at: str
    started_at: str
    ended_at: str
    run_after: str

    @property
    def queued_ms(self) -> int:
        """When the run was last queued, in ms since the epoch; 0 if Airflow does not say."""
        return _ms(self.queued_at)

    @property
    def ended_ms(self) -> int:
        """When the run ended, in ms since the epoch; 0 if Airflow does not say."""
        return _ms(self.ended_at)


class AirflowRuns:
    """Lists runs, page by page. Every call raises what the calls of :class:`ApiClient` raise.

    :param airflow: the session with Airflow's REST API. Each page has the whole deadline.
    """

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow

    def ended(
        self, state: str, since: datetime, until: datetime, dag_ids: Collection[str] | None = None
    ) -> Iterator[list[AirflowRun]]:
        """Yield the runs in a state that ended in an interval, each once: the run that ended first is the first.

        Each page begins where the last one ended. So no run is missed if another one leaves the list meanwhile, and
        Airflow need not count through thousands of rows.

        :param state: ``failed`` or ``success``.
        :param since: the start of the interval.
        :param until: the end of the interval.
        :param dag_ids: only runs of these Dags; None for all.
        """
        query: dict[str, Any] = {"states": [state], "end_date_lte": until.isoformat(), "order_by": "end_date"}
        if dag_ids is not None:
            query["dag_ids"] = sorted(dag_ids)
        begin, offset = since.isoformat(), 0
        at_begin: set[tuple[str, str]] = set()
        while True:
            page, total = self._page(query | {"end_date_gte": begin, "page_offset": offset})
            fresh = [run for run in page if (run.dag_id, run.run_id) not in at_begin]
            if fresh:
                yield fresh
            if not page or offset + len(page) == total:
                return
            if page[-1].ended_at == begin:
                offset += len(page)
            else:
                begin, offset, at_begin = page[-1].ended_at, 0, set()
            at_begin |= {(run.dag_id, run.run_id) for run in page if run.ended_at == begin}

    def queued(self, dag_ids: Collection[str]) -> Iterator[list[AirflowRun]]:
        """Yield the queued runs of some Dags.

        :param dag_ids: the Dags.
        """
        query: dict[str, Any] = {"states": ["queued"], "dag_ids": sorted(dag_ids), "order_by": "run_after"}
        offset = 0
        while True:
            page, total = self._page(query | {"page_offset": offset})
            if page:
                yield page
            offset += len(page)
            if not page or offset == total:
                return

    def _page(self, query: dict[str, Any]) -> tuple[list[AirflowRun], Any]:
        """Return a page, and how many runs Airflow has on all pages."""
        self._airflow.deadline.renew()
        client = self._airflow.api.client
        answer = client.post("dags", ALL, "dagRuns", "list", body=query | {"page_limit": _PAGE})
        runs = [
            AirflowRun(
                str(run["dag_id"]),
                str(run["dag_run_id"]),
                *(run.get(name) or "" for name in ("queued_at", "start_date", "end_date", "run_after")),
            )
            for run in client.items(answer, "dag_runs")
        ]
        return runs, answer.get("total_entries")


class TaggedDags:
    """The Dags that have a tag. There may be thousands, so they are asked for as seldom as possible.

    :param airflow: the session with Airflow's REST API.
    :param tag: the tag.
    """

    def __init__(self, airflow: Airflow, tag: str) -> None:
        self._airflow = airflow
        self._tag = tag
        self._dag_ids: set[str] = set()
        self._asked_at = 0.0

    def hold(self, run: AirflowRun) -> bool:
        """Return whether the Dag of a run that ended has the tag. A list that is younger than this end still serves.

        :param run: the run.
        """
        if run.dag_id not in self._dag_ids and run.ended_ms + _CLOCKS > self._asked_at:
            asked_at = time.time() * 1000
            self._dag_ids = set(self._ask())
            self._asked_at = asked_at
        return run.dag_id in self._dag_ids

    def _ask(self) -> Iterator[str]:
        client = self._airflow.api.client
        offset = 0
        while True:
            self._airflow.deadline.renew()
            answer = client.get("dags", query={"tags": self._tag, "limit": _PAGE, "offset": offset})
            page = client.items(answer, "dags")
            yield from (str(dag["dag_id"]) for dag in page)
            offset += len(page)
            if not page or offset == answer.get("total_entries"):
                return


def _ms(text: str) -> int:
    return int(moment(text).timestamp() * 1000) if text else 0
