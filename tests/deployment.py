"""The deployment that a test runs in: its Redis, and the other options of the section ``[dag_retry]``."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from dag_retry._callback import deployment

_connect = deployment.connect


def connected_to(client: Any) -> Any:
    """Patch the one function by which everything connects to Redis: it gives this client."""
    return patch.object(deployment, "connect", lambda *, timeout: client)


def deploy(monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """Set options of the section, for as long as the test takes.

    :param options: by name, None for an unset one; and ``redis``, a client for all that connect, or a URL, or None.
    """
    if "redis" in options:
        redis = options.pop("redis")
        options["redis_url"] = redis if isinstance(redis, str) else None
        real = redis is None or isinstance(redis, str)
        monkeypatch.setattr(deployment, "connect", _connect if real else connected_to(redis).new)
    for name, value in options.items():
        variable = f"AIRFLOW__DAG_RETRY__{name.upper()}"
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, str(value))
