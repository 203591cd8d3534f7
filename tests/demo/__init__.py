"""The demo: Dag-level retries on a real Airflow. ``make demo`` runs it."""

from pathlib import Path

DAGS = Path(__file__).parent / "dags"
