"""The three ways to clear a run: the first one that is there is used.

atomic       one request to this package's route in the API server, which decides and clears in one transaction
rest         Airflow's REST API: look, clear, look again
supervisor   without credentials: the supervisor of a running task, with the identity that the task has anyway

Airflow decides: each way answers with a :class:`~dag_retry._airflow.ways.decision.Decision`.
"""

from __future__ import annotations
