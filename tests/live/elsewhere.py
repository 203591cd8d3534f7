"""A ``DagRetry`` that fails as in a deployment with other options."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import patch

from dag_retry import DagRetry

WITHOUT_CREDENTIALS = {"API_USERNAME": "", "API_PASSWORD": ""}


def with_options(options: dict[str, str]) -> Any:
    """Return a context manager in which these options of the section hold."""
    return patch.dict(os.environ, {f"AIRFLOW__DAG_RETRY__{name}": value for name, value in options.items()})


class Elsewhere(DagRetry):
    """Fails as in a deployment with other options."""

    def __init__(self, options: dict[str, str], **policy: Any) -> None:
        super().__init__(2, **policy)
        self._options = options

    def on_failure(self, context: Any) -> None:
        # One process of the dag processor calls back for all Dags of this file.
        with with_options(self._options):
            super().on_failure(context)
