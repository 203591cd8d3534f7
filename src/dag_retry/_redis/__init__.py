"""Redis: the attempt counter, and what operators read. This room knows nothing of Airflow or HTTP."""
