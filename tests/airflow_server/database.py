"""Airflow's metadata database, read directly. It shows what Airflow really did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine

FINAL_STATES = frozenset({"success", "failed"})
"""The states of an ended Dag run (``airflow.utils.state.State.finished_dr_states``)."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row of ``dag_run``.

    :param dag_id: the Dag.
    :param run_id: the run.
    :param state: ``queued``, ``running``, ``success`` or ``failed``.
    :param clear_number: how often anybody has cleared the run (Airflow ≥ 3.2).
    """

    dag_id: str
    run_id: str
    state: str
    clear_number: int

    @property
    def ended(self) -> bool:
        """Whether the state is final. A Dag-level callback may still clear the run later."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a task: a row of ``task_instance``, or before Airflow 3.4 of ``task_instance_history``.

    :param task_id: the task.
    :param map_index: the index of a mapped task, else -1.
    :param try_number: the number of the try. It starts at 1, and a clear does not reset it.
    :param state: the task's state; in the history, the last state of the try.
    """

    task_id: str
    map_index: int
    try_number: int
    state: str | None


class MetadataDatabase:
    """Read-only queries of a metadata database.

    :param url: as in Airflow's ``[database] sql_alchemy_conn``. The first query connects.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None

    def query(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Run a query.

        :param sql: a SELECT; ``:name`` stands for a parameter.
        :param params: the parameters.
        :return: the rows, each as column name → value, with the types of the database's driver.
        :raises sqlalchemy.exc.SQLAlchemyError: the database refuses.
        """
        with self._connected().connect() as connection:
            return [dict(row) for row in connection.execute(text(sql), params).mappings()]

    def dag_run(self, dag_id: str, run_id: str) -> Run:
        """Return one Dag run.

        :param dag_id: the Dag.
        :param run_id: the run.
        :raises LookupError: there is no such run.
        """
        rows = self.query(
            "SELECT dag_id, run_id, state, clear_number FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id",
            dag_id=dag_id,
            run_id=run_id,
        )
        if not rows:
            raise LookupError(f"Airflow has no run {run_id!r} of Dag {dag_id!r}")
        return Run(**rows[0])

    def tries(self, dag_id: str, run_id: str) -> list[Try]:
        """Return all tries of a run's tasks, ordered by task, map index and try number.

        :param dag_id: the Dag.
        :param run_id: the run.
        """
        index, tables = "map_index", ["task_instance", "task_instance_history"]
        if not inspect(self._connected()).has_table("task_instance_history"):
            # Airflow 3.4 keeps all tries in one table, in which map_index has another name.
            index, tables = "region_index AS map_index", tables[:1]
        tries = " UNION ALL ".join(
            f"SELECT task_id, {index}, try_number, state FROM {table} WHERE dag_id = :dag_id AND run_id = :run_id"
            for table in tables
        )
        rows = self.query(f"{tries} ORDER BY task_id, map_index, try_number", dag_id=dag_id, run_id=run_id)
        return [Try(**row) for row in rows]

    def has_dag(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed a Dag.

        :param dag_id: the Dag.
        """
        return bool(self.query("SELECT dag_id FROM serialized_dag WHERE dag_id = :dag_id", dag_id=dag_id))

    def import_errors(self) -> list[str]:
        """Return the Dag files that Airflow cannot import, each with its stack trace."""
        errors = self.query("SELECT filename, stacktrace FROM import_error")
        return [f"{error['filename']}: {error['stacktrace']}" for error in errors]

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _connected(self) -> Engine:
        if self._engine is None:
            self._engine = create_engine(self._url, pool_pre_ping=True)
        return self._engine
