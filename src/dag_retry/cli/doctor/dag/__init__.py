"""Checks of a Dag: by what Airflow's API tells of the Dag, and by the Dag's file if that can be parsed here."""
