"""What Airflow loads by entry points: the provider (options, Connection types, commands) and the page "Dag retries"."""
