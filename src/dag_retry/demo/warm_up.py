"""What a fresh Airflow does at the cost of its first callbacks, done before there are any."""

from __future__ import annotations

import json
from pathlib import Path

DAG_ID = "warm_up"

_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

# The dag-processor builds an API of its own at the first question of a Dag file or a callback. That takes 3 s (12 on
# two busy cores) of the 15 that a callback has. This file asks.
_DAG_FILE = f"""\
from airflow.sdk import DAG, Variable

Variable.get("{DAG_ID}", default=None)
dag = DAG("{DAG_ID}", schedule=None)
"""

# Loaded before a task's process is forked, and not by each of many callbacks at once.
_LOCAL_SETTINGS = "import redis, requests\n"


def write(home: Path) -> None:
    """Leave under Airflow's home what warms it up: it is warm once the Dag :data:`DAG_ID` has been parsed.

    :param home: ``AIRFLOW_HOME``.
    """
    for folder, name, text in (("config", "airflow_local_settings.py", _LOCAL_SETTINGS), (DAG_ID, "dag.py", _DAG_FILE)):
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / name).write_text(text)


def bundles(home: Path) -> str:
    """Return ``[dag_processor] dag_bundle_config_list``: the Dags folder, and the folder of that Dag.

    :param home: ``AIRFLOW_HOME``.
    """
    dags: dict[str, dict[str, str]] = {"dags-folder": {}, DAG_ID: {"path": str(home / DAG_ID)}}
    return json.dumps([{"name": name, "classpath": _BUNDLE, "kwargs": kwargs} for name, kwargs in dags.items()])
