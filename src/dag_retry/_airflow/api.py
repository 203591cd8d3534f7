"""Airflow's REST API, as far as a retry needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from http import HTTPStatus

from dag_retry._airflow.audit_log import Try, find_states_set
from dag_retry._airflow.client import ALL, ApiClient, JsonObject, fit_a_path, moment
from dag_retry._airflow.deadline import Deadline
from dag_retry._airflow.settings import ApiSettings
from dag_retry._airflow.task_instances import find_failed, find_task_instance
from dag_retry._errors import ApiError, ApiRefused, ApiUnanswered
from dag_retry._types import ClearOption, FailedTry

# States of a task instance that has ended (`airflow.utils.state.State.finished`).
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class AirflowApi:
    """The calls of Airflow's REST API that a retry needs. A context manager, which closes its connections.

    Every call raises an :class:`ApiError`: :class:`ApiRefused`, :class:`ApiUnusable` or :class:`ApiUnanswered`.

    :param settings: the address and the credentials.
    :param deadline: the end of the last request.
    :ivar client: sends the requests.
    """

    def __init__(self, settings: ApiSettings, deadline: Deadline) -> None:
        self.client = ApiClient(settings, deadline)

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def run(self, dag_id: str, run_id: str) -> JsonObject | None:
        """Return a run; None if Airflow says that the run does not exist, empty if no path can hold its ids.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        if not fit_a_path(dag_id, run_id):
            return {}
        try:
            found = self.client.get("dags", dag_id, "dagRuns", run_id)
        except ApiRefused as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND and "The DagRun with dag_id" in str(refusal):
                return None
            raise
        return self.client.check(found, dag_id=dag_id, dag_run_id=run_id)

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of the run, such as ``failed``; empty if there is no run, or no path can hold its ids.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        return str((self.run(dag_id, run_id) or {}).get("state") or "")

    def find_try(self, dag_id: str, run_id: str, failed_try: FailedTry) -> JsonObject:
        """Return the task instance of a failed try as it is now; empty if the run has none any more.

        Every clear gives a task instance a new id (``prepare_db_for_next_try`` in ``airflow.models.taskinstance``).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the try whose failure was claimed.
        """
        return find_task_instance(self.client, dag_id, run_id, failed_try)

    def is_settled(self, dag_id: str, run_id: str, failed_try: FailedTry, found: JsonObject, *, since: str) -> bool:
        """Return whether a person has decided what becomes of the run, or of the failed task.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the try whose failure was claimed.
        :param found: its task instance as it is now.
        :param since: only later decisions count: a date, as Airflow writes dates.
        """
        ended = found.get("end_date")
        failed = Try(found.get("state"), moment(ended) if ended else None)
        return any(
            state.settles(failed_try.task_id, failed_try.map_index, failed)
            for state in find_states_set(self.client, dag_id, run_id, since)
        )

    def is_still_current_try(self, dag_id: str, run_id: str, failed_try: FailedTry, try_number: int) -> bool:
        """Return whether a try whose heartbeat timed out is the current one, and no new try is on its way.

        A clear gives a running task instance a new id at once and sets it RESTARTING. When its heartbeat times out, it
        becomes UP_FOR_RETRY. Its next try has the same id and a higher number (measured on 3.2.2 and 3.3.2).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: the try whose heartbeat timed out.
        :param try_number: the number of the try.
        """
        found = find_task_instance(self.client, dag_id, run_id, failed_try)
        same = (found.get("id"), found.get("try_number")) == (failed_try.ti_id, try_number)
        return same and found.get("state") in ("running", "failed")

    def find_failed_try(self, dag_id: str, run_id: str) -> FailedTry | None:
        """Return a try of the run that failed, or that failed with an upstream task; None if there is none.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        """
        found = find_failed(self.client, dag_id, run_id)
        if found is None:
            return None
        map_index = found.get("map_index")
        return FailedTry(str(found.get("task_id")), -1 if map_index is None else int(map_index), str(found.get("id")))

    def queue_stranded(self, dag_id: str, run_id: str, failed_try: FailedTry) -> bool:
        """Queue a run that has been cleared and is failed nevertheless, and return whether this was such a run.

        Airflow sets the state of a cleared run only if the run had ended when the clear began
        (``clear_task_instances`` in ``airflow.models.taskinstance``). A clear that overlaps the end of the run
        therefore leaves it failed, with tasks that nobody schedules (measured on 3.3.2).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param failed_try: a try that is no longer the current one.
        """
        if not fit_a_path(dag_id, run_id):
            return False
        run = ("dags", dag_id, "dagRuns", run_id)
        if self.client.get(*run).get("state") != "failed":
            return False
        found = find_task_instance(self.client, dag_id, run_id, failed_try)
        if found.get("id") == failed_try.ti_id or found.get("state") in _ENDED:
            return False
        queued = self.client.patch(*run, body={"state": "queued"})
        self.client.check(queued, dag_id=dag_id, dag_run_id=run_id)
        return True

    def clear(self, dag_id: str, run_id: str, clear_options: Collection[ClearOption] = ()) -> None:
        """Clear the run, so that all its tasks, or those that failed, run again.

        If the token has expired, this logs in, sends nothing more, and raises ApiUnanswered. During the login
        somebody else may have cleared the run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param clear_options: how to clear the run.
        """
        # The default of `dry_run` is true, and a dry run clears nothing.
        flags = ("only_failed", "run_on_latest_version")
        body = {"dry_run": False} | {flag: True for flag in flags if flag in clear_options}
        if fit_a_path(dag_id, run_id):
            cleared = self.client.post("dags", dag_id, "dagRuns", run_id, "clear", body=body, resend=False)
            self.client.check(cleared, dag_id=dag_id, dag_run_id=run_id)
        else:
            self._clear_listed(dag_id, run_id, body)

    def why_not(self, dag_id: str, run_id: str, clear_options: Collection[ClearOption] = ()) -> str:
        """Return why the run should not be cleared, as a code; empty if it should.

        A paused Dag runs nothing that is cleared. ``max_consecutive_failed_dag_runs`` pauses a Dag whose last runs have
        all failed, before Airflow calls the Dag's failure callback (``DagRun._check_last_n_dagruns_failed``).

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param clear_options: ``skip_if_newer_run`` makes a newer run that has succeeded a reason.
        :return: ``dag_paused``, ``dag_paused_by_failures`` or ``newer_run_succeeded``.
        """
        if not fit_a_path(dag_id, run_id):
            return ""
        try:
            dag = self.client.get("dags", dag_id)
        except ApiRefused:
            return ""  # A user who may clear runs may lack the right to read their Dag.
        if dag.get("is_paused") is True:
            most = dag.get("max_consecutive_failed_dag_runs") or 0
            last = self._runs({"dag_ids": [dag_id], "order_by": "-run_after", "page_limit": most}) if most else []
            by_failures = last and all(run.get("state") == "failed" for run in last)
            return "dag_paused_by_failures" if by_failures else "dag_paused"
        if "skip_if_newer_run" in clear_options:
            run_after = self.client.get("dags", dag_id, "dagRuns", run_id).get("run_after")
            newer = {"dag_ids": [dag_id], "states": ["success"], "run_after_gt": run_after, "page_limit": 1}
            if self._runs(newer):
                return "newer_run_succeeded"
        return ""

    def note(self, dag_id: str, run_id: str, revise: Callable[[str], str | None]) -> None:
        """Revise the note of a run.

        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param revise: gets the note and returns the new one, or None to leave it.
        """
        if not fit_a_path(dag_id, run_id):
            return
        run = ("dags", dag_id, "dagRuns", run_id)
        revised = revise(self.client.get(*run).get("note") or "")
        if revised is not None:
            self.client.patch(*run, body={"note": revised})

    def trigger(self, dag_id: str, run_id: str, run_after: datetime) -> bool:
        """Make a run of a Dag that begins at a given time, unless a run with that id exists.

        :param dag_id: the Dag.
        :param run_id: the id of the run.
        :param run_after: when the run begins.
        :return: whether the Dag exists.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "run_after": run_after.isoformat()}
        try:
            self.client.post("dags", dag_id, "dagRuns", body=body)
        except ApiRefused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        except ApiUnanswered as unclear:
            # Airflow answers 409 if a run with that id exists.
            if not self._runs({"dag_ids": [dag_id], "run_after_gte": run_after.isoformat(), "page_limit": 1}):
                raise unclear
        return True

    def _runs(self, query: JsonObject) -> list[JsonObject]:
        return self.client.items(self.client.post("dags", ALL, "dagRuns", "list", body=query), "dag_runs")

    def _clear_listed(self, dag_id: str, run_id: str, how: JsonObject) -> None:
        """Clear the run by the endpoint that takes ids in its body.

        Airflow 3.3.2 takes the ids literally, even ``~``. It answers 404 if the run is gone, and 403 if the user may
        not edit the Dag's runs; it then clears nothing. Airflow 3.2.2 has no such endpoint and answers 405. (All
        measured.)
        """
        body = how | {"dag_runs": [{"dag_id": dag_id, "dag_run_id": run_id}]}
        try:
            cleared = self.client.post("dags", ALL, "clearDagRuns", body=body, resend=False)
        except ApiError as refusal:
            if refusal.status != HTTPStatus.METHOD_NOT_ALLOWED:
                raise
            raise ApiRefused(
                f"a path of Airflow's REST API can't hold {dag_id!r} or {run_id!r}, and only Airflow 3.3 takes these "
                "ids in a body. Upgrade Airflow, or use run ids without '/'",
                reason="unsafe_id",
            ) from refusal
        runs = self.client.items(cleared, "dag_runs")
        if len(runs) != 1:
            raise self.client.not_airflow()
        self.client.check(runs[0], dag_id=dag_id, dag_run_id=run_id)
