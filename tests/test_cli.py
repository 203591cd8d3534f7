"""The command line, at a real Redis and a stand-in for Airflow: what each verb answers, to people and to scripts."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_httpserver import HTTPServer

from dag_retry import AttemptCounter, FailedTry, Status
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import Overview
from dag_retry.cli import airflow_commands, main
from dag_retry.cli.main import VERBS
from dag_retry.cli.output import at
from dag_retry.cli.verbs.dashboards import FILES
from dag_retry.sweeper.advice import DAG_FILE, OF_DAG
from tests.servers import free_port, until
from tests.stub_api import StubApi, before

KEYS = Keys("dag-retry")
EVIL = "a:b+c/d 'e' \"f\" <g> [red]h[/red] \x1b[31m\t%" + "i" * 230
COMMAND = [sys.executable, "-m", "dag_retry.cli"]


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def counter(client: Any) -> AttemptCounter:
    return AttemptCounter(client)


@pytest.fixture
def stub(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> StubApi:
    stub = StubApi(httpserver, run_state="failed")
    for name, value in {"URL": stub.url, "USERNAME": "retry", "PASSWORD": "s3cret"}.items():
        monkeypatch.setenv(f"AIRFLOW__DAG_RETRY__API_{name}", value)
    return stub


def fail(
    counter: AttemptCounter, run_id: str = "run", generation: int = 0, dag_id: str = "daily_load", **how: Any
) -> Any:
    failed_try = FailedTry("load", 3, "0199", "TimeoutError")
    return counter.claim(dag_id, run_id, generation=generation, max_attempts=1, failed_try=failed_try, **how)


def exhaust(counter: AttemptCounter, run_id: str = "run", dag_id: str = "daily_load") -> None:
    counter.confirm(fail(counter, run_id, dag_id=dag_id))
    counter.acknowledge(fail(counter, run_id, 1, dag_id=dag_id))


def wait(counter: AttemptCounter, run_id: str = "run") -> None:
    fail(counter, run_id, delays=[timedelta(hours=1)])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def ask(run: Callable[..., tuple[int, str, str]]) -> Callable[..., Any]:
    """Return the JSON that a command answers."""
    return lambda *argv: json.loads(run(*argv, "--json")[1])


class TestList:
    @pytest.fixture(autouse=True)
    def filled(self, counter: AttemptCounter) -> None:
        exhaust(counter, "exhausted")
        wait(counter, "waiting")
        fail(counter, EVIL, dag_id="stock")
        counter.confirm(fail(counter, "succeeded", dag_id="stock"))
        counter.succeed("stock", "succeeded")

    @pytest.mark.parametrize(
        ("arguments", "runs"),
        [
            ([], {"exhausted", "waiting", EVIL}),
            (["attention"], {"exhausted"}),
            (["active"], {"waiting", EVIL}),
            (["overdue"], set()),
            (["recent"], {"exhausted", "waiting", EVIL, "succeeded"}),
            (["recent", "--dag", "stock"], {EVIL, "succeeded"}),
            (["recent", "--dag", "stock", "--dag", "daily_load", "--status", "claimed", "--status", "waiting"],
             {"waiting", EVIL}),
            (["recent", "--since", "1h"], {"exhausted", "waiting", EVIL, "succeeded"}),
            (["recent", "--until", "1h"], set()),
            (["recent", "--limit", "1"], {"succeeded"}),
        ],
    )  # fmt: skip
    def test_filters(self, ask: Any, arguments: list[str], runs: set[str]) -> None:
        assert {run["run_id"] for run in ask("list", *arguments)["runs"]} == runs

    def test_json_is_the_record(self, ask: Any, counter: AttemptCounter) -> None:
        (shown,) = ask("list", "attention")["runs"]
        record = counter.read("daily_load", "exhausted")
        assert record
        assert (shown["status"], shown["attempt"], shown["updated_at"]) == ("exhausted", 1, record.updated_at)
        assert shown["failed_try"] == {"task_id": "load", "map_index": 3, "ti_id": "0199", "error": "TimeoutError"}

    def test_people_see_a_table(self, run: Any) -> None:
        code, shown, _ = run("list", "recent", "--dag", "daily_load")
        assert code == 0
        assert re.search(r"exhausted +daily_load +exhausted +1/1 +max_attempts +load\[3\]: TimeoutError +.* ago", shown)
        assert re.search(r"waiting .* in (1 h|60 min)", shown)

    def test_what_a_terminal_would_obey_is_shown(self, run: Any) -> None:
        shown = run("list", "--dag", "stock")[1]
        assert "\x1b" not in shown
        assert r"\x1b[31m\t%" in shown
        assert "[red]h[/red]" in shown

    def test_there_are_more(self, run: Any) -> None:
        assert "there are more" in run("list", "recent", "--limit", "1")[1]
        assert "there are more" not in run("list", "recent")[1]

    def test_unreadable(self, ask: Any, run: Any, client: Any) -> None:
        client.hset(KEYS.run("daily_load", "waiting"), "attempt", "two")
        why = """not of schema v1: ValueError("invalid literal for int() with base 10: 'two'")"""
        assert {"dag_id": "daily_load", "run_id": "waiting", "why": why} in ask("list")["runs"]
        assert "unreadable" in run("list")[1]
        assert run("show", "daily_load", "waiting")[0] == 0
        assert run("retry", "daily_load", "waiting")[0] == 1

    def test_none(self, run: Any, client: Any) -> None:
        client.flushall()
        assert run("list") == (0, "none\n", "")
        assert json.loads(run("list", "--json")[1])["runs"] == []


def beat(client: Any, ago: int = 0, **fields: Any) -> None:
    """Write what a sweeper says of itself.

    :param ago: when it looked last, in seconds before now.
    """
    fields = {"at": Overview(client).now() - ago * 1000, "holder": "host:1", **fields}
    client.hset(KEYS.sweeper(), mapping=fields)
    client.pexpire(KEYS.sweeper(), 60_000)


class TestHealth:
    """What is wrong for all runs at once stands first, and nothing stands there if all is well."""

    def test_no_sweeper_has_ever_run(self, run: Any, ask: Any, counter: AttemptCounter) -> None:
        wait(counter)
        said = " ".join(run("list")[1].split())
        assert said.startswith("No sweeper has ever run, and 1 run waits for one: put a file with `from dag_retry.swe")
        assert "`dag-retry sweep` needs a login: api_username and" in said
        assert "unpause" not in said
        health = ask("list")["health"]
        assert (health["missing"], health["heartbeat"], health["waiting"]) == (True, None, 1)

    def test_no_sweeper_for_minutes(self, run: Any, counter: AttemptCounter, client: Any) -> None:
        for run_id in ("one", "two"):
            wait(counter, run_id)
        beat(client, ago=420)
        assert run("list")[1].startswith("No sweeper has run for 7 min, and 2 runs wait for one: ")

    def test_no_sweeper_and_a_login(self, run: Any, counter: AttemptCounter, stub: StubApi) -> None:
        wait(counter)
        assert "1 run waits for one: start `dag-retry sweep`.\n" in run("list")[1]

    def test_the_sweepers_dag_has_stopped(
        self, run: Any, counter: AttemptCounter, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wait(counter)
        beat(client, ago=420, holder=f"{OF_DAG}host:1")
        said = run("list")[1]
        assert "for one: unpause the Dag `dag_retry_sweeper`, or see in the log of its task why it fails." in said
        assert "dag-retry sweep" not in said
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__API_TOKEN", "t")
        assert "or start `dag-retry sweep`." in " ".join(run("list")[1].split())

    def test_a_sweeper_runs(self, run: Any, ask: Any, counter: AttemptCounter, client: Any) -> None:
        wait(counter)
        beat(client, ago=200)
        assert run("list")[1].startswith("status ")
        health = ask("list")["health"]
        assert (health["missing"], health["broken"], health["heartbeat"]["holder"]) == (False, False, "host:1")

    def test_nothing_waits_for_one(self, run: Any, counter: AttemptCounter) -> None:
        exhaust(counter)
        assert run("list")[1].startswith("status ")

    def test_the_way_is_broken(self, run: Any, ask: Any, counter: AttemptCounter, client: Any) -> None:
        wait(counter)
        since = Overview(client).now() - 12 * 60_000
        beat(client, fault="login", fault_text="GET [red]x[/red] was answered 401", fault_at=since)
        first, *_ = run("list")[1].splitlines()
        assert first.startswith("Airflow's API has been unusable for 12 min (login): GET [red]x[/red] was answered")
        assert "1 run waits" in first
        assert "api_token" in run("list")[1]
        health = ask("list")["health"]
        assert (health["broken"], health["heartbeat"]["fault_at"]) == (True, since)

    def test_still_queued(self, run: Any, ask: Any, counter: AttemptCounter, client: Any) -> None:
        for run_id in ("held", "under-way"):
            counter.confirm(fail(counter, run_id))
        exhaust(counter, "ended")
        beat(client, queued=json.dumps([["daily_load", "held"], ["daily_load", "ended"]]))
        shown = run("list")[1]
        assert re.search(r"retrying, still queued +daily_load +held ", shown)
        assert re.search(r"retrying +daily_load +under-way ", shown)
        assert re.search(r"exhausted +daily_load +ended ", shown)
        queued = {each["run_id"]: each["still_queued"] for each in ask("list")["runs"]}
        assert queued == {"held": True, "under-way": False, "ended": False}
        assert "retrying, still queued" in run("show", "daily_load", "held")[1]
        assert ask("show", "daily_load", "held")["record"]["still_queued"] is True

    def test_untold(self, run: Any, ask: Any, counter: AttemptCounter, client: Any) -> None:
        exhaust(counter, "told")
        counter.confirm(fail(counter, "untold"))
        fail(counter, "untold", 1)
        client.hset(KEYS.run("daily_load", "untold"), "faults", 3)
        shown = run("list", "attention")[1]
        assert re.search(r"exhausted, untold +daily_load +untold ", shown)
        assert re.search(r"exhausted +daily_load +told ", shown)
        assert {each["run_id"]: each["untold"] for each in ask("list", "attention")["runs"]} == {
            "told": False,
            "untold": True,
        }
        assert ask("list")["health"]["untold"] == 1
        shown = run("show", "daily_load", "untold")[1]
        assert "exhausted, untold" in shown
        assert re.search(r"in vain +3 times in a row", shown)


class TestShow:
    def test_timeline(self, run: Any, ask: Any, counter: AttemptCounter) -> None:
        exhaust(counter, EVIL)
        for _ in range(7):
            fail(counter, EVIL, 1)
        code, shown, _ = run("show", "daily_load", EVIL)
        assert code == 0
        assert "\x1b" not in shown
        assert "1 of 1, generation 1" in shown
        assert re.search(r"won .*\n.*cleared .*\n.*exhausted .*\n.*lost x 3 ", shown)
        # The record counts those that the stream does not tell of.
        assert "7 callbacks since the last claim" in shown
        answered = ask("show", "daily_load", EVIL)
        assert answered["record"]["status"] == "exhausted"
        assert [event["event"] for event in answered["timeline"]] == ["won", "cleared", "exhausted", *["lost"] * 3]

    def test_a_person_has_no_level(self, run: Any, client: Any, counter: AttemptCounter) -> None:
        """The record of the run keeps the level of the last claim, and so does the event of what a person did."""
        acts = Interventions(client)
        fail(counter, level="task", holder="host:1", delays=[timedelta(hours=1)])
        for act in (acts.hasten, acts.reset, acts.retry, acts.cancel):
            assert act("daily_load", "run", holder="root@vm")
        for verb in (["show", "daily_load", "run"], ["events"]):
            shown = run(*verb)[1]
            assert "task host:1" in shown
            assert shown.count("root@vm") == 4
            assert "task root@vm" not in shown

    def test_a_delay(self, run: Any, counter: AttemptCounter, client: Any) -> None:
        wait(counter)
        record = counter.read("daily_load", "run")
        assert record
        shown = run("show", "daily_load", "run")[1]
        assert re.search(
            rf"why +its delay is over at {at(record.due_at)[:-4]} UTC; a sweeper clears it then *\n", shown
        )
        # Nobody clears it, and the same line as that of `list` says so.
        assert shown.startswith("No sweeper has ever run, and 1 run waits for one: put a file with ")
        Interventions(client).hasten("daily_load", "run")
        assert re.search(r"why +its delay is over; a sweeper clears it *\n", run("show", "daily_load", "run")[1])
        beat(client)
        assert "No sweeper" not in run("show", "daily_load", "run")[1]

    def test_a_claim(self, run: Any, client: Any, counter: AttemptCounter) -> None:
        fail(counter)
        assert re.search(r"why +its callback clears it *\n", run("show", "daily_load", "run")[1])
        fail(AttemptCounter(client, lease=timedelta(milliseconds=1)), "dead")
        until(lambda: Overview(client).sizes().overdue == 1)
        assert re.search(r"why +its callback died; a sweeper clears it *\n", run("show", "daily_load", "dead")[1])

    def test_what_to_do(self, run: Any, counter: AttemptCounter) -> None:
        claim = fail(counter)
        counter.postpone(claim, reason="dag_paused", pause=timedelta(minutes=1))
        shown = run("show", "daily_load", "run")[1]
        assert re.search(r"why +dag_paused: the Dag is paused", shown)
        assert re.search(r"to do +Unpause the Dag\. Then a sweeper clears the run\. *\n", shown)

    @pytest.mark.parametrize(
        ("level", "error", "log"),
        [
            ("task", "TimeoutError", "the log of task load[3], of its last try"),
            ("dag", "task_failure", "the log of the dag processor for the file of the Dag"),
            # The Dag level has taken over from a task.
            ("dag", "TimeoutError", "the log of task load[3], of its last try"),
        ],
    )
    def test_which_log_says_more(
        self, run: Any, counter: AttemptCounter, client: Any, level: Any, error: str, log: str
    ) -> None:
        failed_try = FailedTry("load", 3, "0199", error)
        counter.claim(
            "daily_load", "run", generation=0, max_attempts=1, failed_try=failed_try, level=level, skip="config"
        )
        shown = run("show", "daily_load", "run")[1]
        assert f"config: a setting or the retry policy is not usable: see {log}" in shown
        assert "Correct it, then clear the run by hand." in shown

    def test_the_log_of_the_sweeper(self, run: Any, counter: AttemptCounter) -> None:
        counter.postpone(fail(counter, level="sweeper"), reason="config", pause=timedelta(minutes=1))
        shown = run("show", "daily_load", "run")[1]
        assert "is not usable: see the log of the sweeper" in shown
        assert "Correct it. Then a sweeper clears the runs that wait." in shown

    def test_of_none(self, run: Any, ask: Any, client: Any) -> None:
        said = "daily_load none: never failed, or long ago, or the ids are misspelt: see dag-retry list recent\n"
        for verb in ("show", "retry", "reset"):
            assert run(verb, "daily_load", "none") == (1, said, "")
        assert ask("show", "daily_load", "none") == {"record": None, "timeline": []}


class TestEvents:
    def test_newest_last(self, ask: Any, run: Any, counter: AttemptCounter) -> None:
        exhaust(counter)
        fail(counter, "other", dag_id="stock")
        events = ask("events")
        assert [event["event"] for event in events] == ["won", "cleared", "exhausted", "won"]
        assert ask("events", "--after", events[1]["id"]) == events[2:]
        assert ask("events", "--dag", "stock") == events[3:]
        assert ask("events", "--limit", "1") == events[3:]
        assert "load[3]: TimeoutError" in run("events")[1]

    def test_none(self, run: Any, client: Any) -> None:
        assert run("events") == (0, "none\n", "")


class TestWatch:
    def test_lines_as_they_come(self, counter: AttemptCounter, client: Any) -> None:
        fail(counter, "before")
        client.config_resetstat()
        watching = subprocess.Popen(
            [*COMMAND, "watch", "--json", "--interval", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            # By its first look the watcher knows where it begins.
            until(lambda: "cmdstat_xrevrange" in client.info("commandstats"), 60)
            exhaust(counter, EVIL)
            assert watching.stdout
            lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
            assert [(line["event"], line["run_id"]) for line in lines] == [
                ("won", EVIL), ("cleared", EVIL), ("exhausted", EVIL)
            ]  # fmt: skip
        finally:
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate(timeout=30)
        assert watching.returncode == 130, errors

    def test_a_terminal_sees_all_at_once(self, counter: AttemptCounter) -> None:
        exhaust(counter, "exhausted-run")
        wait(counter, "waiting-run")
        main_end, terminal = pty.openpty()
        watching = subprocess.Popen(
            [*COMMAND, "watch", "--interval", "1"],
            stdin=terminal, stdout=terminal, stderr=subprocess.PIPE,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "200", "LINES": "60"},
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        wanted = (
            b"No sweeper has ever run, and 1 run waits",
            b"Needs a human: 1",
            b"exhausted-run",
            b"Retried now: 1",
            b"waiting-run",
            b"Latest events",
        )
        try:
            while not all(part in shown for part in wanted):
                more = self.read(main_end)
                assert more, shown  # else it has ended
                shown += more
        finally:
            watching.send_signal(signal.SIGINT)
            # It can't end before somebody has read its last words.
            while self.read(main_end):
                pass
            watching.communicate(timeout=30)
            os.close(main_end)
        assert watching.returncode == 130

    def read(self, main_end: int) -> bytes:
        """Return what the terminal shows, nothing where it is closed."""
        ready, _, _ = select.select([main_end], [], [], 60)
        assert ready
        try:
            return os.read(main_end, 65536)
        except OSError:  # EIO: nobody holds the other end
            return b""


class TestRetry:
    def test_a_waiting_run_is_due_now(self, run: Any, counter: AttemptCounter, client: Any, stub: StubApi) -> None:
        wait(counter)
        code, shown, _ = run("retry", "daily_load", "run")
        assert (code, shown) == (0, "daily_load run: due now, for dag-retry sweep\n")
        sizes = Overview(client).sizes()
        assert (sizes.active, sizes.overdue) == (1, 1)
        assert stub.clears == 0
        assert "@" in Overview(client).events(limit=1)[0].holder

    def test_a_waiting_run_where_no_login_is_set(self, run: Any, counter: AttemptCounter) -> None:
        wait(counter)
        assert run("retry", "daily_load", "run") == (0, "daily_load run: due now, for a sweeper\n", "")

    def test_an_ended_one_is_cleared(self, ask: Any, counter: AttemptCounter, stub: StubApi) -> None:
        exhaust(counter)
        answered = ask("retry", "daily_load", "run")
        assert answered == {"dag_id": "daily_load", "run_id": "run", "done": True, "answer": "cleared"}
        assert stub.clears == 1
        fresh = fail(counter, generation=2)
        assert (fresh.verdict.value, fresh.reason, fresh.attempt) == ("won", "fresh_budget", 1)

    def test_a_claim_that_nobody_finishes_is_cleared(self, run: Any, client: Any, stub: StubApi) -> None:
        fail(AttemptCounter(client, lease=timedelta(milliseconds=1)))
        until(lambda: Overview(client).sizes().overdue == 1)
        assert run("retry", "daily_load", "run")[0] == 0
        assert stub.clears == 1

    def test_what_is_in_hand_is_left(self, run: Any, counter: AttemptCounter, stub: StubApi) -> None:
        claim = fail(counter)
        assert run("retry", "daily_load", "run") == (1, "daily_load run: claimed: it is retried already\n", "")
        counter.confirm(claim)
        assert run("retry", "daily_load", "run") == (1, "daily_load run: retrying: it is retried already\n", "")
        assert run("retry", "daily_load", "none")[0] == 1
        assert stub.seen == []

    @pytest.mark.parametrize("force", [[], ["--force"]])
    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_what_somebody_has_cleared_is_left(
        self, run: Any, counter: AttemptCounter, stub: StubApi, state: str, force: list[str]
    ) -> None:
        exhaust(counter)
        stub.run_state = state
        code, said, _ = run("retry", "daily_load", "run", *force)
        assert (code, said) == (1, f"daily_load run: Airflow has it {state} already: wait until it has ended\n")
        assert stub.clears == 0

    def test_what_has_succeeded_is_cleared_only_by_force(
        self, run: Any, ask: Any, counter: AttemptCounter, stub: StubApi
    ) -> None:
        exhaust(counter)
        stub.run_state = "success"
        code, said, _ = run("retry", "daily_load", "run")
        assert (code, said) == (1, "daily_load run: Airflow has it as success: use --force to clear it all the same\n")
        assert stub.clears == 0
        assert ask("retry", "daily_load", "run", "--force")["answer"] == "cleared"
        assert stub.clears == 1

    def test_the_events_say_who_cleared(self, run: Any, counter: AttemptCounter, stub: StubApi, client: Any) -> None:
        exhaust(counter)
        before_it = counter.read("daily_load", "run")
        stub.run_state = "success"
        assert run("retry", "daily_load", "run")[0] == 1
        assert client.xrevrange(KEYS.events(), count=1)[0][1]["event"] == "exhausted"
        assert run("retry", "daily_load", "run", "--force")[0] == 0
        event = client.xrevrange(KEYS.events(), count=1)[0][1]
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        assert (event["event"], event["reason"], event["level"], event["holder"]) == ("retried", "by_hand", "", who)
        assert counter.read("daily_load", "run") == before_it
        # redis-py sends a script again if its answer is late.
        Interventions(client).retry("daily_load", "run", holder=who)
        assert [event["event"] for _, event in client.xrange(KEYS.events())].count("retried") == 1

    def test_a_state_that_no_path_can_ask_for(self, run: Any, counter: AttemptCounter, stub: StubApi) -> None:
        stub.run_id = "a/b"
        exhaust(counter, "a/b")
        code, said, _ = run("retry", "daily_load", "a/b")
        assert code == 1
        assert "Airflow can't tell the state of a run with this id: use --force to clear it all the same" in said
        assert run("retry", "daily_load", "a/b", "--force")[0] == 0
        assert stub.clears == 1

    @pytest.mark.parametrize("status", [403, 404, 500])
    def test_airflow_refuses(self, run: Any, counter: AttemptCounter, stub: StubApi, client: Any, status: int) -> None:
        exhaust(counter)
        # Behind the login.
        stub.faults = [None, before(status)]
        code, _, errors = run("retry", "daily_load", "run")
        assert code == 4
        assert str(status) in errors
        # After a 500 the run may have been cleared.
        assert [event["event"] for _, event in client.xrange(KEYS.events())].count("retried") == (status == 500)


@pytest.mark.parametrize("options", [["--once"], []])
def test_a_sweeper_that_has_no_login(run: Any, client: Any, counter: AttemptCounter, options: list[str]) -> None:
    """Airflow's own ``[api] base_url`` may be set or not: what lacks is a login."""
    wait(counter)
    code, _, errors = run("sweep", *options)
    assert code == 2
    assert "needs a login for Airflow's REST API, and none is set: in [dag_retry] set api_url" in errors
    assert f"Without a login a Dag is the sweeper: put a file with `{DAG_FILE}` among your Dags" in errors
    # What does not begin is no sweeper.
    assert Overview(client).heartbeat() is None
    assert run("list")[1].startswith("No sweeper has ever run, ")


