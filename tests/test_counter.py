"""The rules of `claim` and of what follows it, each on fakeredis and on a real Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from itertools import dropwhile
from typing import Any

import pytest
from packaging.version import Version

from dag_retry import AttemptCounter, Claim, ConfigError, CounterError, FailedTry, Status, Verdict
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from tests.claims import RUN, TRY, claim, events, record, told

HOUR = timedelta(hours=1)


def retry(counter: AttemptCounter, generation: int, max_attempts: int = 2) -> Claim:
    answer = claim(counter, generation, max_attempts)
    assert answer.verdict is Verdict.WON
    assert counter.confirm(answer)
    return answer


class TestClaim:
    def test_first_wins_and_others_of_the_generation_lose(self, counter: AttemptCounter, client: Any) -> None:
        assert told(claim(counter)) == ("won", "claimed", 1)
        assert told(claim(counter)) == ("lost", "already_claimed", 1)
        assert told(claim(counter)) == ("lost", "already_claimed", 1)
        assert events(client) == ["won", "lost", "lost"]

    def test_same_claim_id_gets_the_same_answer_and_counts_once(self, counter: AttemptCounter, client: Any) -> None:
        first = claim(counter, claim_id="one")
        assert claim(counter, claim_id="one") == first
        assert counter.confirm(first)
        assert claim(counter, claim_id="one") == first
        assert record(counter).attempt == 1
        assert client.hgetall("{dag-retry}:v1:stats") == {"won": "1", "cleared": "1"}

    def test_same_claim_id_is_told_exhausted_again(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0, max_attempts=1)
        first = claim(counter, 1, max_attempts=1, claim_id="last")
        assert told(first) == ("exhausted", "max_attempts", 1)
        assert claim(counter, 1, max_attempts=1, claim_id="last") == first
        assert client.hget("{dag-retry}:v1:stats", "exhausted") == "1"

    def test_older_generation_is_stale(self, counter: AttemptCounter) -> None:
        retry(counter, 0)
        claim(counter, 1)
        assert told(claim(counter, 0)) == ("lost", "stale", 2)

    def test_confirmed_generation_is_over(self, counter: AttemptCounter) -> None:
        retry(counter, 0)
        assert told(claim(counter, 0)) == ("lost", "already_retrying", 1)
        assert told(claim(counter, 0, takeover=True, level="dag")) == ("lost", "already_retrying", 1)

    def test_cap_is_told_once(self, counter: AttemptCounter) -> None:
        assert retry(counter, 0).attempt == 1
        assert retry(counter, 1).attempt == 2
        assert told(claim(counter, 2)) == ("exhausted", "max_attempts", 2)
        assert told(claim(counter, 2)) == ("lost", "already_exhausted", 2)
        assert told(claim(counter, 0)) == ("lost", "stale", 2)
        assert record(counter).status is Status.EXHAUSTED

    def test_unconfirmed_claim_counts_in_the_next_generation(self, counter: AttemptCounter) -> None:
        claim(counter, 0)
        assert told(claim(counter, 1)) == ("won", "claimed", 2)

    def test_clears_of_others_count(self, counter: AttemptCounter) -> None:
        retry(counter, 0, max_attempts=5)
        assert told(claim(counter, 4, max_attempts=5)) == ("won", "claimed", 5)

    def test_lowered_cap_holds_at_once(self, counter: AttemptCounter) -> None:
        retry(counter, 0, max_attempts=5)
        retry(counter, 1, max_attempts=5)
        assert told(claim(counter, 2, max_attempts=1)) == ("exhausted", "max_attempts", 2)

    def test_failed_try_is_kept_and_the_event_names_the_holder(self, counter: AttemptCounter, client: Any) -> None:
        answer = claim(counter, failed_try=TRY, holder="worker-1:4711")
        assert (answer.failed_try, answer.holder) == (TRY, "worker-1:4711")
        kept = record(counter)
        assert (kept.failed_try, kept.level) == (TRY, "task")
        ((_, event),) = client.xrange("{dag-retry}:v1:events")
        assert (event["holder"], event["level"]) == ("worker-1:4711", "task")

    def test_odd_ids(self, counter: AttemptCounter, client: Any) -> None:
        for run_id in (
            "a:b:c",
            "../..",
            "with space/slash+plus%2F",
            "läuft\u2028",
            "\U0001f600",
            "{x}:v1:active",
            '"<b>"',
        ):
            won = counter.claim("..", run_id, generation=0, max_attempts=1)
            assert won.verdict is Verdict.WON
            assert client.exists("{dag-retry}:v1:run:..:" + run_id)
            found = counter.read("..", run_id)
            assert found is not None
            assert found.run_id == run_id


class TestLoss:
    def test_without_a_record_all_clears_count(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0)
        client.flushall()
        assert told(claim(counter, 1)) == ("won", "claimed", 2)
        client.flushall()
        assert told(claim(counter, 2)) == ("exhausted", "generation", 2)

    def test_start_fresh(self, counter: AttemptCounter) -> None:
        assert told(claim(counter, 7, on_missing_record="start_fresh")) == ("won", "claimed", 1)
        assert record(counter).base == 7
        assert told(claim(counter, 8, on_missing_record="start_fresh")) == ("won", "claimed", 2)

    @pytest.mark.parametrize(
        ("generation", "held", "answer", "base"),
        [
            (3, 2, ("won", "claimed", 3), 1),
            (3, 0, ("won", "claimed", 1), 3),
            (0, 3, ("exhausted", "max_attempts", 3), 0),
            (1, 2, ("won", "claimed", 3), 0),
        ],
    )
    def test_another_counters_attempts_count(
        self, counter: AttemptCounter, generation: int, held: int, answer: Any, base: int
    ) -> None:
        """The how-to's Variable holds them. What else of the clears were retries, nobody knows."""
        assert told(claim(counter, generation, 3, on_missing_record=held)) == answer
        assert record(counter).base == base
        assert record(counter).attempt == answer[2]


