"""An Airflow as most people run one. Its tests wait for runs that they start together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.live.conftest import DAGS, Live, live_airflow


@pytest.fixture(scope="package")
def live(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A live Airflow on PostgreSQL, with a viewer beside its administrator."""
    users = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,ada:viewer"}
    with live_airflow(tmp_path_factory.mktemp("live"), DAGS, users, database=postgres("live")) as live:
        live.start("given_up", "recover", "exhaust", "killed", "never_failed", "recipe_dropin", "delayed")
        yield live
