"""The sweeper clears runs whose delay is over, finishes what dead callbacks left, and finds unclaimed failures.

It runs as a service, ``dag-retry sweep``. Where there is no place for a service, it runs as a Dag, from a Dag file::

    from dag_retry.sweeper import sweeper_dag  # a Dag of Airflow

    dag = sweeper_dag()
"""

from __future__ import annotations

from dag_retry.sweeper.dag import sweeper_dag

__all__ = ["sweeper_dag"]
