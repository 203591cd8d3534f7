"""The policy: what `DagRetry` and the section take, and what they refuse."""

from __future__ import annotations

import inspect
import re
import sys
from datetime import timedelta
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dag_retry import ConfigError, DagRetry
from dag_retry._callback.failure import Failure
from dag_retry._policy.conditions import Conditions
from dag_retry._policy.delays import Delays
from dag_retry._policy.policy import Policy
from tests import settings_table
from tests.contexts import dag_failed, task_failed

S, HOUR, FOREVER = timedelta(seconds=1), timedelta(hours=1), timedelta(days=10_000)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(**options: str) -> None:
        for key, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__DAG_RETRY__{key.upper()}", value)

    return put


def delays(attempts: int = 4, **options: Any) -> list[float]:
    arguments = {"delay": None, "backoff": None, "max_delay": None, "jitter": None} | options
    return [delay.total_seconds() for delay in Delays.of(**arguments).before(attempts, FOREVER)]


class TestDelays:
    def test_none(self) -> None:
        assert delays() == []

    def test_one_for_all(self) -> None:
        assert delays(delay=5 * S) == [5, 5, 5, 5]

    def test_backoff(self) -> None:
        assert delays(delay=5 * S, backoff=2) == [5, 10, 20, 40]

    def test_max_delay(self) -> None:
        assert delays(delay=5 * S, backoff=2, max_delay=12 * S) == [5, 10, 12, 12]

    def test_max_delay_without_a_delay(self, put: Any) -> None:
        refused: list[Any] = [{"max_delay": HOUR}, {"max_delay": HOUR, "jitter": S}]
        for options in refused:
            with pytest.raises(ConfigError, match=r"max_delay is 1:00:00, and there is no delay.*: set delay too"):
                DagRetry(**options)
        # One of the deployment is for the Dags that have a delay.
        put(max_delay="60")
        assert DagRetry()
        put(delay="300, 900")
        assert delays(max_delay=10 * S) == [10, 10, 10, 10]

    def test_a_list_whose_last_one_holds(self) -> None:
        assert delays(delay=[5 * S, 9 * S], max_delay=7 * S) == [5, 7, 7, 7]

    def test_a_function(self) -> None:
        assert delays(delay=lambda attempt: attempt * S) == [1, 2, 3, 4]

    def test_jitter_is_added(self) -> None:
        found = delays(50, delay=5 * S, jitter=2 * S)
        assert all(5 <= delay <= 7 for delay in found)
        assert len(set(found)) > 1

    def test_from_the_section(self, put: Any) -> None:
        put(delay="5, 9.5", max_delay="8")
        assert delays() == [5, 8, 8, 8]
        put(delay="3", backoff="3", max_delay="60")
        assert delays() == [3, 9, 27, 60]

    def test_an_argument_goes_before_the_section(self, put: Any) -> None:
        put(delay="5")
        assert delays(delay=timedelta(0)) == []

    @pytest.mark.parametrize(
        "options",
        [
            {"delay": -S},
            {"delay": 5},
            {"delay": []},
            {"delay": [S, 5]},
            {"backoff": 0.5},
            {"delay": S, "backoff": "2x"},
            {"delay": S, "backoff": float("nan")},
            {"delay": S, "backoff": True},
            {"backoff": 2, "delay": [S, S]},
            {"max_delay": -S},
            {"jitter": 3},
            {"max_elapsed": -S},
        ],
    )
    def test_wrong(self, options: Any) -> None:
        with pytest.raises(ConfigError, match="delay|backoff|jitter|max_elapsed"):
            DagRetry(**options)

    @pytest.mark.parametrize("options", [{"delay": "soon"}, {"delay": "5,-1"}, {"jitter": "a"}, {"max_elapsed": "-3"}])
    def test_wrong_in_the_section(self, put: Any, options: Any) -> None:
        put(**options)
        with pytest.raises(ConfigError, match=f"AIRFLOW__DAG_RETRY__{next(iter(options)).upper()}"):
            DagRetry()

    @pytest.mark.parametrize(
        "options",
        [
            {"delay": timedelta(days=31)},
            {"delay": HOUR, "backoff": 10, "max_attempts": 20},
            {"delay": S, "jitter": timedelta.max},
        ],
    )
    def test_longer_than_a_record_is_kept(self, options: Any) -> None:
        with pytest.raises(ConfigError, match="Redis keeps the record of a waiting run for"):
            DagRetry(**options)

    def test_longer_than_the_ttl_of_the_section(self, put: Any) -> None:
        put(ttl="7200")
        DagRetry(delay=HOUR)
        put(ttl="3600")
        with pytest.raises(ConfigError, match="Redis keeps the record of a waiting run for"):
            DagRetry(delay=HOUR)

    def test_a_function_that_fails(self) -> None:
        with pytest.raises(ConfigError, match="called for attempt 1, raised ZeroDivisionError"):
            delays(delay=lambda attempt: 1 / 0 * S)
        with pytest.raises(ConfigError, match="called for attempt 1, returned 5: return a timedelta"):
            delays(delay=lambda attempt: 5)


