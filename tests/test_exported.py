"""The public names: where they say they are from, and that a copy or a pickle of what they make is the same."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest

import dag_retry
from dag_retry import ApiRefused, Claim, ConfigError, FailedTry, Outcome, Status, Verdict

FAILED_TRY = FailedTry("branch_b", 3, "try-0", "TimeoutError")
CLAIM = Claim(Verdict.WON, "claimed", 1, 3, 0, "id", "daily_load", "run", "host:1", FAILED_TRY, frozenset())
OUTCOME = Outcome(Status.RETRYING, "claimed", 1, 3, "daily_load", "run", FAILED_TRY)


@pytest.mark.parametrize("name", dag_retry.__all__)
def test_are_of_the_package(name: str) -> None:
    exported = getattr(dag_retry, name)
    assert (exported.__module__, exported.__qualname__) == ("dag_retry", name)
    assert pickle.loads(pickle.dumps(exported)) is exported
    assert copy.deepcopy(exported) is exported


def test_whatever_way_they_were_reached() -> None:
    """The package loads a name when it is asked for it, and a pickle asks for it by the name of the package."""
    script = """if True:
        import pickle
        from dag_retry._types import Verdict
        print(pickle.loads(pickle.dumps(Verdict.WON)) is Verdict.WON)"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "True\n"


@pytest.mark.parametrize("value", [FAILED_TRY, CLAIM, OUTCOME, Verdict.LOST, Status.BLOCKED], ids=str)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_values(value: Any, copied: Any) -> None:
    assert copied(value) == value
    assert type(copied(value)) is type(value)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_errors(copied: Any) -> None:
    refused = copied(ApiRefused("answered 403", reason="http_403"))
    assert (type(refused), str(refused), refused.reason) == (ApiRefused, "answered 403", "http_403")
    assert str(copied(ConfigError("redis_url is not set"))) == "redis_url is not set"
