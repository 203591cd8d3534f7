"""Start a real Airflow for the demo, the live tests and the live benchmark. The wheel holds nothing of it."""

from tests.airflow_server.airflow import LiveAirflow
from tests.airflow_server.components import AirflowError
from tests.airflow_server.database import Run
from tests.airflow_server.settings import USERNAME

__all__ = ["USERNAME", "AirflowError", "LiveAirflow", "Run"]