class TestManualClear:
    @pytest.fixture(params=["exhausted", "blocked", "succeeded"])
    def ended(self, request: pytest.FixtureRequest, counter: AttemptCounter) -> str:
        if request.param == "exhausted":
            retry(counter, 0, max_attempts=1)
            claim(counter, 1, max_attempts=1)
        elif request.param == "blocked":
            retry(counter, 0)
            refused = claim(counter, 1)
            assert counter.block(refused, reason="http_403")
            assert counter.acknowledge(refused)
        else:
            retry(counter, 0)
            assert counter.succeed(*RUN, generation=1)
        return str(request.param)

    def test_begins_a_fresh_budget(self, counter: AttemptCounter, ended: str) -> None:
        assert told(claim(counter, 1)) == ("lost", f"already_{ended}", record(counter).attempt)
        assert told(claim(counter, 2)) == ("won", "fresh_budget", 1)
        assert record(counter).base == 2
        assert told(claim(counter, 3)) == ("won", "claimed", 2)
        assert told(claim(counter, 4)) == ("exhausted", "max_attempts", 2)

    def test_every_clear_counts_from_the_ending_on(self, counter: AttemptCounter) -> None:
        """Cleared twice by hand: or an old ending, of a replica that lagged behind."""
        retry(counter, 0, max_attempts=1)
        claim(counter, 1, max_attempts=1)
        assert told(claim(counter, 3, max_attempts=1)) == ("exhausted", "generation", 1)

    def test_a_blocked_run_has_not_ended_until_it_was_told(self, counter: AttemptCounter) -> None:
        counter.block(claim(counter, 0), reason="http_403")
        assert told(claim(counter, 1)) == ("won", "claimed", 2)

    def test_keeps_the_budget_where_asked(self, counter: AttemptCounter, ended: str) -> None:
        answer = claim(counter, 2, on_manual_clear="keep")
        assert (answer.verdict, answer.attempt) == (Verdict.EXHAUSTED, 2)


class TestTakeover:
    def test_dag_level_takes_over_from_a_task(self, counter: AttemptCounter, client: Any) -> None:
        dead = claim(counter, failed_try=TRY)
        answer = claim(counter, takeover=True, level="dag", failed_try=FailedTry("last", -1, "0199-bb"))
        assert told(answer) == ("won", "taken_over", 1)
        # The error is that of the first holder: the Dag level knows no exception.
        assert answer.failed_try == FailedTry("last", -1, "0199-bb", TRY.error)
        assert events(client) == ["won", "taken_over"]
        assert not counter.renew(dead)
        assert not counter.confirm(dead)
        assert not counter.block(dead, reason="http_403")
        assert counter.renew(answer)
        assert counter.confirm(answer)

    def test_for_a_deadlock_airflow_names_any_task(self, counter: AttemptCounter) -> None:
        claim(counter, failed_try=TRY)
        deadlock = FailedTry("any", -1, "0199-bb", "all_tasks_deadlocked")
        assert claim(counter, takeover=True, level="dag", failed_try=deadlock).failed_try == TRY

    @pytest.mark.parametrize("level", ["dag", "sweeper"])
    def test_never_from_a_live_dag_level_or_sweeper(self, counter: AttemptCounter, level: Any) -> None:
        claim(counter, level=level)
        assert told(claim(counter, takeover=True, level="dag")) == ("lost", "already_claimed", 1)

    def test_a_dag_level_that_is_not_last_waits(self, counter: AttemptCounter) -> None:
        claim(counter)
        assert told(claim(counter, level="dag")) == ("lost", "already_claimed", 1)

    def test_after_the_lease_by_anyone(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, level="sweeper")
        lapse(client)
        assert told(claim(counter)) == ("won", "taken_over", 1)
        assert told(claim(counter)) == ("lost", "already_claimed", 1)

    def test_renewing_gives_a_new_lease(self, counter: AttemptCounter, client: Any) -> None:
        first = claim(counter)
        lapse(client)
        assert counter.renew(first)
        assert told(claim(counter)) == ("lost", "already_claimed", 1)

    def test_a_confirmed_claim_is_not_renewed(self, counter: AttemptCounter) -> None:
        assert not counter.renew(retry(counter, 0))

    def test_untold_exhaustion_is_told_again(self, counter: AttemptCounter) -> None:
        retry(counter, 0, max_attempts=1)
        dead = claim(counter, 1, max_attempts=1)
        again = claim(counter, 1, max_attempts=1, takeover=True, level="dag")
        assert told(again) == ("exhausted", "max_attempts", 1)
        assert not counter.acknowledge(dead)
        assert counter.acknowledge(again)
        assert told(claim(counter, 1, max_attempts=1, takeover=True)) == ("lost", "already_exhausted", 1)

    def test_untold_block_is_tried_again(self, counter: AttemptCounter) -> None:
        assert counter.block(claim(counter), reason="http_403")
        again = claim(counter, takeover=True, level="dag")
        assert told(again) == ("won", "taken_over", 1)
        assert counter.block(again, reason="http_403")
        assert counter.acknowledge(again)
        assert told(claim(counter, takeover=True)) == ("lost", "already_blocked", 1)


