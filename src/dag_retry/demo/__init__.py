"""Dag-level retry on a live Airflow: ``python -m dag_retry.demo``."""
