"""What the page shows, from Redis and Airflow's database. A user sees only the runs that they may read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from dag_retry._reasons import reason_of, reason_of_run
from dag_retry._redis.health import Health
from dag_retry._redis.overview import Overview
from dag_retry._redis.views import Event, Page, Unreadable
from dag_retry._types import RunRecord, Status
from dag_retry.plugin.clear.our_clears import OUR_CLEAR
from dag_retry.plugin.page.access import Access
from dag_retry.plugin.page.by_hand import Clear, by_hand
from dag_retry.sweeper.advice import how_to_start

OVERDUE = timedelta(minutes=1)
"""How late a retry may be before the page calls it overdue. A sweeper looks every second, or every minute as a Dag."""
STILL_QUEUED = timedelta(minutes=5)
"""How long a cleared run may be queued before the page asks why. Airflow starts most runs in seconds."""
BROKEN = timedelta(minutes=2)
"""How long the way to Airflow may be broken before the page says so. A restart of the API server takes less."""
WINDOW = timedelta(days=30)
"""The recovery rate counts the runs that have an event in this time. Redis keeps the newest 10,000 events."""

# The events of a clear in Airflow's audit log: the names of its endpoints, and that of our route.
_CLEARS = ("clear_dag_run", "post_clear_task_instances", OUR_CLEAR)
_MS = timedelta(milliseconds=1)

Section: TypeAlias = Literal["attention", "active", "recent"]

# The statuses of each section. Without a filter, `recent` shows runs in every status. A run whose ending was not told
# yet is in the index `active` too, and the page shows it in `attention`. A skipped run that needs no human is in
# `recent`.
_HELD: dict[Section, frozenset[str]] = {
    "attention": frozenset({"exhausted", "blocked", "skipped", "unclaimed"}),
    "active": frozenset({"waiting", "claimed", "retrying"}),
    "recent": frozenset({"succeeded", "skipped"}),
}

# The statuses that the recovery rate counts together.
_OUTCOMES = {"active": _HELD["active"], "attention": _HELD["attention"], "succeeded": {"succeeded"}}

Row = dict[str, Any]


class Board:
    """What the page shows to one user.

    Every method raises :class:`CounterError` if Redis is unreachable or refuses.

    :param overview: reads Redis.
    :param access: what the user may do.
    :param session: a session with Airflow's database.
    """

    def __init__(self, overview: Overview, access: Access, session: Session) -> None:
        self._overview = overview
        self._access = access
        self._session = session

    def sections(self, *, dag: str = "", status: str | None = None, limit: int = 25) -> dict[str, Any]:
        """Return the runs that need a human, those that are retrying now, and those that changed last.

        :param dag: only runs of Dags whose id contains this text, in any case.
        :param status: only runs in this status; None for all.
        :param limit: how many rows each section has at most.
        :return: Redis's time in ms, what is wrong for all runs, the rows of each section, and the sections that have
            more rows.
        """
        dag_ids = self._dag_ids(dag)
        statuses = None if status is None else {status}
        health = self._overview.health(dag_ids=self._access.readable)
        now, alarms = health.now, self._alarms(health)
        read = partial(self._overview.runs, dag_ids=dag_ids, limit=limit)
        wanted = {name for name, held in _HELD.items() if status is None or status in held}
        pages: dict[str, Page] = dict.fromkeys(_HELD, Page([], None))
        for name in wanted:
            pages[name] = read(name, statuses=statuses or (_HELD[name] if name == "active" else None))
        rows = self._rows([record for page in pages.values() for record in page.runs], now, alarms)
        sections = {
            name: [rows[run] for record in page.runs if (run := (record.dag_id, record.run_id)) in rows]
            for name, page in pages.items()
        }
        # The run that is due soonest is the first. So the first page holds all overdue runs.
        overdue = [row for row in sections["active"] if row.get("overdue")]
        sections["attention"] = overdue + sections["attention"]
        sections["active"] = [row for row in sections["active"] if not row.get("overdue")]
        more = [name for name in sections if pages[name].offset is not None]
        return {"now": now, "alarms": alarms, "sections": sections, "more": more}

    def recovery(self, *, dag: str = "") -> list[dict[str, Any]]:
        """Return for each Dag how many of the runs that failed recently succeeded, need a human, or are retrying.

        :param dag: only Dags whose id contains this text, in any case.
        """
        since = self._overview.now() - WINDOW // _MS
        outcomes = self._overview.outcomes(since=since, dag_ids=self._dag_ids(dag))
        self._access.look_up(outcomes)
        return [
            {
                "dag_id": dag_id,
                "outcomes": {name: sum(counts[each] for each in held) for name, held in _OUTCOMES.items()},
            }
            for dag_id, counts in outcomes.items()
            if self._access.may("GET", dag_id)
        ]

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return all that is known of one run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :return: Redis's time in ms, what is wrong for all runs, the row (None if the run never failed), the events,
            and the clears by hand.
        """
        health = self._overview.health(dag_ids=self._access.readable)
        now, alarms = health.now, self._alarms(health)
        record = self._overview.run(dag_id, run_id)
        rows = {} if record is None else self._rows([record], now, alarms)
        events = self._overview.timeline(dag_id, run_id)
        return {
            "now": now,
            "alarms": alarms,
            "row": rows.get((dag_id, run_id)),
            "airflow": self._airflow([(dag_id, run_id)]).get((dag_id, run_id)),
            "events": [event._asdict() | {"why": reason_of(event.reason).text} for event in events],
            "by_hand": self._clears_by_hand(dag_id, run_id, events) if self._access.may_audit(dag_id) else [],
        }

    def _dag_ids(self, dag: str) -> set[str]:
        return {dag_id for dag_id in self._access.readable if dag.lower() in dag_id.lower()}

    def _alarms(self, health: Health) -> list[Row]:
        """Return what is wrong for all runs at once. So no single run asks for a human because of that."""
        alarms: list[Row] = []
        if (broken := health.broken) and health.now - broken.fault_at >= BROKEN // _MS:
            why, remedy = reason_of(broken.fault)
            text = broken.fault_text if self._access.sees_configuration else ""
            alarms.append({"what": "broken", "at": broken.fault_at, "why": why, "remedy": remedy, "text": text})
        if health.missing:
            last = health.heartbeat
            alarms.append({"what": "missing", "at": last.at if last else 0, "remedy": how_to_start(last)})
        return [alarm | {"waiting": health.waiting} for alarm in alarms]

    def _rows(
        self, records: Iterable[RunRecord | Unreadable], now: int, alarms: Collection[Row]
    ) -> dict[tuple[str, str], Row]:
        """Return a row for each record that the user may see. If an alarm says why runs wait, no row is overdue."""
        by_run = {(record.dag_id, record.run_id): record for record in records}
        self._access.look_up(dag_id for dag_id, _ in by_run)
        by_run = {run: record for run, record in by_run.items() if self._access.may("GET", run[0])}
        airflow = self._airflow(by_run)
        return {
            run: {
                **_row(record, airflow.get(run), now, overdue=not alarms),
                "may_edit": self._access.may("PUT", run[0]),
            }
            for run, record in by_run.items()
        }

    def _airflow(self, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what Airflow has of each of these runs. A run that Airflow has deleted is left out."""
        if not runs:
            return {}
        found = self._session.execute(
            select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.clear_number, DagRun.queued_at).where(
                tuple_(DagRun.dag_id, DagRun.run_id).in_(list(runs))
            )
        )
        return {
            (dag_id, run_id): {
                "state": str(state),
                "clear_number": clear_number,
                "queued_at": int(queued_at.timestamp() * 1000) if queued_at else 0,
            }
            for dag_id, run_id, state, clear_number, queued_at in found
        }

    def _clears_by_hand(self, dag_id: str, run_id: str, events: Collection[Event]) -> list[Row]:
        found = self._session.execute(
            select(Log.dttm, Log.owner, Log.event)
            .where(Log.dag_id == dag_id, Log.run_id == run_id, Log.event.in_(_CLEARS))
            .order_by(Log.dttm.desc())
            .limit(100)
        )
        clears = [Clear(int(at.timestamp() * 1000), who, event == OUR_CLEAR) for at, who, event in found if at]
        return [{"at": clear.at, "who": clear.who} for clear in by_hand(clears, events)]


def _row(record: RunRecord | Unreadable, airflow: Row | None, now: int, *, overdue: bool) -> Row:
    if isinstance(record, Unreadable):
        row: Row = {"dag_id": record.dag_id, "run_id": record.run_id, "status": "unreadable", "why": record.why}
        return row | {"airflow": airflow, "handled": ""}
    row = record._asdict()
    row |= record.failed_try._asdict() | {"clear_options": sorted(record.clear_options), "airflow": airflow}
    del row["failed_try"]
    late = record.status in (Status.WAITING, Status.CLAIMED) and record.due_at <= now - OVERDUE // _MS
    row["overdue"], row["untold"] = late and overdue, record.untold(now)
    # Each clear moves `queued_at`.
    queued_at = airflow["queued_at"] if airflow and airflow["state"] == "queued" else now
    row["still_queued"] = record.status is Status.RETRYING and queued_at <= now - STILL_QUEUED // _MS
    row["why"], row["remedy"] = reason_of_run(record)
    row["was_reset"] = record.was_reset
    row["handled"] = _handled(record, airflow)
    return row


def _handled(record: RunRecord, airflow: Row | None) -> str:
    """Return what a person has done about a run since it ended, so that it needs nobody else; empty if nothing.

    A run that is failed now needs a human, whatever was done. Its generation may be the least that it can be, where a
    sweeper claimed the failure or found it. So a larger ``clear_number`` alone tells of no clear by hand.
    """
    if airflow is None or record.status.value not in _HELD["attention"] or airflow["state"] == "failed":
        return ""
    if airflow["state"] == "success":
        return "succeeded since"
    cleared = 0 <= record.generation < airflow["clear_number"]
    return f"cleared by hand, {airflow['state']}" if cleared else ""
