"""The page "Dag retries", an app in Airflow's API server."""
