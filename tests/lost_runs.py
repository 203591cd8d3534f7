"""Dags in which a task fails, and whether their runs are certainly lost by that.

``python -m tests.lost_runs`` has Airflow run each of them, and prints what Airflow made of the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from airflow.sdk import DAG, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from dag_retry._airflow import sdk
from dag_retry._policy.lost_runs import is_lost


class Case(NamedTuple):
    """A Dag whose task ``fails`` fails.

    :param lost: whether the run is certainly lost, and no teardown is to come.
    :param succeeds: whether the run ends well all the same.
    :param asks: whether the states of tasks are asked for.
    """

    dag: DAG
    lost: bool
    succeeds: bool
    asks: bool


CASES: dict[str, Case] = {}
_seen: list[bool] = []


def case(*, lost: bool, succeeds: bool = False, asks: bool = True, **dag_args: Any) -> Callable[..., None]:
    def add(build: Callable[[], None]) -> None:
        name = build.__name__
        with DAG(name, schedule=None, default_args={"retries": 0, "on_failure_callback": _look}, **dag_args) as dag:
            build()
        CASES[name] = Case(dag, lost, succeeds, asks)

    return add


def look(context: Any, states: Callable[[list[str]], Any]) -> bool:
    return is_lost(
        context["dag"], context["ti"].task_id, mapped=(context["ti"].map_index or -1) >= 0, read_states=states
    )


def _look(context: Any) -> None:
    if context["ti"].task_id.endswith("fails"):
        _seen.append(look(context, lambda task_ids: sdk.task_states(context, task_ids)))


def _boom(index: int = 1) -> None:
    if index == 1:
        raise ValueError("boom")


def fails(**options: Any) -> Any:
    return task(task_id="fails", **options)(_boom)()


def then(task_id: str, rule: str = "all_success") -> Any:
    return task(task_id=task_id, trigger_rule=rule)(lambda: None)()


@task
def skips() -> None:
    raise AirflowSkipException


def around(work: Any, *, up: Any = None, down: Any = None, decides: bool = False) -> Any:
    """Put a setup and its teardown around tasks, and return the teardown."""
    up = (up or then("up")).as_setup()
    down = (down or then("down")).as_teardown(setups=up, on_failure_fail_dagrun=decides)
    up >> work >> down
    return down


@case(lost=True, asks=False)
def alone() -> None:
    fails()


@case(lost=True, asks=False)
def a_leaf_beside_others() -> None:
    other = then("other")
    then("first") >> [fails(), other]
    other >> then("last", "all_done")


@case(lost=True)
def all_success() -> None:
    fails() >> then("next") >> then("last")


@case(lost=True)
def none_failed() -> None:
    fails() >> then("next", "none_failed") >> then("last", "none_failed_min_one_success")


@case(lost=True)
def beside_a_task_that_succeeds() -> None:
    [then("other"), fails()] >> then("join")


@case(lost=False, succeeds=True, asks=False)
def all_done() -> None:
    fails() >> then("cleanup", "all_done")


@case(lost=False, succeeds=True, asks=False)
def all_done_later() -> None:
    fails() >> then("next") >> then("cleanup", "all_done")


@case(lost=True)
def one_leaf_of_two() -> None:
    failed = fails()
    failed >> then("alert", "one_failed")
    failed >> then("next")


@case(lost=False, succeeds=True, asks=False)
def one_failed() -> None:
    fails() >> then("alert", "one_failed")


@case(lost=False, succeeds=True, asks=False)
def all_failed() -> None:
    fails() >> then("alert", "all_failed")


@case(lost=False, succeeds=True, asks=False)
def always() -> None:
    fails() >> then("cleanup", "always")


@case(lost=False, succeeds=True, asks=False)
def one_success() -> None:
    [then("other"), fails()] >> then("join", "one_success")


@case(lost=False, succeeds=True, asks=False)
def one_done() -> None:
    fails() >> then("join", "one_done")


@case(lost=False, succeeds=True, asks=False)
def none_skipped() -> None:
    fails() >> then("join", "none_skipped")


@case(lost=False, succeeds=True, asks=False)
def all_skipped() -> None:
    fails() >> then("join", "all_skipped")


@case(lost=False, succeeds=True, asks=False)
def all_done_min_one_success() -> None:
    [then("other"), fails()] >> then("join", "all_done_min_one_success")


@case(lost=False, succeeds=True, asks=False)
def fail_fast() -> None:
    fails() >> then("next")


CASES["fail_fast"].dag.fail_fast = True


@case(lost=True, asks=False, fail_fast=True)
def a_leaf_with_fail_fast() -> None:
    then("first") >> fails()


@case(lost=False, succeeds=True)
def skipped_by_a_task_before() -> None:
    other = skips()
    join = then("join")
    other >> join
    # The failed task comes later, when "join" has been skipped.
    then("first") >> then("second") >> then("third") >> fails() >> join


@case(lost=True)
def a_skipped_task_does_not_matter_to_none_failed() -> None:
    other = skips()
    join = then("join", "none_failed")
    other >> join
    then("first") >> then("second") >> then("third") >> fails() >> join


@case(lost=False, succeeds=True)
def short_circuit() -> None:
    gate = task.short_circuit(task_id="gate")(lambda: False)()
    join = then("join", "none_failed")
    gate >> then("skipped") >> join
    then("first") >> then("second") >> fails() >> join


@case(lost=True)
def the_chosen_branch() -> None:
    branch = task.branch(task_id="branch")(lambda: "fails")()
    branch >> [fails(), then("other")] >> then("join", "none_failed_min_one_success")


@case(lost=True, asks=False)
def mapped() -> None:
    task(task_id="fails")(_boom).expand(index=[0, 1, 2])


@case(lost=True)
def mapped_and_joined() -> None:
    task(task_id="fails")(_boom).expand(index=[0, 1, 2]) >> then("join")


@case(lost=True)
def mapped_after_it() -> None:
    task(task_id="next")(lambda index: None).expand(index=fails())


@case(lost=True)
def in_a_mapped_task_group() -> None:
    @task_group
    def group(index: int) -> None:
        task(task_id="fails")(_boom)(index) >> then("next")

    group.expand(index=[1])


@case(lost=False)
def a_teardown_to_come() -> None:
    around(fails())


@case(lost=False)
def a_teardown_of_another_branch() -> None:
    fails()
    around(then("work"), up=then("first") >> then("up"))


@case(lost=True)
def a_setup_without_which_its_teardown_never_runs() -> None:
    around(then("work"), up=fails())


@case(lost=True)
def after_a_teardown() -> None:
    around(then("work")) >> fails()


@case(lost=False, succeeds=True, asks=False)
def a_teardown_that_decides() -> None:
    around(fails(), decides=True)


@case(lost=True, asks=False)
def a_teardown_that_fails() -> None:
    around(then("work"), down=fails(), decides=True)


def main() -> None:
    for name, each in CASES.items():
        _seen.clear()
        run = each.dag.test()
        print("RUN", json.dumps({"name": name, "state": run.state, "lost": _seen}), flush=True)


if __name__ == "__main__":
    main()