class TestRepeats:
    """redis-py resends a script after a lost reply: each verb gives the same answer, and counts once."""

    def test_confirm(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter)
        assert [counter.confirm(won), counter.confirm(won)] == [True, True]
        assert events(client) == ["won", "cleared"]

    def test_block_and_acknowledge(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter)
        assert [counter.block(won, reason="http_403"), counter.block(won, reason="http_403")] == [True, True]
        assert [counter.acknowledge(won), counter.acknowledge(won)] == [True, True]
        assert not counter.confirm(won)
        assert events(client) == ["won", "blocked"]

    def test_succeed(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0)
        assert counter.succeed(*RUN, generation=1) == counter.succeed(*RUN, generation=1) is not None
        assert events(client) == ["won", "cleared", "succeeded"]


class TestSucceed:
    def test_run_that_never_failed_leaves_no_key(self, counter: AttemptCounter, client: Any) -> None:
        assert counter.succeed(*RUN, generation=0) is None
        assert client.keys() == []

    @pytest.mark.parametrize("generation", [1, None])
    def test_late_callbacks_lose(self, counter: AttemptCounter, generation: int | None) -> None:
        retry(counter, 0)
        ended = counter.succeed(*RUN, generation=generation)
        assert ended is not None
        assert (ended.status, ended.generation, ended.attempt) == (Status.SUCCEEDED, 1, 1)
        assert told(claim(counter, 0)) == ("lost", "stale", 1)
        assert told(claim(counter, 1)) == ("lost", "already_succeeded", 1)

    def test_of_an_older_generation_changes_nothing(self, counter: AttemptCounter) -> None:
        retry(counter, 0)
        claim(counter, 1)
        before = record(counter)
        assert counter.succeed(*RUN, generation=0) is None
        assert record(counter) == before

    @pytest.mark.parametrize("generation", [0, None])
    @pytest.mark.parametrize("delays", [(), (HOUR,)])
    def test_without_a_clear_nothing_has_recovered(
        self, counter: AttemptCounter, client: Any, generation: int | None, delays: Any
    ) -> None:
        """A task failed, the run did not. The clear that was to come is none any more."""
        won = claim(counter, delays=delays, claim_id="one")
        assert counter.succeed(*RUN, generation=generation) is None
        assert counter.succeed(*RUN, generation=generation) is None
        ended = record(counter)
        assert (ended.status, ended.reason, ended.due_at) == (Status.SKIPPED, "run_succeeded", 0)
        assert not counter.renew(won)
        assert not counter.confirm(won)
        assert told(claim(counter, claim_id="one")) == ("lost", "already_skipped", 1)
        assert told(claim(counter, 1)) == ("won", "fresh_budget", 1)
        assert events(client) == ["won", "skipped", "lost", "won"]

    def test_of_a_claim_whose_clear_was_not_confirmed(self, counter: AttemptCounter) -> None:
        won = claim(counter)
        ended = counter.succeed(*RUN, generation=1)
        assert ended is not None
        assert (ended.status, ended.due_at) == (Status.SUCCEEDED, 0)
        assert not counter.confirm(won)

    @pytest.mark.parametrize("acknowledged", [True, False])
    @pytest.mark.parametrize("ending", ["exhausted", "blocked", "skipped"])
    def test_an_ending_is_no_recovery(self, counter: AttemptCounter, ending: str, acknowledged: bool) -> None:
        retry(counter, 0)
        last = claim(counter, 1, max_attempts=1 if ending == "exhausted" else 2)
        if ending == "blocked":
            counter.block(last, reason="http_403")
        elif ending == "skipped":
            counter.skip(last, reason="backfill_ended")
        if acknowledged:
            counter.acknowledge(last)
        before = record(counter)
        assert counter.succeed(*RUN, generation=1) is None
        assert counter.succeed(*RUN) is None
        if acknowledged:
            assert record(counter) == before
        else:
            found = record(counter)
            assert (found.status, found.reason, found.acknowledged) == (Status.SKIPPED, "run_succeeded", True)
        # A person clears the run, and it succeeds.
        ended = counter.succeed(*RUN, generation=2)
        assert ended is not None
        assert (ended.status, ended.generation) == (Status.SUCCEEDED, 2)

    def test_of_the_generation_that_was_cleared_is_old(self, counter: AttemptCounter) -> None:
        """The success of a run that was cleared in the same moment."""
        retry(counter, 0)
        before = record(counter)
        assert counter.succeed(*RUN, generation=0) is None
        assert record(counter) == before

    def test_again_after_a_manual_clear_is_not_told(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0)
        counter.succeed(*RUN, generation=1)
        assert counter.succeed(*RUN, generation=2) is None
        assert told(claim(counter, 2)) == ("lost", "already_succeeded", 1)
        assert events(client).count("succeeded") == 1


