"""What can be wrong with a set-up, each with what to do about it. Nothing of ours, or of Airflow's, is changed."""