class Ours(AirflowException):
    pass


def skip(context: dict[str, Any], **options: Any) -> str:
    arguments = dict.fromkeys(("retry_on", "give_up_on", "task_ids", "retry_if", "reasons")) | options
    return Conditions.of(**arguments).skip(Failure.of(context), context)


def failed_with(exception: BaseException) -> dict[str, Any]:
    return task_failed() | {"exception": exception}


class TestConditions:
    @pytest.mark.parametrize(
        ("kinds", "exception", "retried"),
        [
            (TimeoutError, TimeoutError(), True),
            (OSError, TimeoutError(), True),
            ("TimeoutError", TimeoutError(), True),
            ("requests.exceptions.ConnectionError", TimeoutError(), False),
            (["requests.exceptions.ConnectionError", TimeoutError], TimeoutError(), True),
            ("airflow.exceptions.AirflowException", Ours(), True),
            (KeyError, TimeoutError(), False),
        ],
    )
    def test_retry_on(self, kinds: Any, exception: BaseException, retried: bool) -> None:
        assert skip(failed_with(exception), retry_on=kinds) == ("" if retried else "exception_not_retryable")
        assert skip(failed_with(exception), give_up_on=kinds) == ("exception_not_retryable" if retried else "")

    def test_airflow_fail_exception_gives_up(self) -> None:
        assert skip(failed_with(AirflowFailException())) == "exception_not_retryable"
        assert skip(failed_with(AirflowFailException()), retry_on=AirflowException) == "exception_not_retryable"

    def test_names_in_the_section(self, put: Any) -> None:
        put(retry_on="TimeoutError, requests.exceptions.ConnectionError", give_up_on="BlockingIOError")
        assert skip(failed_with(TimeoutError())) == ""
        assert skip(failed_with(KeyError())) == "exception_not_retryable"

    @pytest.mark.parametrize(
        "kinds",
        ["TimeOutError", "no_such_package.Error", "print", "a b.C", ".C", 3, int, "", [TimeoutError, "TimeOutError"]],
    )
    def test_unknown_names(self, kinds: Any) -> None:
        with pytest.raises(ConfigError, match="retry_on has .* which is no exception"):
            DagRetry(retry_on=kinds)

    @pytest.mark.parametrize("imported", [True, False])
    @pytest.mark.parametrize("option", ["retry_on", "give_up_on"])
    def test_a_name_is_looked_up_at_the_failure_of_a_task(
        self, monkeypatch: pytest.MonkeyPatch, imported: bool, option: str
    ) -> None:
        """And not before, in no process: else one that has imported the module would refuse what another takes."""
        name = "wsgiref.util.NoSuchError"
        if imported:
            import_module("wsgiref.util")
        else:
            monkeypatch.delitem(sys.modules, "wsgiref.util", raising=False)
        options: Any = {option: name}
        assert DagRetry(**options)
        said = f"{option} has '{name}', and there is no such exception \\(.*NoSuchError.*\\): correct the name"
        with pytest.raises(ConfigError, match=said):
            skip(failed_with(KeyError()), **options)
        # Also where another name decides alone.
        with pytest.raises(ConfigError, match=said):
            skip(failed_with(KeyError()), **{option: [KeyError, name]})

    def test_a_name_of_something_else(self) -> None:
        assert DagRetry(retry_on="os.path.join")
        with pytest.raises(ConfigError, match=r"retry_on has 'os.path.join', which is no exception"):
            skip(failed_with(KeyError()), retry_on="os.path.join")

    def test_a_module_without_a_spec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Such is ``__main__``, where a Dag file is run as a program."""
        module: Any = ModuleType("made_by_hand")
        module.Ours = Ours
        monkeypatch.setitem(sys.modules, "made_by_hand", module)
        assert skip(failed_with(Ours()), retry_on="made_by_hand.Ours") == ""

    def test_the_dag_level_knows_no_exception(self) -> None:
        assert skip(dag_failed(), retry_on=KeyError) == ""

    def test_task_ids(self) -> None:
        assert skip(task_failed(), task_ids="branch_b") == ""
        assert skip(task_failed(), task_ids=["validate"]) == "task_not_retryable"
        assert skip(dag_failed(), task_ids=["validate"]) == "task_not_retryable"
        # Some task that has not failed.
        assert skip(dag_failed(reason="timed_out"), task_ids=["validate"]) == ""

    def test_reasons(self) -> None:
        assert skip(dag_failed(reason="timed_out"), reasons="task_failure") == "reason_not_retryable"
        assert skip(dag_failed(reason="timed_out"), reasons=["task_failure", "timed_out"]) == ""
        assert skip(task_failed(), reasons="timed_out") == ""

    def test_retry_if(self) -> None:
        assert skip(task_failed(), retry_if=lambda context: context["ti"].task_id == "branch_b") == ""
        assert skip(task_failed(), retry_if=lambda context: 0) == "retry_if"
        with pytest.raises(ConfigError, match="retry_if raised KeyError"):
            skip(task_failed(), retry_if=lambda context: context["nothing"])

    @pytest.mark.parametrize("options", [{"task_ids": [3]}, {"retry_if": True}, {"reasons": "late"}, {"task_ids": ""}])
    def test_wrong(self, options: Any) -> None:
        with pytest.raises(ConfigError, match=next(iter(options))):
            DagRetry(**options)


class TestWords:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"scope": "all"}, "scope is 'all': use 'run' or 'failed'"),
            ({"run_on_latest_version": 1}, "run_on_latest_version is 1: use True or False"),
            ({"skip_if_newer_run": "yes"}, "skip_if_newer_run is 'yes'"),
        ],
    )
    def test_wrong(self, options: Any, match: str, put: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            DagRetry(**options)
        put(**{key: str(value).replace("1", "perhaps") for key, value in options.items()})
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__"):
            DagRetry()

    def test_options_of_a_clear(self, put: Any) -> None:
        put(api_token="t")
        assert policy().clear_options("task_failure") == set()
        failed = policy(scope="failed", skip_if_newer_run=True)
        assert failed.clear_options("task_failure") == {"only_failed", "skip_if_newer_run"}
        # What had not ended then has not failed.
        assert failed.clear_options("timed_out") == {"skip_if_newer_run"}
        put(scope="failed", run_on_latest_version="True")
        assert policy().clear_options("task_failure") == {"only_failed", "run_on_latest_version"}


def policy(**options: Any) -> Policy:
    return DagRetry(**options)._policy


def of_run(conf: Any = None, params: Any = None, **options: Any) -> Policy:
    context = {"dag_run": SimpleNamespace(conf=conf), "params": params}
    return policy(**({"max_attempts": 2} | options)).of_run(context)


class TestOverrides:
    def test_none(self) -> None:
        assert of_run() == policy(max_attempts=2)
        assert of_run({"other": 1}, {"other": 2}) == policy(max_attempts=2)

    def test_the_runs_go_before_the_dags(self) -> None:
        found = of_run({"dag_retry": {"max_attempts": 7}}, {"dag_retry": {"max_attempts": 5, "delay": 60}})
        assert found.max_attempts == 7
        assert found.delays.before(1, FOREVER) == [timedelta(minutes=1)]

    def test_delays(self) -> None:
        found = of_run({"dag_retry": {"delay": [1, 2.5]}}, delay=HOUR, backoff=2)
        assert [delay.total_seconds() for delay in found.delays.before(3, FOREVER)] == [1, 2.5, 2.5]

    def test_disabled(self) -> None:
        context = task_failed()
        context["dag_run"].conf = {"dag_retry": {"enabled": False}}
        assert policy().of_run(context).skip(Failure.of(context), context) == "disabled"

    @pytest.mark.parametrize(
        "overrides",
        [
            3,
            [],
            {"max_attempts": 0},
            {"max_attempts": "5"},
            {"max_attempts": True},
            {"delay": -1},
            {"delay": "5"},
            {"delay": []},
            {"delay": [1, None]},
            {"enabled": "no"},
            {"backoff": 2},
        ],
    )
    def test_wrong(self, overrides: Any) -> None:
        with pytest.raises(ConfigError, match=r"dag_run.conf\['dag_retry'\].* is .*: use"):
            of_run({"dag_retry": overrides})
        with pytest.raises(ConfigError, match=r"params\['dag_retry'\]"):
            of_run(None, {"dag_retry": overrides})

    def test_above_the_limit_that_holds_by_default(self, put: Any) -> None:
        assert DagRetry(max_attempts=20)
        with pytest.raises(ConfigError, match="max_attempts is 25, and .*AIRFLOW__DAG_RETRY__MAX_ATTEMPTS_LIMIT.* 20"):
            DagRetry(max_attempts=25)
        put(max_attempts_limit="0")
        assert DagRetry(max_attempts=25)

    def test_above_the_limit(self, put: Any) -> None:
        put(max_attempts_limit="4")
        assert of_run({"dag_retry": {"max_attempts": 4}}).max_attempts == 4
        with pytest.raises(ConfigError, match="is 5, and .*MAX_ATTEMPTS_LIMIT.* allows 4"):
            of_run({"dag_retry": {"max_attempts": 5}})
        with pytest.raises(ConfigError, match="max_attempts is 5, and .* allows 4"):
            DagRetry(max_attempts=5)
        put(max_attempts="5")
        with pytest.raises(ConfigError, match="AIRFLOW__DAG_RETRY__MAX_ATTEMPTS.* is 5, and"):
            DagRetry()


def test_every_parameter_is_described() -> None:
    """In the docstring, from which the table of a Dag's settings is made."""
    parameters = set(inspect.signature(DagRetry).parameters)
    described = set(re.findall(r":param (\w+):", inspect.getdoc(DagRetry) or ""))
    assert described == parameters
    table = settings_table.tables()["a Dag's settings"]
    assert {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row)} >= parameters