class TestPostpone:
    def test_the_run_waits_and_a_sweeper_takes_it(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter, failed_try=TRY)
        assert counter.postpone(won, reason="dag_paused", pause=HOUR)
        waiting = record(counter)
        assert (waiting.status, waiting.reason, waiting.attempt) == (Status.WAITING, "dag_paused", 1)
        assert waiting.due_at - waiting.updated_at == HOUR // timedelta(milliseconds=1)
        assert not counter.renew(won)
        assert not counter.confirm(won)
        # Nobody's death ends the pause.
        assert told(claim(counter, takeover=True, level="dag")) == ("lost", "already_waiting", 1)
        due = DueRuns(client)
        assert due.take(*RUN, holder="s") is None
        lapse(client)
        taken = due.take(*RUN, holder="s")
        assert told(taken) == ("won", "due", 1)
        assert taken
        assert counter.confirm(taken)
        assert told(claim(counter, 1)) == ("won", "claimed", 2)

    def test_again_changes_nothing(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter)
        assert counter.postpone(won, reason="dag_paused", pause=HOUR)
        first = record(counter)
        assert counter.postpone(won, reason="dag_paused", pause=2 * HOUR)
        assert record(counter) == first
        assert events(client) == ["won", "postponed"]

    def test_a_claim_asked_again_still_waits(self, counter: AttemptCounter) -> None:
        won = claim(counter, claim_id="one")
        counter.postpone(won, reason="needs_sweeper", pause=HOUR)
        again = claim(counter, claim_id="one")
        assert (again.verdict, again.due_at) == (Verdict.WON, record(counter).due_at)

    def test_many_times_have_one_event(self, counter: AttemptCounter, client: Any) -> None:
        counter.postpone(claim(counter), reason="dag_paused", pause=timedelta(0))
        for _ in range(3):
            lapse(client)
            taken = DueRuns(client).take(*RUN, holder="s")
            assert taken
            assert counter.postpone(taken, reason="not_airflow", pause=HOUR)
            assert record(counter).reason == "not_airflow"
        assert events(client) == ["won", "postponed"]
        assert client.hget("{dag-retry}:v1:stats", "postponed") == "4"

    def test_a_person_may_cancel_or_clear(self, counter: AttemptCounter, client: Any) -> None:
        counter.postpone(claim(counter), reason="dag_paused", pause=HOUR)
        assert told(claim(counter, 1)) == ("won", "claimed", 2)
        counter.postpone(claim(counter, 2, max_attempts=3), reason="dag_paused", pause=HOUR)
        assert Interventions(client).cancel(*RUN)
        assert record(counter).reason == "cancelled"

    @pytest.mark.parametrize("other", ["another", "confirmed", "delayed", "cancelled"])
    def test_only_what_is_held(self, counter: AttemptCounter, client: Any, other: str) -> None:
        won = claim(counter, delays=[HOUR] if other == "delayed" else [])
        if other == "another":
            won = won._replace(claim_id="another")
        elif other == "confirmed":
            counter.confirm(won)
        elif other == "cancelled":
            Interventions(client).cancel(*RUN)
        before = record(counter)
        assert not counter.postpone(won, reason="dag_paused", pause=HOUR)
        assert record(counter) == before

    @pytest.mark.parametrize("pause", [timedelta(seconds=-1), timedelta(days=30)])
    def test_a_record_must_outlive_the_pause(self, counter: AttemptCounter, pause: timedelta) -> None:
        with pytest.raises(ConfigError, match="a delay is"):
            counter.postpone(claim(counter), reason="dag_paused", pause=pause)


class TestForget:
    def test_the_record_is_gone(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter, holder="w:1")
        assert [counter.forget(won), counter.forget(won)] == [True, True]
        assert counter.read(*RUN) is None
        (_, gone) = client.xrange("{dag-retry}:v1:events")[-1]
        assert (gone["event"], gone["reason"], gone["holder"], gone["attempt"]) == ("gone", "gone", "w:1", "1")
        assert client.hget("{dag-retry}:v1:stats", "gone") == "1"

    @pytest.mark.parametrize("other", ["another", "confirmed", "waiting"])
    def test_only_what_is_held(self, counter: AttemptCounter, other: str) -> None:
        won = claim(counter, delays=[HOUR] if other == "waiting" else [])
        if other == "another":
            won = won._replace(claim_id="another")
        elif other == "confirmed":
            counter.confirm(won)
        before = record(counter)
        assert not counter.forget(won)
        assert record(counter) == before


class TestWithdraw:
    def test_a_first_failure_leaves_no_record(self, counter: AttemptCounter, client: Any) -> None:
        assert counter.withdraw(claim(counter))
        assert counter.read(*RUN) is None
        assert client.zcard("{dag-retry}:v1:active") == 0
        assert (claim(counter).verdict, record(counter).attempt) == (Verdict.WON, 1)

    def test_a_later_failure_is_as_if_it_had_not_been_claimed(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter))
        won = claim(counter, 1)
        assert [counter.withdraw(won), counter.withdraw(won)] == [True, False]
        found = record(counter)
        assert (found.status, found.generation, found.attempt) == (Status.RETRYING, 0, 1)
        again = claim(counter, 1)
        assert (again.verdict, again.attempt) == (Verdict.WON, 2)

    def test_a_fresh_budget_stays_fresh(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter))
        counter.succeed(*RUN, generation=1)
        fresh = claim(counter, 2)
        assert (fresh.reason, fresh.attempt) == ("fresh_budget", 1)
        counter.withdraw(fresh)
        assert claim(counter, 2).attempt == 1

    def test_only_what_is_held(self, counter: AttemptCounter) -> None:
        won = claim(counter)
        counter.confirm(won)
        before = record(counter)
        assert not counter.withdraw(won)
        assert record(counter) == before


