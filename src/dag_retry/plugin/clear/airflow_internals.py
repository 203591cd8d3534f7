"""All that the atomic clear takes from inside Airflow, and what it relies on there.

Airflow promises none of this to plugins. So importing this module raises :class:`Moved` if something is not as in
the Airflows of :data:`dag_retry._airflow.tested.TESTED`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.dagbag import create_dag_bag
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunClearBody
from airflow.api_fastapi.core_api.routes.public.dag_run import clear_dag_run
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import and_, exists, or_, select, update

from dag_retry._airflow.audit_log import STATES_SET, STATES_SET_IN_BULK, Line, SetByHand, Try, read_states_set
from dag_retry.plugin.clear.messages import ClearRequest
from dag_retry.plugin.clear.our_clears import OUR_CLEAR, OurClear, read_our_clear, write_our_clear

__all__ = ["GetUserDep", "LockedRun", "Moved", "SessionDep", "may_clear", "read_clear_number"]

may_clear = requires_access_dag("PUT", DagAccessEntity.RUN)
"""Refuse a user whom Airflow's own clear refuses. Of this request the check reads ``dag_id`` from the query."""


class Moved(ImportError):
    """Something inside Airflow is not where, or not as, it was."""


# What the public function takes: 3.2 has no `user`.
_CLEAR_TAKES = {"dag_id", "dag_run_id", "body", "dag_bag", "session", "user"}
_COLUMNS = {
    DagRun: "id dag_id run_id state clear_number created_at updated_at queued_at run_after backfill_id dag_run_note",
    TaskInstance: "id dag_id run_id state end_date",
    DagModel: "dag_id is_paused max_consecutive_failed_dag_runs",
    Backfill: "id is_paused",
    Log: "id dttm dag_id task_id run_id event extra owner owner_display_name",
}


def _check() -> None:
    takes = inspect.signature(clear_dag_run).parameters
    if inspect.iscoroutinefunction(clear_dag_run) or not _CLEAR_TAKES - {"user"} <= takes.keys() <= _CLEAR_TAKES:
        raise Moved(f"clear_dag_run is now called as clear_dag_run({', '.join(takes)})")
    if missing := {"dry_run", "only_failed", "run_on_latest_version"} - DAGRunClearBody.model_fields.keys():
        raise Moved(f"DAGRunClearBody has no {', '.join(sorted(missing))}")
    for model, names in _COLUMNS.items():
        if gone := [name for name in names.split() if not hasattr(model, name)]:
            raise Moved(f"{model.__name__} has no {', '.join(gone)}")


_check()

_dag_bag = lru_cache(maxsize=1)(create_dag_bag)
"""Airflow's own is in the state of its app, which an app mounted beside it can't see."""


def read_clear_number(session: SessionDep, dag_id: str, run_id: str) -> int | None:
    """Return the generation of a run; None if there is no run. Nothing is locked."""
    return session.scalar(select(DagRun.clear_number).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))


