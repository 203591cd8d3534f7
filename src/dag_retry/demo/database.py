"""Airflow's own metadata database, read directly: what Airflow did, not what we believe it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

FINAL_STATES = frozenset({"success", "failed"})
"""States of a Dag run that has ended (``airflow.utils.state.State.finished_dr_states``)."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row of ``dag_run``.

    :param dag_id: the Dag.
    :param run_id: the run.
    :param state: ``queued``, ``running``, ``success`` or ``failed``.
    :param clear_number: how often the run has been cleared, by whomever (Airflow ≥ 3.2).
    """

    dag_id: str
    run_id: str
    state: str
    clear_number: int

    @property
    def ended(self) -> bool:
        """Whether the state is a final one. A Dag-level callback may still be about to clear the run."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a task: a row of ``task_instance`` (the latest try) or of ``task_instance_history`` (those before).

    :param task_id: the task.
    :param map_index: -1 where the task is not mapped.
    :param try_number: counted from 1 over all clears.
    :param state: the task's state; in the history, the one in which the try was given up.
    """

    task_id: str
    map_index: int
    try_number: int
    state: str | None


class MetadataDatabase:
    """Read-only questions to a metadata database.

    :param url: as in Airflow's ``[database] sql_alchemy_conn``. Nothing is connected before the first question.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connected: Engine | None = None

    def query(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Ask anything.

        :param sql: a SELECT; ``:name`` stands for a parameter.
        :param params: the parameters.
        :return: the rows, each by column name, values as the database's driver gives them.
        :raises sqlalchemy.exc.SQLAlchemyError: the database refused.
        """
        from sqlalchemy import text

        with self._engine().connect() as connection:
            return [dict(row) for row in connection.execute(text(sql), params).mappings()]

    def dag_run(self, dag_id: str, run_id: str) -> Run:
        """Return one Dag run.

        :param dag_id: its Dag.
        :param run_id: its run id.
        :raises LookupError: there is no such run.
        """
        rows = self.query(
            "SELECT dag_id, run_id, state, clear_number FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id",
            dag_id=dag_id,
            run_id=run_id,
        )
        if not rows:
            raise LookupError(f"Airflow knows no run {run_id!r} of Dag {dag_id!r}")
        return Run(**rows[0])

    def tries(self, dag_id: str, run_id: str) -> list[Try]:
        """Return all tries of a run's tasks, ordered by task, map index and try number.

        :param dag_id: its Dag.
        :param run_id: its run id.
        """
        rows = self.query(
            """
            SELECT task_id, map_index, try_number, state FROM task_instance
            WHERE dag_id = :dag_id AND run_id = :run_id
            UNION ALL
            SELECT task_id, map_index, try_number, state FROM task_instance_history
            WHERE dag_id = :dag_id AND run_id = :run_id
            ORDER BY task_id, map_index, try_number
            """,
            dag_id=dag_id,
            run_id=run_id,
        )
        return [Try(**row) for row in rows]

    def close(self) -> None:
        """Give the connections back."""
        if self._connected is not None:
            self._connected.dispose()
            self._connected = None

    def _engine(self) -> Engine:
        if self._connected is None:
            from sqlalchemy import create_engine

            self._connected = create_engine(self._url, pool_pre_ping=True)
        return self._connected