class TestAuditLog:
    """Airflow's audit log may know of attempts that Redis has forgotten."""

    def test_the_attempt_that_begins(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter, max_attempts=3)
        assert counter.confirm(won, attempt=2)
        assert (record(counter).status, record(counter).attempt) == (Status.RETRYING, 2)
        assert client.xrange("{dag-retry}:v1:events")[-1][1]["attempt"] == "2"
        assert told(claim(counter, 1, 3)) == ("won", "claimed", 3)

    def test_every_attempt_is_used(self, counter: AttemptCounter, client: Any) -> None:
        won = claim(counter, max_attempts=3)
        assert counter.exhaust(won, reason="audit_log", attempt=3)
        assert counter.exhaust(won, reason="audit_log", attempt=3)
        ended = record(counter)
        assert (ended.status, ended.reason, ended.attempt) == (Status.EXHAUSTED, "audit_log", 3)
        assert not ended.acknowledged
        assert counter.acknowledge(won)
        assert events(client) == ["won", "exhausted"]
        assert told(claim(counter)) == ("lost", "already_exhausted", 3)

    def test_a_claim_says_where_its_budget_began(self, counter: AttemptCounter, client: Any) -> None:
        assert claim(counter).base == 0
        counter.acknowledge(claim(counter, 2))
        won = claim(counter, 3)
        assert (won.base, won.reason) == (3, "fresh_budget")
        assert claim(counter, 3).base == 3
        lapse(client)
        taken = DueRuns(client).take(*RUN, holder="s")
        assert taken
        assert taken.base == 3


class TestMadeAnew:
    """A run was deleted, and another one has its id. Times are those of Airflow."""

    OLD = FailedTry("t", -1, "01934d8a-0000-7000-8000-000000000000")
    NEW = FailedTry("t", -1, "01934d8b-0000-7000-8000-000000000000")
    THEN, NOW = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 2, tzinfo=timezone.utc)

    @pytest.fixture(params=["retrying", "exhausted", "blocked", "skipped", "waiting", "claimed", "unclaimed"])
    def old(self, request: pytest.FixtureRequest, counter: AttemptCounter, client: Any) -> None:
        """The record of a run that was deleted."""
        how: dict[str, Any] = {"failed_try": self.OLD, "run_started": self.THEN}
        if request.param == "waiting":
            how["delays"] = [HOUR]
        won = claim(counter, 1, **how)
        if request.param == "retrying":
            counter.confirm(won)
        elif request.param == "exhausted":
            counter.exhaust(won, reason="audit_log", attempt=2)
        elif request.param == "blocked":
            counter.block(won, reason="http_403")
        elif request.param == "skipped":
            counter.skip(won, reason="backfill_ended")
        elif request.param == "unclaimed":
            counter.confirm(won)
            began = int(self.THEN.timestamp() * 1000)
            DueRuns(client).miss(*RUN, queued_at=0, grace=timedelta(0), holder="s", run_started=began)
        assert record(counter).run_started == self.THEN.timestamp() * 1000

    @pytest.mark.parametrize("generation", [0, 1])
    @pytest.mark.usefixtures("old")
    def test_the_new_run_has_a_budget_of_its_own(self, counter: AttemptCounter, client: Any, generation: int) -> None:
        new: Any = {"failed_try": self.NEW, "run_started": self.NOW}
        assert told(claim(counter, generation, 2, **new)) == ("won", "claimed", generation + 1)
        assert (record(counter).generation, record(counter).base) == (generation, 0)
        assert told(claim(counter, generation, **new)) == ("lost", "already_claimed", generation + 1)
        assert client.zcard("{dag-retry}:v1:attention") == 0
        assert client.zcard("{dag-retry}:v1:active") == 1

    @pytest.mark.usefixtures("old")
    @pytest.mark.parametrize(
        "how",
        [
            {"failed_try": NEW},
            {"failed_try": NEW, "run_started": THEN},
            {"run_started": NOW},
        ],
    )
    def test_a_late_callback_is_of_the_same_run(self, counter: AttemptCounter, how: Any) -> None:
        assert claim(counter, 0, **how).verdict is Verdict.LOST

    def test_a_run_that_was_queued_again_is_the_same(self, counter: AttemptCounter) -> None:
        """A person may queue a run without a clear: the run begins anew, and its tries are the same."""
        claim(counter, 1, failed_try=self.OLD, run_started=self.THEN)
        late = claim(counter, 1, failed_try=self.OLD, run_started=self.NOW)
        assert told(late) == ("lost", "already_claimed", 2)

    def test_a_clear_makes_both_younger_too(self, counter: AttemptCounter) -> None:
        assert counter.confirm(claim(counter, 0, failed_try=self.OLD, run_started=self.THEN))
        again = claim(counter, 1, failed_try=self.NEW, run_started=self.NOW)
        assert (told(again), again.base) == (("won", "claimed", 2), 0)

    def test_a_success_has_a_start_too(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, 0, failed_try=self.OLD, run_started=self.THEN))
        new: Any = {"failed_try": self.NEW, "run_started": self.NOW}
        assert counter.succeed(*RUN, generation=1, run_started=self.NOW)
        assert told(claim(counter, 1, **new)) == ("lost", "already_succeeded", 1)
        assert told(claim(counter, 0, **new | {"run_started": self.NOW + HOUR})) == ("won", "claimed", 1)

    def test_a_success_whose_start_is_unknown(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, 0, failed_try=self.OLD, run_started=self.THEN))
        assert counter.succeed(*RUN)
        assert record(counter).run_started == 0
        late = claim(counter, 1, failed_try=self.NEW, run_started=self.NOW)
        assert told(late) == ("lost", "already_succeeded", 1)

    def test_a_record_whose_try_is_unknown(self, counter: AttemptCounter) -> None:
        claim(counter, 1, run_started=self.THEN)
        assert told(claim(counter, 0, failed_try=self.NEW, run_started=self.NOW)) == ("won", "claimed", 1)


