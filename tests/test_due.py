"""Delays, skips, and what a sweeper takes, each on fakeredis and on a real Redis."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import redis

from dag_retry import AttemptCounter, ConfigError, CounterError, Verdict
from dag_retry._redis.due import DueRuns
from dag_retry._redis.overview import Overview
from dag_retry._redis.views import Unreadable
from tests.claims import RUN, TRY, claim, events, record, told
from tests.servers import until

KEY = "{dag-retry}:v1:run:" + ":".join(RUN)
ACTIVE = "{dag-retry}:v1:active"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def due(client: Any) -> DueRuns:
    return DueRuns(client)


def is_due(client: Any) -> None:
    """Let the time come at which the run is due: a delay or a lease ends."""
    client.hset(KEY, "due_at", "1")
    client.zadd(ACTIVE, {":".join(RUN): 1})


class TestDelay:
    def test_a_winner_with_a_delay_waits(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        won = claim(counter, delays=[HOUR])
        assert told(won) == ("won", "claimed", 1)
        found = record(counter)
        assert (found.status.value, found.due_at) == ("waiting", won.due_at)
        assert won.due_at - found.updated_at == 3_600_000
        assert client.zscore(ACTIVE, ":".join(RUN))
        assert due.read()[0] == []

    def test_each_attempt_has_its_delay_and_the_last_one_holds(self, counter: AttemptCounter) -> None:
        waits = []
        for generation in range(4):
            won = claim(counter, generation, 4, delays=[timedelta(0), HOUR, 2 * HOUR])
            waits.append(won.due_at - record(counter).updated_at if won.due_at else 0)
            counter.confirm(won)
        assert waits == [0, 3_600_000, 7_200_000, 7_200_000]

    def test_the_same_claim_asked_again_waits_until_the_same_time(self, counter: AttemptCounter) -> None:
        won = claim(counter, delays=[HOUR], claim_id="one")
        assert claim(counter, delays=[2 * HOUR], claim_id="one") == won

    def test_nobody_takes_over_while_it_waits(self, counter: AttemptCounter, due: DueRuns) -> None:
        claim(counter, delays=[HOUR])
        assert told(claim(counter, takeover=True, level="dag")) == ("lost", "already_waiting", 1)
        assert due.take(*RUN, holder="s") is None

    def test_a_callback_takes_it_once_it_is_due(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter, delays=[HOUR], failed_try=TRY)
        is_due(client)
        taken = claim(counter, level="dag", delays=[HOUR])
        assert told(taken) == ("won", "due", 1)
        assert (taken.failed_try, taken.due_at) == (TRY, 0)

    def test_an_attempt_that_would_begin_too_late_is_exhausted(self, counter: AttemptCounter) -> None:
        assert told(claim(counter, delays=[HOUR], max_elapsed=MINUTE)) == ("exhausted", "max_elapsed", 0)

    def test_elapsed_time_counts_from_the_budgets_first_failure(self, counter: AttemptCounter, client: Any) -> None:
        counter.confirm(claim(counter, max_attempts=9))
        client.hset(KEY, "budget_at", str(record(counter).budget_at - 61_000))
        last = claim(counter, 1, 9, max_elapsed=MINUTE)
        assert told(last) == ("exhausted", "max_elapsed", 1)
        counter.acknowledge(last)
        # A person clears it: a fresh budget, and its time begins anew.
        assert told(claim(counter, 2, 9, max_elapsed=MINUTE)) == ("won", "fresh_budget", 1)

    @pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(days=30)])
    def test_a_delay_that_no_record_can_keep(self, counter: AttemptCounter, delay: timedelta) -> None:
        with pytest.raises(ConfigError, match="a delay is"):
            claim(counter, delays=[delay])


class TestSkip:
    def test_a_skip_is_an_ending(self, counter: AttemptCounter, client: Any) -> None:
        skipped = claim(counter, skip="exception_not_retryable")
        assert told(skipped) == ("skipped", "exception_not_retryable", 0)
        assert counter.acknowledge(skipped)
        assert record(counter).status.value == "skipped"
        assert client.zscore("{dag-retry}:v1:attention", ":".join(RUN))
        assert told(claim(counter, takeover=True, level="dag")) == ("lost", "already_skipped", 0)
        assert told(claim(counter, 1)) == ("won", "fresh_budget", 1)
        assert events(client) == ["skipped", "lost", "won"]

    def test_who_is_first_decides(self, counter: AttemptCounter) -> None:
        claim(counter)
        assert told(claim(counter, skip="exception_not_retryable")) == ("lost", "already_claimed", 1)

    def test_a_used_up_budget_is_told_as_such(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, max_attempts=1))
        assert told(claim(counter, 1, 1, skip="exception_not_retryable")) == ("exhausted", "max_attempts", 1)

    def test_one_that_nobody_was_told_of_is_told_again(self, counter: AttemptCounter) -> None:
        claim(counter, skip="disabled", claim_id="one")
        assert told(claim(counter, skip="disabled", claim_id="one")) == ("skipped", "disabled", 0)
        again = claim(counter, takeover=True, level="dag")
        assert told(again) == ("skipped", "disabled", 0)
        assert counter.acknowledge(again)

    def test_a_winner_may_find_a_reason(self, counter: AttemptCounter) -> None:
        won = claim(counter)
        assert counter.skip(won, reason="dag_paused")
        assert counter.skip(won, reason="dag_paused")
        assert not counter.confirm(won)
        found = record(counter)
        assert (found.status.value, found.reason, found.acknowledged) == ("skipped", "dag_paused", False)


class TestTake:
    def test_what_waited_is_taken_by_one(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter, delays=[HOUR], failed_try=TRY, clear_options=["only_failed"])
        is_due(client)
        assert due.read()[0] == [RUN]
        taken = due.take(*RUN, holder="sweeper:1")
        assert taken is not None
        assert told(taken) == ("won", "due", 1)
        assert (taken.failed_try, taken.clear_options, taken.generation) == (TRY, frozenset({"only_failed"}), 0)
        assert record(counter).level == "sweeper"
        assert due.take(*RUN, holder="sweeper:2") is None
        assert counter.renew(taken)
        assert counter.confirm(taken)
        assert events(client) == ["won", "cleared"]

    def test_what_a_dead_holder_left(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        won = claim(counter, failed_try=TRY)
        is_due(client)
        taken = due.take(*RUN, holder="sweeper:1")
        assert told(taken) == ("won", "taken_over", 1)
        assert not counter.renew(won)
        # A Dag-level callback never takes over from a sweeper.
        assert told(claim(counter, takeover=True, level="dag")) == ("lost", "already_claimed", 1)

    @pytest.mark.parametrize("ending", ["exhausted", "skipped"])
    def test_an_ending_that_nobody_was_told_of(
        self, counter: AttemptCounter, due: DueRuns, client: Any, ending: str
    ) -> None:
        claim(counter, 2, 2, skip="disabled") if ending == "exhausted" else claim(counter, skip="disabled")
        is_due(client)
        taken = due.take(*RUN, holder="sweeper:1")
        assert taken is not None
        assert taken.verdict is Verdict(ending)
        assert counter.acknowledge(taken)
        assert due.read() == ([], None)

    def test_a_blocked_one_is_tried_once_more(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.block(claim(counter), reason="http_403")
        is_due(client)
        assert told(due.take(*RUN, holder="sweeper:1")) == ("won", "taken_over", 1)

    def test_says_when_the_next_is_due(self, counter: AttemptCounter, due: DueRuns) -> None:
        assert due.read() == ([], None)
        claim(counter, delays=[HOUR])
        runs, wait = due.read()
        assert runs == []
        assert wait is not None
        assert timedelta(minutes=59) < wait <= HOUR

    def test_a_run_that_is_retried_is_looked_at_when_its_record_ends(self, client: Any) -> None:
        """Nobody told of its success: then the index need not hold the run any longer."""
        kept: dict[str, Any] = {"ttl": timedelta(days=40)}
        counter, due = AttemptCounter(client, **kept), DueRuns(client, **kept)
        counter.confirm(claim(counter))
        runs, wait = due.read()
        assert runs == []
        assert wait is not None
        assert timedelta(days=40) - MINUTE < wait <= timedelta(days=40)

    def test_a_record_that_has_ended_leaves_the_index(self, client: Any) -> None:
        kept: dict[str, Any] = {"ttl": timedelta(milliseconds=100)}
        counter = AttemptCounter(client, **kept, lease=timedelta(milliseconds=50))
        counter.confirm(claim(counter))
        due = DueRuns(client)
        until(lambda: due.read()[0] == [RUN] and counter.read(*RUN) is None)
        assert due.take(*RUN, holder="sweeper:1") is None
        assert due.read() == ([], None)


class TestAnIndexThatDisagrees:
    """Whatever it says of a run, the record is right; and what has been looked at is not due for ever."""

    def test_the_run_waits(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        won = claim(counter, delays=[HOUR])
        assert self.swept(due, client) == won.due_at

    def test_the_run_is_retried(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.confirm(claim(counter))
        client.pexpire(KEY, 5_000_000)
        assert 4_900_000 < self.swept(due, client) - record(counter).updated_at <= 5_060_000

    def test_the_run_is_retried_and_somebody_took_its_ttl_away(
        self, counter: AttemptCounter, due: DueRuns, client: Any
    ) -> None:
        counter.confirm(claim(counter))
        client.persist(KEY)
        days = timedelta(days=30) // timedelta(milliseconds=1)
        assert days <= self.swept(due, client) - record(counter).updated_at < days + 60_000
        client.pexpire(KEY, days)

    def test_another_has_taken_the_run(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        assert self.swept(due, client) == record(counter).due_at

    def test_the_ending_was_told(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.acknowledge(claim(counter, skip="disabled"))
        assert self.swept(due, client) is None

    def test_the_run_succeeded(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.confirm(claim(counter))
        counter.succeed(*RUN)
        assert self.swept(due, client) is None

    def test_the_record_is_lost(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        client.delete(KEY)
        assert self.swept(due, client) is None

    def test_the_index_holds_what_is_no_run(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        client.zadd(ACTIVE, {"no run": 1, "daily load:run": 2, "daily_load:": 3, ":".join(RUN): 4})
        assert due.read()[0] == [RUN]
        assert client.zrange(ACTIVE, 0, -1) == [":".join(RUN)]

    def test_the_index_holds_bytes_that_are_no_text(self, redis_url: str) -> None:
        with closing(redis.Redis.from_url(redis_url)) as client:
            client.flushall()
            client.zadd(ACTIVE, {b"daily_load:\xff": 1})
            assert DueRuns(client).read() == ([], None)
            assert client.zcard(ACTIVE) == 0

    def swept(self, due: DueRuns, client: Any) -> Any:
        """Sweep, with an index that says that the run is due; return what the index says then."""
        before = client.hgetall(KEY)
        client.zadd(ACTIVE, {":".join(RUN): 1})
        client.pexpire(ACTIVE, HOUR)
        assert due.read()[0] == [RUN]
        assert due.take(*RUN, holder="sweeper:1") is None
        assert due.read()[0] == []
        assert client.hgetall(KEY) == before
        return client.zscore(ACTIVE, ":".join(RUN))


class TestARecordThatCantBeRead:
    """A person, or another program, wrote it. The run is put aside: it needs a human, and stops no other."""

    @pytest.mark.parametrize("fields", [("due_at", "status"), ("status",), ("base",)])
    def test_it_lacks_fields(self, counter: AttemptCounter, due: DueRuns, client: Any, fields: tuple[str, ...]) -> None:
        claim(counter)
        is_due(client)
        client.hdel(KEY, *fields)
        with pytest.raises(CounterError, match="schema v1"):
            due.take(*RUN, holder="sweeper:1")
        self.put_aside(due, client)

    def test_its_key_holds_something_else(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        client.delete(KEY)
        client.set(KEY, "?", ex=100_000)
        client.zadd(ACTIVE, {":".join(RUN): 1})
        with pytest.raises(CounterError, match="a key under one of our names is not ours"):
            due.take(*RUN, holder="sweeper:1")
        self.put_aside(due, client)

    def put_aside(self, due: DueRuns, client: Any) -> None:
        due.quarantine(*RUN, pause=HOUR)
        runs, wait = due.read()
        assert runs == []
        assert wait is not None
        assert timedelta(minutes=59) < wait <= HOUR
        (shown,) = Overview(client).runs("attention").runs
        assert isinstance(shown, Unreadable)
        assert (shown.dag_id, shown.run_id) == RUN

    def test_it_was_repaired(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        due.quarantine(*RUN, pause=timedelta(0))
        is_due(client)
        assert told(due.take(*RUN, holder="sweeper:1")) == ("won", "taken_over", 1)
        assert client.zrange("{dag-retry}:v1:attention", 0, -1) == []

    def test_it_was_deleted(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        due.quarantine(*RUN, pause=timedelta(0))
        client.delete(KEY)
        assert due.take(*RUN, holder="sweeper:1") is None
        assert due.read() == ([], None)
        assert client.zrange("{dag-retry}:v1:attention", 0, -1) == []


class TestPostpone:
    def after(self, client: Any, counter: AttemptCounter) -> float:
        """Return the pause, in minutes."""
        found = record(counter)
        assert client.zscore(ACTIVE, ":".join(RUN)) == found.due_at
        return (found.due_at - found.updated_at) / 60_000

    def put_off(self, counter: AttemptCounter, due: DueRuns, client: Any) -> Any:
        is_due(client)
        taken = due.take(*RUN, holder="sweeper:1")
        assert taken is not None
        assert counter.postpone(taken, reason="http_503", pause=MINUTE, longest=HOUR)
        return taken

    def test_the_pause_grows(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        pauses = []
        for _ in range(8):
            self.put_off(counter, due, client)
            pauses.append(self.after(client, counter))
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
        found = record(counter)
        assert (found.status.value, found.reason, found.attempt, found.faults) == ("waiting", "http_503", 1, 8)

    def test_a_repeat_counts_once(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        taken = self.put_off(counter, due, client)
        assert counter.postpone(taken, reason="http_503", pause=MINUTE, longest=HOUR)
        assert (record(counter).faults, self.after(client, counter)) == (1, 1)

    def test_the_faults_end_with_the_claim(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        claim(counter)
        assert "faults" not in client.hgetall(KEY)
        self.put_off(counter, due, client)
        is_due(client)
        again = due.take(*RUN, holder="sweeper:1")
        assert again is not None
        assert counter.confirm(again)
        assert record(counter).faults == 0

    def test_no_claim_begins_with_faults(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        """The run was cleared, and Airflow did not say so. It failed again."""
        claim(counter)
        self.put_off(counter, due, client)
        assert told(claim(counter, 1)) == ("won", "claimed", 2)
        assert record(counter).faults == 0

    @pytest.mark.parametrize("ending", ["exhausted", "skipped", "blocked"])
    def test_an_ending_that_cant_be_told(self, counter: AttemptCounter, due: DueRuns, client: Any, ending: str) -> None:
        if ending == "exhausted":
            ended = claim(counter, 2)
        elif ending == "skipped":
            ended = claim(counter, skip="disabled")
        else:
            ended = claim(counter)
            counter.block(ended, reason="http_403")
        reason = record(counter).reason
        assert counter.postpone(ended, reason="sweeper_failed", pause=MINUTE, longest=HOUR)
        found = record(counter)
        assert (found.status.value, found.reason, found.faults) == (ending, reason, 1)
        assert self.after(client, counter) == 1
        assert counter.acknowledge(ended)
        assert (record(counter).faults, due.read()) == (0, ([], None))
        assert not counter.postpone(ended, reason="sweeper_failed", pause=MINUTE, longest=HOUR)

    def test_no_record_is_outlived_by_its_pause(self, client: Any) -> None:
        kept = AttemptCounter(client, ttl=timedelta(minutes=3))
        won = claim(kept)
        for _ in range(3):
            client.hset(KEY, mapping={"status": "claimed", "reason": "due"})
            assert kept.postpone(won, reason="http_503", pause=MINUTE, longest=HOUR)
        assert self.after(client, kept) == 2


class TestMiss:
    """A run failed, and no callback told us."""

    def miss(self, due: DueRuns, queued_at: int = 0, grace: timedelta = timedelta(0)) -> bool:
        return due.miss(*RUN, queued_at=queued_at, grace=grace, holder="sweeper:1")

    def test_a_run_that_nobody_knows(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        assert self.miss(due)
        found = record(counter)
        assert (found.status.value, found.reason, found.generation, found.attempt) == ("unclaimed", "no_callback", 0, 0)
        assert (found.level, found.due_at, found.lost) == ("sweeper", 0, 0)
        assert client.zscore("{dag-retry}:v1:attention", ":".join(RUN))
        assert not self.miss(due)
        assert events(client) == ["unclaimed"]

    def test_a_callback_that_comes_after_all_wins(self, counter: AttemptCounter, due: DueRuns) -> None:
        self.miss(due)
        assert told(claim(counter)) == ("won", "claimed", 1)

    def test_one_that_was_retried_and_failed_again(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.confirm(claim(counter))
        assert self.miss(due)
        assert client.zscore(ACTIVE, ":".join(RUN)) is None
        assert told(claim(counter)) == ("lost", "stale", 1)
        assert told(claim(counter, 1)) == ("won", "claimed", 2)

    def test_the_cap_holds(self, counter: AttemptCounter, due: DueRuns, client: Any) -> None:
        counter.confirm(claim(counter, max_attempts=1))
        client.flushall()
        self.miss(due)
        assert told(claim(counter, 1, 1)) == ("exhausted", "generation", 1)

    def test_one_in_somebodys_hand(self, counter: AttemptCounter, due: DueRuns) -> None:
        claim(counter)
        assert not self.miss(due, queued_at=9_999_999_999_999)
        assert record(counter).status.value == "claimed"

    def test_one_that_changed_a_moment_ago(self, counter: AttemptCounter, due: DueRuns) -> None:
        counter.confirm(claim(counter))
        assert not self.miss(due, grace=MINUTE)

    @pytest.mark.parametrize("ending", ["exhausted", "skipped", "succeeded"])
    def test_an_ending_stands_until_the_run_is_cleared(
        self, counter: AttemptCounter, due: DueRuns, ending: str
    ) -> None:
        if ending == "exhausted":
            counter.acknowledge(claim(counter, 2))
        elif ending == "skipped":
            counter.acknowledge(claim(counter, skip="disabled"))
        else:
            counter.confirm(claim(counter))
            counter.succeed(*RUN, generation=1)
        updated_at = record(counter).updated_at
        assert not self.miss(due, queued_at=updated_at)
        assert self.miss(due, queued_at=updated_at + 61_000)
        assert record(counter).status.value == "unclaimed"
