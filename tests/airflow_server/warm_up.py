"""Work that a fresh Airflow would otherwise do during its first callbacks, done before them."""

from __future__ import annotations

import json
from pathlib import Path

DAG_ID = "warm_up"

_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

# The dag-processor builds an API of its own when a Dag file or a callback first asks for a Variable or a Connection.
# That takes 3 s (12 s on two busy cores), and a callback has only 15 s. This Dag file asks first.
_DAG_FILE = f"""\
from airflow.sdk import DAG, Variable

Variable.get("{DAG_ID}", default=None)
dag = DAG("{DAG_ID}", schedule=None)
"""

# Airflow imports these before it forks a task's process, so that not every callback must.
_LOCAL_SETTINGS = "import redis, requests\n"


def write(home: Path) -> None:
    """Write the Dag file and the local settings. Airflow is warm once it has parsed the Dag :data:`DAG_ID`.

    :param home: ``AIRFLOW_HOME``.
    """
    for folder, name, text in (("config", "airflow_local_settings.py", _LOCAL_SETTINGS), (DAG_ID, "dag.py", _DAG_FILE)):
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / name).write_text(text)


def bundles(home: Path) -> str:
    """Return ``[dag_processor] dag_bundle_config_list``: the Dags folder, and the folder of the Dag :data:`DAG_ID`.

    :param home: ``AIRFLOW_HOME``.
    """
    dags: dict[str, dict[str, str]] = {"dags-folder": {}, DAG_ID: {"path": str(home / DAG_ID)}}
    return json.dumps([{"name": name, "classpath": _BUNDLE, "kwargs": kwargs} for name, kwargs in dags.items()])
