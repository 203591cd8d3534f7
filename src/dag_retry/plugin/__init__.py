"""What Airflow finds by entry points: the provider (options, Connections, commands) and the page "Dag retries"."""