class TestKeys:
    def scores(self, client: Any, index: str) -> dict[str, float]:
        return dict(client.zrange("{dag-retry}:v1:" + index, 0, -1, withscores=True))

    def test_record(self, counter: AttemptCounter, client: Any) -> None:
        options: Any = {"run_on_latest_version", "only_failed"}
        claim(counter, failed_try=TRY, holder="worker-1:4711", claim_id="one", clear_options=options)
        claim(counter)
        fields = client.hgetall(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}")
        times = {name: int(fields.pop(name)) for name in ("budget_at", "updated_at", "due_at")}
        assert times["due_at"] - times["updated_at"] == 60_000
        assert times["budget_at"] == times["updated_at"]
        assert fields == {
            "status": "claimed", "reason": "claimed", "attempt": "1", "max_attempts": "2", "generation": "0",
            "base": "0", "lost": "1", "claim_id": "one", "level": "task", "task_id": "branch_b", "map_index": "3",
            "run_started": "0", "ti_id": "0199-aa", "error": "TimeoutError",
            "flags": "only_failed,run_on_latest_version",
        }  # fmt: skip
        found = record(counter)
        assert (found.lost, found.clear_options, found.acknowledged) == (1, options, False)

    def test_indexes_follow_the_status(self, counter: AttemptCounter, client: Any) -> None:
        interventions = Interventions(client)
        member = ":".join(RUN)

        def places() -> set[str]:
            """Return where the run is, once each place is what the record says."""
            held = {index: self.scores(client, index) for index in ("active", "attention")}
            scores = {index: scores[member] for index, scores in held.items() if member in scores}
            found = record(counter)
            if "active" in scores:
                expires = found.updated_at + timedelta(days=30) // timedelta(milliseconds=1)
                assert scores["active"] == (found.due_at or expires)
            assert scores.get("attention", found.updated_at) == found.updated_at
            assert all(not others.keys() - {member} for others in held.values())
            return set(scores)

        first = claim(counter)
        assert places() == {"active"}
        assert counter.renew(first)
        assert places() == {"active"}
        counter.confirm(first)
        assert places() == {"active"}
        retry(counter, 1)
        last = claim(counter, 2)
        assert places() == {"active", "attention"}
        counter.acknowledge(last)
        assert places() == {"attention"}
        refused = claim(counter, 3)
        assert places() == {"active"}
        counter.block(refused, reason="http_403")
        assert places() == {"active", "attention"}
        again = claim(counter, 3, takeover=True, level="dag")
        assert places() == {"active"}
        counter.postpone(again, reason="dag_paused", pause=HOUR)
        assert places() == {"active"}
        counter.succeed(*RUN, generation=4)
        assert places() == set()
        counter.skip(claim(counter, 5), reason="backfill_ended")
        assert places() == {"active", "attention"}
        settled = claim(counter, 6)
        counter.skip(settled, reason="settled_by_hand")
        assert places() == {"active"}
        counter.acknowledge(settled)
        assert places() == set()
        claim(counter, 7)
        counter.succeed(*RUN, generation=7)
        assert places() == set()
        last = claim(counter, 8)
        counter.exhaust(last, reason="audit_log")
        assert places() == {"active", "attention"}
        counter.forget(claim(counter, 9))
        assert not any(self.scores(client, index) for index in ("active", "attention"))
        claim(counter, 4, on_missing_record="start_fresh")
        assert interventions.cancel(*RUN)
        assert places() == {"attention"}
        claim(counter, 5, delays=[HOUR])
        assert places() == {"active"}
        interventions.hasten(*RUN)
        assert places() == {"active"}
        counter.succeed(*RUN, generation=6)
        assert places() == set()

    def test_events_have_the_same_fields(self, counter: AttemptCounter, client: Any) -> None:
        first = claim(counter, failed_try=TRY, holder="w:1")
        claim(counter, failed_try=TRY)
        counter.confirm(first)
        counter.block(claim(counter, 1), reason="http_403")
        claim(counter, 1, takeover=True, level="dag")
        counter.succeed(*RUN, generation=2)
        entries = [fields for _, fields in client.xrange("{dag-retry}:v1:events")]
        assert [(e["event"], e["reason"]) for e in entries] == [
            ("won", "claimed"),
            ("lost", "already_claimed"),
            ("cleared", "cleared"),
            ("won", "claimed"),
            ("blocked", "http_403"),
            ("taken_over", "taken_over"),
            ("succeeded", "succeeded"),
        ]
        assert len({tuple(e) for e in entries}) == 1
        assert [e["level"] for e in entries] == ["task"] * 5 + ["dag"] * 2
        assert entries[0] == {
            "event": "won", "dag_id": RUN[0], "run_id": RUN[1], "generation": "0", "attempt": "1", "max_attempts": "2",
            "reason": "claimed", "level": "task", "holder": "w:1", "task_id": "branch_b", "map_index": "3",
            "error": "TimeoutError",
        }  # fmt: skip

    def test_stats_count_for_all_and_for_each_dag(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0)
        claim(counter, 0)
        counter.claim("other", "r", generation=0, max_attempts=1)
        assert client.hgetall("{dag-retry}:v1:stats") == {"won": "2", "lost": "1", "cleared": "1"}
        assert client.hgetall("{dag-retry}:v1:stats:daily_load") == {"won": "1", "lost": "1", "cleared": "1"}
        assert client.hgetall("{dag-retry}:v1:stats:other") == {"won": "1"}

    def test_the_stream_is_trimmed(self, counter: AttemptCounter, client: Any) -> None:
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(10_500):
                pipeline.xadd("{dag-retry}:v1:events", {"event": "lost"})
            pipeline.execute()
        claim(counter)
        # Redis drops whole nodes of a stream, of 100 entries (stream-node-max-entries).
        assert 10_000 <= client.xlen("{dag-retry}:v1:events") <= 10_100
        assert events(client)[-1] == "won"

    def test_indexes_forget_what_has_expired(self, counter: AttemptCounter, client: Any) -> None:
        for index in ("active", "attention"):
            client.zadd("{dag-retry}:v1:" + index, {"gone:run": 1})
        claim(counter)
        assert all("gone:run" not in self.scores(client, index) for index in ("active", "attention"))

    def test_ttl_is_renewed_by_every_write(self, client: Any) -> None:
        counter = AttemptCounter(client, ttl=timedelta(hours=2))
        key = f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}"

        def renewed() -> bool:
            left = client.pttl(key)
            client.pexpire(key, 60_000)
            return bool(7_100_000 < left <= 7_200_000)

        won = claim(counter, max_attempts=1)
        assert renewed()
        counter.renew(won)
        assert renewed()
        counter.confirm(won)
        assert renewed()
        last = claim(counter, 1, max_attempts=1)
        assert renewed()
        counter.acknowledge(last)
        assert renewed()
        counter.succeed(*RUN, generation=2)
        assert renewed()

    def test_namespaces_are_apart(self, client: Any) -> None:
        one, other = AttemptCounter(client, namespace="one"), AttemptCounter(client, namespace="other")
        assert claim(one).verdict is claim(other).verdict is Verdict.WON
        assert {key.split(":")[0] for key in client.scan_iter()} == {"{one}", "{other}"}


