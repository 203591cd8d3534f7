"""The attempt counter and its reads. This room knows Redis, and nothing of Airflow or HTTP."""