class LockedRun:
    """A Dag run whose row is ours until the end of the transaction: nobody else can clear it or change its state.

    :param session: the session, in whose transaction everything happens.
    :param row: the run.
    """

    def __init__(self, session: SessionDep, row: DagRun) -> None:
        self._session, self._row = session, row

    @classmethod
    def take(cls, session: SessionDep, dag_id: str, run_id: str) -> LockedRun | None:
        """Lock a run, wait for whoever has locked it, and then see what they have committed.

        A write takes the row (PostgreSQL, MySQL) or the database (SQLite, which ignores ``SELECT … FOR UPDATE``). It
        changes nothing.

        :param session: a session that has read nothing yet.
        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :return: the run; None if there is none.
        """
        mine = (DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        values = {"updated_at": DagRun.updated_at}  # named, else Airflow's model sets the present time
        session.execute(update(DagRun).where(*mine).values(values).execution_options(synchronize_session=False))
        row = session.scalar(select(DagRun).where(*mine))
        return None if row is None else cls(session, row)

    @property
    def state(self) -> str:
        """The state, such as ``failed``."""
        return str(self._row.state)

    @property
    def clear_number(self) -> int:
        """The generation."""
        return self._row.clear_number

    @property
    def created_at(self) -> datetime | None:
        """When the run was made; None if that was before Airflow 3.2."""
        return self._row.created_at

    def find_try(self, ti_id: str) -> Try | None:
        """Return the try with this id, if it is the current try of a task of this run; None if not.

        :param ti_id: the id of the task instance. A clear gives the task another.
        """
        tries = select(TaskInstance.state, TaskInstance.end_date).where(
            TaskInstance.dag_id == self._row.dag_id,
            TaskInstance.run_id == self._row.run_id,
            TaskInstance.id == UUID(ti_id),
        )
        if hasattr(TaskInstance, "working_set"):  # Airflow 3.4 keeps earlier tries in this table
            tries = tries.where(TaskInstance.working_set.is_(True))
        found = self._session.execute(tries).one_or_none()
        return None if found is None else Try(found.state, found.end_date)

    @cached_property
    def our_clears(self) -> list[OurClear]:
        """The clears that this route made, the last first.

        Each is of an earlier generation. (SQLite gives the id of a run that was deleted to the next run.)
        """
        lines = select(Log.extra).where(*self._lines, Log.event == OUR_CLEAR).order_by(Log.id.desc())
        clears = [read_our_clear(extra) for extra in self._session.scalars(lines)]
        mine = [clear for clear in clears if clear is not None and clear.dag_run == self._row.id]
        return [clear for clear in mine if clear.generation < self.clear_number]

    @cached_property
    def set_by_hand(self) -> list[SetByHand]:
        """The states that people have asked Airflow to set since the last clear, which moved ``queued_at``."""
        in_bulk = and_(Log.event == STATES_SET_IN_BULK, Log.dag_id.in_((self._row.dag_id, "~")))
        lines = select(Log.dttm, Log.event, Log.dag_id, Log.task_id, Log.extra)
        lines = lines.where(or_(and_(*self._lines, Log.event.in_(STATES_SET)), in_bulk))
        if self._row.queued_at is not None:
            lines = lines.where(Log.dttm >= self._row.queued_at)
        ids = self._row.dag_id, self._row.run_id
        return [state for line in self._session.execute(lines) for state in read_states_set(Line._make(line), *ids)]

    @property
    def _lines(self) -> tuple[Any, ...]:
        return Log.dag_id == self._row.dag_id, Log.run_id == self._row.run_id

    @cached_property
    def _dag(self) -> Any:
        """The columns of the Dag that say whether Airflow would run anything of it; None if Airflow has no such Dag."""
        columns = [DagModel.is_paused, DagModel.max_consecutive_failed_dag_runs]
        columns += [DagModel.is_draining] if hasattr(DagModel, "is_draining") else []  # Airflow 3.4
        return self._session.execute(select(*columns).where(DagModel.dag_id == self._row.dag_id)).one_or_none()

    @property
    def is_paused(self) -> bool:
        """Whether the Dag is paused."""
        return bool(self._dag and self._dag.is_paused)

    @property
    def is_paused_by_failures(self) -> bool:
        """Whether so many last runs of the Dag have failed that Airflow pauses the Dag.

        As ``DagRun._check_last_n_dagruns_failed`` counts them.
        """
        most = self._dag.max_consecutive_failed_dag_runs
        last = select(DagRun.state).where(DagRun.dag_id == self._row.dag_id)
        last = last.order_by(DagRun.run_after.desc(), DagRun.id.desc()).limit(most)
        return most > 0 and all(state == "failed" for state in self._session.scalars(last))

    @property
    def is_draining(self) -> bool:
        """Whether the Dag pauses itself once no run is unfinished."""
        return bool(getattr(self._dag, "is_draining", False))

    @property
    def is_of_paused_backfill(self) -> bool:
        """Whether a backfill made the run, and is paused or cancelled: Airflow starts no queued run of it.

        As ``DagRun.get_queued_dag_runs_to_set_running`` asks. It does not ask whether a backfill is completed.
        """
        backfill = select(Backfill.is_paused).where(Backfill.id == self._row.backfill_id)
        return self._row.backfill_id is not None and bool(self._session.scalar(backfill))

    @property
    def has_newer_success(self) -> bool:
        """Whether a newer run of the Dag has succeeded."""
        newer = (DagRun.dag_id == self._row.dag_id, DagRun.state == "success", DagRun.run_after > self._row.run_after)
        return bool(self._session.scalar(select(exists().where(*newer))))

    def clear(self, asked: ClearRequest, user: GetUserDep) -> None:
        """Clear the run by Airflow's own function, which commits nothing.

        :param asked: how to clear it.
        :param user: in whose name.
        :raises HTTPException: Airflow refuses.
        """
        # Where the flag is not set, the Dag and the section `core` decide (Airflow 3.3).
        how = {"dry_run": False, "only_failed": asked.only_failed}
        how |= {"run_on_latest_version": True} if asked.run_on_latest_version else {}
        arguments: dict[str, Any] = {
            "dag_id": self._row.dag_id,
            "dag_run_id": self._row.run_id,
            "body": DAGRunClearBody.model_validate(how),
            "dag_bag": _dag_bag(),
            "session": self._session,
            "user": user,
        }
        takes = inspect.signature(clear_dag_run).parameters
        clear_dag_run(**{name: value for name, value in arguments.items() if name in takes})

    def revise_note(self, revise: Callable[[str], str | None], user: GetUserDep) -> None:
        """Revise the note of the run.

        :param revise: gets the note and returns the new one, or None to leave it.
        :param user: in whose name.
        """
        note = self._row.dag_run_note
        revised = revise((note and note.content) or "")
        if revised is None:
            return
        if note is None:
            self._row.note = (revised, user.get_id())
        else:
            note.content, note.user_id = revised, user.get_id()

    def log_clear(self, asked: ClearRequest, attempt: int, user: GetUserDep) -> None:
        """Write our line into Airflow's audit log.

        :param asked: the claim.
        :param attempt: the attempt that begins.
        :param user: in whose name.
        """
        name, extra = user.get_name(), write_our_clear(asked, attempt, self._row.id)
        self._session.add(Log(OUR_CLEAR, None, name, name, extra, dag_id=self._row.dag_id, run_id=self._row.run_id))