class TestSharedKeys:
    """The keys that runs share carry a TTL from their first write on, and are tidied once a minute."""

    KEYS = ("active", "attention", "events", "stats", "stats:daily_load", "born")
    DAY = 24 * 3600 * 1000

    def ttls(self, client: Any) -> dict[str, int]:
        left = {name: client.pttl("{dag-retry}:v1:" + name) for name in self.KEYS}
        return {name: ttl for name, ttl in left.items() if ttl != -2}

    def end_soon(self, client: Any, but: str = "") -> None:
        for name in self.KEYS:
            if name != but:
                client.pexpire("{dag-retry}:v1:" + name, 30 * self.DAY - 61_000)

    @pytest.mark.parametrize(("ttl", "days"), [(timedelta(hours=2), 30), (timedelta(days=60), 60)])
    def test_they_outlive_every_record(self, client: Any, ttl: timedelta, days: int) -> None:
        counter = AttemptCounter(client, ttl=ttl)
        claim(counter, skip="disabled")
        found = self.ttls(client)
        assert set(found) == set(self.KEYS)
        assert all(days * self.DAY - 60_000 < left <= days * self.DAY for left in found.values())

    @pytest.mark.parametrize("other", [RUN, ("daily_load", "other"), ("stock", "other")])
    def test_an_index_that_empties_is_made_anew(
        self, counter: AttemptCounter, client: Any, other: tuple[str, str]
    ) -> None:
        """Within the minute in which nothing is tidied."""

        def told(skipped: Claim) -> None:
            counter.acknowledge(skipped)

        def over(skipped: Claim) -> None:
            counter.succeed(skipped.dag_id, skipped.run_id, generation=skipped.generation + 1)

        ends: dict[str, Callable[[Claim], None]] = {"active": told, "attention": over}
        for index, end in ends.items():
            client.flushall()
            end(counter.claim(*RUN, generation=0, max_attempts=2, skip="disabled"))
            assert index not in self.ttls(client)
            counter.claim(*other, generation=2, max_attempts=3, skip="disabled")
            assert self.ttls(client)[index] > 30 * self.DAY - 60_000

    def test_all_are_renewed_together(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, skip="disabled")
        claim(counter)
        self.end_soon(client)
        claim(counter)
        assert all(left > 30 * self.DAY - 60_000 for left in self.ttls(client).values())
        assert set(self.ttls(client)) == set(self.KEYS)

    def test_not_more_than_once_a_minute(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, skip="disabled")
        claim(counter)
        self.end_soon(client, but="stats:daily_load")
        claim(counter)
        found = self.ttls(client)
        assert found.pop("stats:daily_load") > 30 * self.DAY - 60_000
        assert all(left <= 30 * self.DAY - 61_000 for left in found.values())


