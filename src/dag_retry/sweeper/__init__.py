"""The sweeper: clears runs whose delay is over, finishes what dead holders left, finds failures nobody has claimed.

It runs as a service, ``dag-retry sweep``, or as a Dag, wherever there is no place for a service: a file in the folder
of Dags that reads ::

    from dag_retry.sweeper import sweeper_dag  # a Dag of Airflow

    dag = sweeper_dag()
"""

from __future__ import annotations

from dag_retry.sweeper.dag import sweeper_dag

__all__ = ["sweeper_dag"]
