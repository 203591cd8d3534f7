"""The atomic clear, an app in Airflow's API server: Airflow's database decides whether a run is cleared, and clears."""