# MONITOR and its speed are a real server's.
@pytest.mark.parametrize("client", ["redis"], indirect=True)
class TestWhatItCosts:
    def commands(self, client: Any, call: Callable[[], object]) -> Counter[str]:
        """Return the commands of the script behind a call, as the server tells of them."""
        with client.monitor() as monitor:
            client.echo("begin")
            call()
            client.echo("end")
            heard = iter(lambda: monitor.next_command()["command"], "ECHO end")
            script, *lines = list(dropwhile("ECHO begin".__ne__, heard))[1:]
        assert script.startswith("EVALSHA ")
        return Counter(line.split(" ", 1)[0] for line in lines)

    def test_a_claim(self, counter: AttemptCounter, client: Any) -> None:
        counter.claim(RUN[0], "before", generation=0, max_attempts=2)
        sent = self.commands(client, lambda: claim(counter))
        assert sent == Counter(TIME=1, HGETALL=1, HINCRBY=2, XADD=1, PTTL=1, ZADD=1, PEXPIRE=2, HSET=1)
        assert sent.total() <= 11

    def test_a_claim_that_loses(self, counter: AttemptCounter, client: Any) -> None:
        for _ in range(4):
            claim(counter)
        sent = self.commands(client, lambda: claim(counter))
        assert sent == Counter(TIME=1, HGETALL=1, HINCRBY=3, PTTL=1)

    def test_the_first_claim_of_all(self, counter: AttemptCounter, client: Any) -> None:
        counter.claim("other", "run", generation=0, max_attempts=2)
        client.flushall()
        sent = self.commands(client, lambda: claim(counter))
        assert (sent.pop("INFO"), sent.pop("EXISTS"), sent["HSET"]) == (1, 1, 2)
        assert sent.keys() == {
            "TIME", "HGETALL", "HINCRBY", "XADD", "ZADD", "PEXPIRE", "HSET", "ZREMRANGEBYSCORE"
        }  # fmt: skip

    def test_5000_losers_are_counted_and_three_of_them_told(self, counter: AttemptCounter, client: Any) -> None:
        """Thousands of mapped tasks may fail at once. What other runs have in the stream stays there."""
        counter.claim("other", "run", generation=0, max_attempts=2)
        won = claim(counter)
        for _ in range(5000):
            assert claim(counter).verdict is Verdict.LOST
        assert record(counter).lost == 5000
        assert events(client) == ["won", "won", "lost", "lost", "lost"]
        stats = {"won": "2", "lost": "5000"}
        assert client.hgetall("{dag-retry}:v1:stats") == stats
        assert client.hgetall("{dag-retry}:v1:stats:daily_load") == stats | {"won": "1"}
        # A holder that goes on has as many losers, and the next generation has its own.
        assert counter.confirm(won)
        assert record(counter).lost == 5000
        claim(counter)
        assert events(client)[5:] == ["cleared"]
        claim(counter, 1)
        assert record(counter).lost == 0
        for generation in (0, 1, 0, 1):
            claim(counter, generation)
        assert record(counter).lost == 4
        assert events(client)[6:] == ["won", "lost", "lost", "lost"]


class TestBadInput:
    @pytest.mark.parametrize("max_attempts", [0, -1, "3", 1.5, True, None])
    def test_max_attempts(self, counter: AttemptCounter, client: Any, max_attempts: Any) -> None:
        with pytest.raises(ConfigError, match="max_attempts is .* whole number, 1 or more"):
            claim(counter, max_attempts=max_attempts)
        assert client.keys() == []

    @pytest.mark.parametrize("generation", [-1, None, "0"])
    def test_generation(self, counter: AttemptCounter, generation: Any) -> None:
        with pytest.raises(ConfigError, match="generation"):
            claim(counter, generation)

    @pytest.mark.parametrize(
        ("dag_id", "run_id"), [("", "r"), ("a:b", "r"), ("a b", "r"), (None, "r"), ("d", ""), ("d", 3)]
    )
    def test_ids(self, counter: AttemptCounter, dag_id: Any, run_id: Any) -> None:
        with pytest.raises(ConfigError, match="dag_id is|run_id is"):
            counter.claim(dag_id, run_id, generation=0, max_attempts=1)

    @pytest.mark.parametrize(
        "options",
        [
            {"namespace": "a{b}"},
            {"namespace": ""},
            {"ttl": 3600},
            {"ttl": timedelta(0)},
            {"lease": timedelta(seconds=-1)},
            {"lease": timedelta(days=1), "ttl": timedelta(hours=1)},
        ],
    )
    def test_options(self, client: Any, options: Any) -> None:
        with pytest.raises(ConfigError, match="namespace is|ttl is|lease"):
            AttemptCounter(client, **options)

    def test_key_of_another_type(self, counter: AttemptCounter, client: Any) -> None:
        client.set(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}", "mine", ex=60)
        with pytest.raises(CounterError, match="WRONGTYPE"):
            claim(counter)
        with pytest.raises(CounterError, match="WRONGTYPE"):
            counter.read(*RUN)

    @pytest.mark.parametrize("key", ["active", "attention", "events", "stats", "stats:daily_load"])
    def test_nothing_is_claimed_where_a_key_is_of_another_type(
        self, counter: AttemptCounter, client: Any, key: str
    ) -> None:
        """And each key that was made before carries a TTL, as the fixture checks."""
        fake = type(client).__module__.startswith("fakeredis")
        if fake and key == "events" and Version(version("fakeredis")) < Version("2.39"):
            pytest.skip("fakeredis before 2.39 has another error for XADD to what is no stream")
        client.set("{dag-retry}:v1:" + key, "mine", ex=60)
        with pytest.raises(CounterError, match="WRONGTYPE"):
            claim(counter)
        assert counter.read(*RUN) is None

    def test_record_that_is_not_ours(self, counter: AttemptCounter, client: Any) -> None:
        key = f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}"
        client.hset(key, mapping={"schema": "2", "status": "paused"})
        client.expire(key, 60)
        with pytest.raises(CounterError, match="a key under one of our names is not ours"):
            claim(counter)
        with pytest.raises(CounterError, match="the record of run .* is not readable as schema v1: ValueError"):
            counter.read(*RUN)
        assert client.hgetall(key) == {"schema": "2", "status": "paused"}
        assert client.keys() == [key]

    def test_clients_that_do_not_decode(self, client: Any) -> None:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        client.connection_pool.disconnect()
        counter = AttemptCounter(client)
        assert retry(counter, 0).failed_try == FailedTry()
        assert counter.succeed(*RUN, generation=1) == record(counter)


def lapse(client: Any) -> None:
    """Let the lease of the run be over, as if its time had passed."""
    client.hset(f"{{dag-retry}}:v1:run:{RUN[0]}:{RUN[1]}", "due_at", "1")
