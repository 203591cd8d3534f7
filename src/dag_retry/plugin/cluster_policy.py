"""The entry point ``airflow.policy``: attaches our callbacks to the Dags that the section ``[dag_retry]`` selects.

Every component of Airflow loads this module when it starts, so this module loads nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.policies import hookimpl

log = logging.getLogger(__name__)


@hookimpl(trylast=True)
def dag_policy(dag: Any) -> None:
    """Attach the callbacks of a ``DagRetry`` with the section's policy, unless the Dag has callbacks of ours.

    Airflow calls this wherever a Dag file is parsed: in the dag processor and in each task (``DagBag.bag_dag``). Other
    policies come first, and may give the Dag its tags.

    If this raised, Airflow would take the Dag out of service. An error is logged instead, in the log of each task too.

    :param dag: the Dag, as its file made it. It is changed.
    """
    try:
        from dag_retry._policy.selection import selected_by

        if selected_by(dag.tags, {task.owner for task in dag.tasks}):
            _attach(dag)
    except Exception as error:
        from dag_retry._errors import ConfigError

        log.exception(
            "Dag retry: Dag %r is NOT retried, since the section [dag_retry] can't be applied to it: %s. "
            "The Dag runs as its file says.",
            dag.dag_id,
            error,
            exc_info=not isinstance(error, ConfigError),
        )


def _attach(dag: Any) -> None:
    from dag_retry._callback.waiting import SWEEPER_DAG
    from dag_retry._policy import dag_level
    from dag_retry._retry import TAG, DagRetry

    if dag.dag_id == SWEEPER_DAG or dag_level.has_callbacks(dag):
        return
    retry = DagRetry()
    for task in dag.tasks:
        _put_first(task, "on_failure_callback", retry.on_failure)
        # A task that clears its own run waits so long before it starts again. Here the delay is for nothing else.
        if not task.retries:
            task.retry_delay = timedelta(0)
    _put_first(dag, "on_failure_callback", retry.on_failure)
    _put_first(dag, "on_success_callback", retry.on_success)
    # The scheduler asks for a Dag's callbacks by these, and Airflow sets them when the Dag is made (`DAG`, 3.3.2).
    dag.has_on_failure_callback = dag.has_on_success_callback = True
    dag.tags.add(TAG)


def _put_first(owner: Any, name: str, callback: Callable[[Any], None]) -> None:
    from dag_retry._airflow import section

    setattr(owner, name, [callback, *section.listed(name, getattr(owner, name) or [])])