def test_the_file_of_the_sweepers_dag() -> None:
    """Airflow reads only files in which these words stand (``test_facts.py``)."""
    assert "airflow" in DAG_FILE.lower()
    made: dict[str, Any] = {}
    exec(DAG_FILE, made)
    assert made["dag"].dag_id == "dag_retry_sweeper"


def test_the_sweeper_masks_secrets(
    redis_url: str, counter: AttemptCounter, stub: StubApi, tmp_path: Path, client: Any
) -> None:
    """A hook fails, and its traceback holds what it knew."""
    (tmp_path / "our_alerts.py").write_text(
        "import os\ndef page(context): raise RuntimeError(str([os.environ[f'AIRFLOW__DAG_RETRY__{name}'] for name in "
        "('REDIS_URL', 'API_PASSWORD')]))"
    )
    counter.confirm(fail(counter))
    fail(counter, generation=1)
    client.hset(KEYS.run("daily_load", "run"), "due_at", "1")
    client.zadd(KEYS.index("active"), {"daily_load:run": 1})
    environment = os.environ | {
        # Redis's default user takes any password.
        "AIRFLOW__DAG_RETRY__REDIS_URL": redis_url.replace("redis://", "redis://default:hunter2-of-redis@"),
        "AIRFLOW__DAG_RETRY__ON_EXHAUSTED": "our_alerts:page",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    done = subprocess.run(
        [*COMMAND, "sweep", "--once"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert "RuntimeError: ['***', '***']" in done.stderr
    assert not [secret for secret in ("hunter2", "s3cret") if secret in done.stdout + done.stderr]


class TestResetAndCancel:
    @pytest.mark.parametrize("run_id", ["run", "it's"])
    def test_reset_of_a_run_that_gave_up(self, run: Any, counter: AttemptCounter, run_id: str) -> None:
        exhaust(counter, run_id)
        code, said, _ = run("reset", "daily_load", run_id)
        assert code == 0
        assert said.startswith(f"daily_load {run_id}: its attempts are counted anew; the run stays failed. Clear it: ")
        assert shlex.split(said.partition("Clear it: ")[2]) == ["dag-retry", "retry", "daily_load", run_id]
        record = counter.read("daily_load", run_id)
        assert record
        assert record.attempt == 0
        assert re.search(r"exhausted, reset +daily_load .* 0/1 ", run("list")[1])
        shown = run("show", "daily_load", run_id)[1]
        assert "max_attempts: every attempt of the budget failed; its attempts were reset since" in shown

    @pytest.mark.parametrize("begin", [wait, fail, lambda counter: counter.confirm(fail(counter))])
    def test_reset_of_a_run_that_is_retried(self, run: Any, counter: AttemptCounter, begin: Any) -> None:
        begin(counter)
        assert run("reset", "daily_load", "run") == (0, "daily_load run: its attempts are counted anew\n", "")

    @pytest.mark.parametrize("reason", ["settled_by_hand", "run_succeeded", "cancelled"])
    def test_reset_of_a_run_that_need_not_have_failed(self, run: Any, counter: AttemptCounter, reason: str) -> None:
        counter.acknowledge(fail(counter, skip=reason))
        assert run("reset", "daily_load", "run") == (0, "daily_load run: its attempts are counted anew\n", "")

    def test_cancel(self, ask: Any, run: Any, counter: AttemptCounter) -> None:
        wait(counter)
        assert ask("cancel", "daily_load", "run")["done"] is True
        record = counter.read("daily_load", "run")
        assert record
        assert (record.status, record.reason) == (Status.SKIPPED, "cancelled")
        # The failure may be still to come.
        code, said, _ = run("cancel", "daily_load", "none")
        assert (
            code,
            "not retried, should it fail. Until now it never failed, or long ago, or the ids are" in said,
        ) == (
            0,
            True,
        )
        exhaust(counter, "ended")
        code, printed, _ = run("cancel", "daily_load", "ended")
        assert (code, "there is no clear to come" in printed) == (1, True)

    def test_a_dag_id_that_is_none(self, run: Any, client: Any) -> None:
        code, _, errors = run("cancel", "a b", "run")
        assert code == 2
        assert "dag_id is 'a b'" in errors


class TestMetrics:
    def test_once(self, run: Any, counter: AttemptCounter) -> None:
        exhaust(counter)
        code, shown, _ = run("metrics", "--once")
        assert code == 0
        assert 'dag_retry_dag_events_total{dag_id="daily_load",event="exhausted"} 1.0' in shown.splitlines()

    def test_served(self, counter: AttemptCounter) -> None:
        exhaust(counter)
        port = free_port()
        serving = subprocess.Popen([*COMMAND, "metrics", "--port", str(port)], stderr=subprocess.PIPE, text=True)
        try:
            assert serving.stderr
            line = next(line for line in serving.stderr if line.startswith("metrics at "))
            for _ in range(2):
                with urllib.request.urlopen(line.split()[-1]) as answer:
                    assert b"dag_retry_attention_runs 1.0" in answer.read()
        finally:
            serving.send_signal(signal.SIGINT)
            serving.communicate(timeout=30)
        assert serving.returncode == 130

    def test_redis_away(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
        code, shown, _ = run("metrics", "--once")
        assert code == 0
        assert "dag_retry_up 0.0" in shown


class TestDashboards:
    @pytest.mark.parametrize("name", FILES)
    def test_printed(self, run: Any, name: str) -> None:
        code, shown, _ = run("dashboards", name)
        assert code == 0
        assert "dag-retry" in shown
        if name.endswith(".json"):
            assert json.loads(shown)["panels"]

    def test_listed(self, ask: Any, run: Any) -> None:
        assert ask("dashboards") == FILES
        assert all(name in run("dashboards")[1] for name in FILES)


class TestExitCodes:
    def test_redis_away(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_RETRY__REDIS_URL", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
        for argv in (
            ["list"],
            ["show", "d", "r"],
            ["events"],
            ["watch"],
            ["retry", "d", "r"],
            ["reset", "d", "r"],
            ["cancel", "d", "r"],
        ):
            code, shown, errors = run(*argv)
            assert (code, shown) == (3, "")
            assert "unreachable" in errors
            assert "s3cret" not in errors

    def test_no_setting(self, run: Any) -> None:
        code, _, errors = run("list")
        assert code == 2
        assert "[dag_retry] redis_url" in errors

    @pytest.mark.parametrize(
        "argv",
        [
            [], ["sing"], ["list", "--since", "soon"], ["list", "--limit", "0"], ["list", "--status", "sad"],
            ["events", "--after", "x"], ["show", "d"], ["watch", "--interval", "-1"],
        ],
    )  # fmt: skip
    def test_usage(self, argv: list[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2

    @pytest.mark.parametrize(
        ("module", "extra", "argv"), [("rich", "cli", "list"), ("prometheus_client", "metrics", "metrics")]
    )
    def test_an_extra_is_missing(self, redis_url: str, module: str, extra: str, argv: str) -> None:
        code = f"import sys; sys.modules['{module}'] = None; from dag_retry.cli import main; sys.exit(main(['{argv}']))"
        environment = os.environ | {"AIRFLOW__DAG_RETRY__REDIS_URL": redis_url}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        assert f"pip install 'airflow-dag-retry[{extra}]'" in done.stderr

    def test_who_reads_has_enough(self, counter: AttemptCounter) -> None:
        for number in range(300):
            fail(counter, f"run-{number}-{'x' * 200}")
        writing = subprocess.Popen(
            [*COMMAND, "list", "--limit", "300", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert writing.stdout
        writing.stdout.readline()
        writing.stdout.close()
        _, errors = writing.communicate(timeout=30)
        assert writing.returncode == 0
        assert b"Traceback" not in errors
        assert b"BrokenPipe" not in errors


def test_each_verb_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0
        assert "--json" in capsys.readouterr().out or verb in ("metrics", "sweep")


class TestAirflowCommand:
    @pytest.fixture
    def parser(self) -> argparse.ArgumentParser:
        from airflow.cli.cli_config import DefaultHelpParser
        from airflow.cli.cli_parser import _add_command

        parser = DefaultHelpParser(prog="airflow")
        subparsers = parser.add_subparsers(dest="subcommand", metavar="GROUP_OR_COMMAND")
        for command in airflow_commands():
            _add_command(subparsers, command)
        return parser

    def test_it_is_the_same(self, parser: Any, counter: AttemptCounter, capsys: pytest.CaptureFixture[str]) -> None:
        exhaust(counter)
        args = parser.parse_args(["dag-retry", "list", "attention", "--json"])
        with pytest.raises(SystemExit) as stopped:
            args.func(args)
        assert stopped.value.code == 0
        assert json.loads(capsys.readouterr().out)["runs"][0]["run_id"] == "run"

    def test_exit_codes(self, parser: Any, client: Any) -> None:
        args = parser.parse_args(["dag-retry", "show", "daily_load", "none"])
        with pytest.raises(SystemExit) as stopped:
            args.func(args)
        assert stopped.value.code == 1

    def test_help(self, parser: Any, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            parser.parse_args(["dag-retry", "--help"])
        shown = capsys.readouterr().out
        assert all(verb in shown for verb in VERBS)
