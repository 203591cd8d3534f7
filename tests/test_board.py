"""What the page shows of all runs at once. The live tests (``tests/live/page``) ask the page of a real Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dag_retry import AttemptCounter
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import Overview

if TYPE_CHECKING:
    from dag_retry.plugin.page.board import Board

# Airflow's models, which these tests load, warn of Airflow's own libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

KEYS = Keys("dag-retry")
MINUTE = 60_000


@dataclass
class Access:
    """What a user may do, without an auth manager."""

    readable: set[str] = field(default_factory=lambda: {"orders"})
    sees_configuration: bool = False

    def look_up(self, dag_ids: Any) -> None:
        """Nobody has teams."""

    def may(self, method: str, dag_id: str) -> bool:
        return dag_id in self.readable

    def may_audit(self, dag_id: str) -> bool:
        return False


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def session() -> Iterator[Any]:
    """The database of an Airflow that has no run."""
    from airflow.models.dagrun import DagRun
    from airflow.models.tasklog import LogTemplate
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine("sqlite://")
    for table in (LogTemplate.__table__, DagRun.__table__):
        table.create(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def board(client: Any, access: Any, session: Any) -> Board:
    """The page."""
    from dag_retry.plugin.page.board import Board

    return Board(Overview(client), access, session)


@pytest.fixture
def now(client: Any) -> int:
    return Overview(client).now()


def beat(client: Any, **says: Any) -> None:
    client.hset(KEYS.sweeper(), mapping={"holder": "host:1", **says})
    client.pexpire(KEYS.sweeper(), MINUTE)


def late(client: Any, dag_id: str, run_id: str) -> None:
    """Have a run whose delay has been over for two minutes."""
    AttemptCounter(client).claim(dag_id, run_id, generation=0, max_attempts=1, delays=[timedelta(hours=1)])
    due_at = Overview(client).now() - 2 * MINUTE
    client.hset(KEYS.run(dag_id, run_id), "due_at", due_at)
    client.zadd(KEYS.index("active"), {f"{dag_id}:{run_id}": due_at})


def placed(board: Board) -> dict[str, list[str]]:
    sections = board.sections()["sections"]
    return {name: [row["run_id"] for row in rows] for name, rows in sections.items() if name != "recent"}


def test_all_is_well(board: Board, client: Any, now: int) -> None:
    beat(client, at=now)
    late(client, "orders", "run")
    assert board.sections()["alarms"] == []
    # Something else is wrong with this run.
    assert placed(board) == {"attention": ["run"], "active": []}


def test_the_way_is_broken(board: Board, client: Any, access: Access, now: int) -> None:
    beat(client, at=now, fault="login", fault_text="POST http://10.0.0.7 was answered 401", fault_at=now - 3 * MINUTE)
    for run_id in ("one", "two"):
        late(client, "orders", run_id)
    late(client, "secret", "three")
    (alarm,) = board.sections()["alarms"]
    assert (alarm["what"], alarm["at"], alarm["waiting"]) == ("broken", now - 3 * MINUTE, 2)
    assert alarm["why"] == "Airflow refused the login or the token"
    assert "api_password" in alarm["remedy"]
    assert alarm["text"] == ""
    assert board.run("orders", "one")["alarms"] == [alarm]
    # The alarm stands once for all runs.
    assert placed(board)["attention"] == []
    assert set(placed(board)["active"]) == {"one", "two"}
    assert not board.run("orders", "one")["row"]["overdue"]
    access.sees_configuration = True
    (alarm,) = board.sections()["alarms"]
    assert "10.0.0.7" in alarm["text"]


def test_a_short_break_is_none(board: Board, client: Any, now: int) -> None:
    beat(client, at=now, fault="api_away", fault_text="", fault_at=now - MINUTE)
    assert board.sections()["alarms"] == []


def test_no_sweeper(board: Board, client: Any, now: int) -> None:
    late(client, "orders", "run")
    (alarm,) = board.sections()["alarms"]
    assert (alarm["what"], alarm["at"], alarm["waiting"]) == ("missing", 0, 1)
    assert alarm["remedy"].startswith("put a file with `from dag_retry.sweeper import sweeper_dag; dag = sweeper_dag()")
    beat(client, at=now - 7 * MINUTE)
    assert [alarm["at"] for alarm in board.sections()["alarms"]] == [now - 7 * MINUTE]
    assert placed(board) == {"attention": [], "active": ["run"]}


def test_of_others_runs_nobody_hears(board: Board, client: Any) -> None:
    late(client, "secret", "run")
    assert board.sections()["alarms"] == []


def test_untold(board: Board, client: Any, counter: AttemptCounter) -> None:
    counter.claim("orders", "run", generation=0, max_attempts=1, skip="disabled")
    (row,) = board.sections()["sections"]["attention"]
    assert (row["untold"], row["overdue"]) == (False, False)
    client.hset(KEYS.run("orders", "run"), "due_at", row["due_at"] - 5 * MINUTE)
    (row,) = board.sections()["sections"]["attention"]
    assert (row["untold"], row["overdue"]) == (True, False)


class TestHandled:
    """Whether a person has done something about a run that ended: then nobody else need do so."""

    @pytest.fixture
    def handled(self, board: Board, session: Any) -> Callable[..., str]:
        from airflow.models.dagrun import DagRun
        from airflow.utils.state import DagRunState

        def handled(state: str, clear_number: int) -> str:
            session.query(DagRun).delete()
            session.add(run := DagRun("orders", run_id="run", run_type="manual", state=DagRunState(state)))
            run.clear_number = clear_number
            session.flush()
            (row,) = board.sections()["sections"]["attention"]
            return str(row["handled"])

        return handled

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_cleared_by_hand(self, counter: AttemptCounter, handled: Any, state: str) -> None:
        counter.claim("orders", "run", generation=0, max_attempts=1, skip="disabled")
        assert handled("failed", 0) == ""
        assert handled(state, 1) == f"cleared by hand, {state}"
        # A scheduler may queue a run that nobody has cleared.
        assert handled(state, 0) == ""

    def test_succeeded_since(self, counter: AttemptCounter, handled: Any) -> None:
        counter.claim("orders", "run", generation=0, max_attempts=1, skip="disabled")
        assert handled("success", 0) == "succeeded since"

    def test_a_run_that_failed_again_needs_a_human_again(self, counter: AttemptCounter, handled: Any) -> None:
        """Its callback may never come."""
        counter.claim("orders", "run", generation=0, max_attempts=1, skip="disabled")
        assert handled("failed", 1) == ""

    def test_an_unclaimed_run_was_cleared_before_redis_lost_its_data(
        self, client: Any, handled: Any, board: Board
    ) -> None:
        """The generation of its record is the least that it can be: it tells nothing of clears."""
        DueRuns(client).miss("orders", "run", queued_at=0, grace=timedelta(0), holder="host:1")
        assert handled("failed", 5) == ""
        assert [run.run_id for run in Overview(client).runs("attention").runs] == placed(board)["attention"] == ["run"]
        assert handled("running", 6) == "cleared by hand, running"

    def test_of_a_run_that_is_retrying_or_gone(self, board: Board, client: Any) -> None:
        late(client, "orders", "run")
        (row,) = board.sections()["sections"]["active"]
        assert row["handled"] == ""


def test_a_run_that_gave_up_and_was_reset(board: Board, client: Any, counter: AttemptCounter) -> None:
    counter.acknowledge(counter.claim("orders", "run", generation=0, max_attempts=1, skip="config"))
    (row,) = board.sections()["sections"]["attention"]
    assert (row["was_reset"], row["remedy"]) == (False, "Correct it, then clear the run by hand.")
    assert row["why"].endswith("is not usable: see the log of the dag processor for the file of the Dag")
    Interventions(client).reset("orders", "run")
    (row,) = board.sections()["sections"]["attention"]
    assert row["was_reset"] is True
    assert row["why"].endswith("; its attempts were reset since")
