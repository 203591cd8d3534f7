"""The few calls of Airflow's REST API that a retry needs. It knows HTTP, and nothing of Redis or callbacks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from dag_retry._airflow.client import Session
from dag_retry._errors import ClearRefused, ClearUnconfirmed
from dag_retry._types import ClearOption, FailedTry

# Airflow takes it for "all" in a path.
_ALL = "~"
# States of a task instance that has ended (`airflow.utils.state.State.finished`).
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class AirflowApi(Session):
    """What a retry asks of Airflow. Every call raises as those of :class:`Session` do."""

    def is_current(self, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
        """Ask whether the failed try is still the current one: every clear gives its task instance a new id.

        (``prepare_db_for_next_try`` in ``airflow.models.taskinstance``.)

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the try whose failure was claimed.
        """
        return self._task_instance(dag_id, run_id, failed_try).get("id") == failed_try.ti_id

    def is_lost(self, dag_id: str, run_id: str, failed_try: FailedTry, try_number: int) -> bool:
        """Ask whether a try whose worker fell silent is where it was, and not on its way to a new try.

        A clear gives a running task its new id at once, and leaves it RESTARTING until its silence is noticed; then it
        is UP_FOR_RETRY, and in its next try has the same id and a higher number (measured on 3.2.2 and 3.3.2).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the silent try.
        :param try_number: its number.
        """
        found = self._task_instance(dag_id, run_id, failed_try)
        return (found.get("id"), found.get("try_number")) == (failed_try.ti_id, try_number) and found.get("state") in (
            "running",
            "failed",
        )

    def queue_stranded(self, dag_id: str, run_id: str, failed_try: FailedTry) -> None:
        """Queue a run if it has been cleared and is failed nevertheless.

        Airflow sets the state of a run that it clears only where that had ended when the clear began
        (``clear_task_instances`` in ``airflow.models.taskinstance``). So a clear that is carried out while the run
        fails, its caller dead or gone, leaves it failed, with tasks that nobody schedules (measured on 3.3.2).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: a try that is not the current one any more.
        """
        if not _fit_a_path(dag_id, run_id):
            return
        run = ("dags", dag_id, "dagRuns", run_id)
        if self._call("GET", *run).get("state") != "failed":
            return
        if self._task_instance(dag_id, run_id, failed_try).get("state") not in _ENDED:
            self._check([self._call("PATCH", *run, body={"state": "queued"})], dag_id=dag_id, dag_run_id=run_id)

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state, as ``failed``; empty where its ids fit no path.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        if not _fit_a_path(dag_id, run_id):
            return ""
        return str(self._call("GET", "dags", dag_id, "dagRuns", run_id).get("state"))

    def clear(self, dag_id: str, run_id: str, options: Collection[ClearOption] = ()) -> None:
        """Clear the run, so that all its tasks, or those that failed, run again.

        Where the token is over it is renewed, and the clear not sent again: a login later it may be another's to make.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param options: how to clear it.
        """
        # Without `dry_run` Airflow only says what it would clear: it defaults to true.
        body = {"dry_run": False} | {name: True for name in ("only_failed", "run_on_latest_version") if name in options}
        if _fit_a_path(dag_id, run_id):
            path = ("dags", dag_id, "dagRuns", run_id, "clear")
            cleared = [self._call("POST", *path, body=body, look_again=True)]
        else:
            cleared = self._clear_listed(dag_id, run_id, body)
        self._check(cleared, dag_id=dag_id, dag_run_id=run_id)
        if len(cleared) != 1:
            raise self._not_airflow()

    def why_not(self, dag_id: str, run_id: str, options: Collection[ClearOption] = ()) -> str:
        """Return why the run is better not cleared, as a code; empty where it may be.

        A paused Dag runs nothing that is cleared. ``max_consecutive_failed_dag_runs`` pauses it where its last runs
        have all failed (``DagRun._check_last_n_dagruns_failed``), before the Dag's failure callback is called.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param options: whether a newer run that has succeeded is a reason.
        :return: ``dag_paused``, ``dag_paused_by_failures`` or ``newer_run_succeeded``.
        """
        if not _fit_a_path(dag_id, run_id):
            return ""
        try:
            dag = self._call("GET", "dags", dag_id)
        except ClearRefused:
            return ""  # who may clear a run need not be allowed to read its Dag
        if dag.get("is_paused") is True:
            most = dag.get("max_consecutive_failed_dag_runs") or 0
            last = self._runs({"dag_ids": [dag_id], "order_by": "-run_after", "page_limit": most}) if most else []
            by_failures = last and all(run.get("state") == "failed" for run in last)
            return "dag_paused_by_failures" if by_failures else "dag_paused"
        if "skip_if_newer_run" in options:
            run_after = self._call("GET", "dags", dag_id, "dagRuns", run_id).get("run_after")
            newer = {"dag_ids": [dag_id], "states": ["success"], "run_after_gt": run_after, "page_limit": 1}
            if self._runs(newer):
                return "newer_run_succeeded"
        return ""

    def note(self, dag_id: str, run_id: str, revise: Callable[[str], str | None]) -> None:
        """Revise the note of a run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param revise: is given the note, and returns the new one, None to leave it.
        """
        if not _fit_a_path(dag_id, run_id):
            return
        run = ("dags", dag_id, "dagRuns", run_id)
        revised = revise(self._call("GET", *run).get("note") or "")
        if revised is not None:
            self._call("PATCH", *run, body={"note": revised})

    def trigger(self, dag_id: str, run_id: str, run_after: datetime) -> bool:
        """Have a Dag run at a time to come, once.

        :param dag_id: the Dag.
        :param run_id: names the run; if there is one of that name already, that is it.
        :param run_after: when.
        :return: whether there is such a Dag.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "run_after": run_after.isoformat()}
        try:
            self._call("POST", "dags", dag_id, "dagRuns", body=body)
        except ClearRefused as refusal:
            if refusal.reason != "http_404":
                raise
            return False
        except ClearUnconfirmed as unclear:
            # 409: there is one of that name.
            if not self._runs({"dag_ids": [dag_id], "run_after_gte": run_after.isoformat(), "page_limit": 1}):
                raise unclear
        return True

    def _runs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        return self._items("dag_runs", "dags", _ALL, "dagRuns", "list", body=query)

    def _clear_listed(self, dag_id: str, run_id: str, how: dict[str, Any]) -> list[dict[str, Any]]:
        """Clear by the endpoint that takes ids in its body.

        Measured: 3.3.2 takes them literally, `~` too, answers 404 where the run is gone and 403 to who may not edit the
        Dag's runs, then with nothing cleared; 3.2.2 has no such endpoint, and answers 405.
        """
        body = how | {"dag_runs": [{"dag_id": dag_id, "dag_run_id": run_id}]}
        try:
            return self._items("dag_runs", "dags", _ALL, "clearDagRuns", body=body, look_again=True)
        except ClearRefused as refusal:
            if refusal.reason != "http_405":
                raise
            raise ClearRefused(
                f"{dag_id!r} or {run_id!r} can't stand in the path of Airflow's REST API, and this Airflow takes the "
                "ids of a clear nowhere else: Airflow 3.3 can do it. Upgrade it, or name later runs otherwise",
                reason="unsafe_id",
            ) from refusal

    def _task_instance(self, dag_id: str, run_id: str, failed_try: FailedTry) -> dict[str, Any]:
        """Return the task instance as it is, empty where it is gone and its run is not.

        (A mapped index can vanish with a clear.) It must be the one that was asked for: any other has another id, and
        would be taken for a clear by somebody.
        """
        task_id, map_index = failed_try.task_id, failed_try.map_index
        if not _fit_a_path(dag_id, run_id, task_id):
            return self._task_instance_listed(dag_id, run_id, task_id, map_index)
        run = ("dags", dag_id, "dagRuns", run_id)
        index = (str(map_index),) if map_index >= 0 else ()
        try:
            found = self._call("GET", *run, "taskInstances", task_id, *index)
        except ClearRefused as refusal:
            if refusal.reason != "http_404":
                raise
            # A run that is gone refuses this too.
            self._check([self._call("GET", *run)], dag_id=dag_id, dag_run_id=run_id)
            return {}
        self._check([found], dag_id=dag_id, dag_run_id=run_id, task_id=task_id, map_index=map_index)
        return found

    def _task_instance_listed(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
        """Find the task instance by the endpoint that takes ids in its body; it takes no index.

        Measured on 3.2.2 and 3.3.2: ids are taken literally, `~` too; 100 of 250 indexes come a page, 109 kB in 30 ms;
        for a run that is gone the list is empty, and so it is (by `ReadableTIFilterDep`) for who may not read the Dag.
        """
        run = {"dag_ids": [dag_id], "dag_run_ids": [run_id]}
        path = ("dags", _ALL, "dagRuns", _ALL, "taskInstances", "list")
        # By index: a page's place must not change where another index is cleared meanwhile, and its id with it.
        query = run | {"task_ids": [task_id], "order_by": "map_index", "page_limit": 100}
        offset = 0
        while page := self._items("task_instances", *path, body=query | {"page_offset": offset}):
            self._check(page, dag_id=dag_id, dag_run_id=run_id, task_id=task_id)
            for found in page:
                if found.get("map_index") == map_index:
                    return found
            offset += len(page)
        if not self._items("task_instances", *path, body=run | {"page_limit": 1}):
            raise ClearRefused(
                f"Airflow lists no task of run {run_id!r} of Dag {dag_id!r}: it is gone, or the user of "
                "dag_retry may not read it",
                reason="http_404",
            )
        return {}


def _fit_a_path(*ids: str) -> bool:
    """Tell whether each id is one segment of a path.

    HTTP libraries fold ``.`` and ``..`` even when quoted, Airflow takes ``~`` for "all", and answers 405 to a slash
    in any form: such an id would name something else.
    """
    return all(part not in ("", ".", "..", _ALL) and "/" not in part for part in ids)
