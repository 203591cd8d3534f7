"""Airflow: its settings, its task SDK and its REST API. This room knows nothing of Redis."""
