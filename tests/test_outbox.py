"""Delays, skips, and what a sweeper takes, each on fakeredis and on a real Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dag_retry import ConfigError, Verdict
from dag_retry._redis.due import Outbox
from tests.claims import RUN, TRY, claim, events, record, told

KEY = "{dag-retry}:v1:run:" + ":".join(RUN)
DUE = "{dag-retry}:v1:due"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def outbox(client: Any) -> Outbox:
    return Outbox(client)


def is_due(client: Any) -> None:
    """Let the time come at which the run is due: a delay or a lease ends."""
    client.hset(KEY, "due_at", "1")
    client.zadd(DUE, {":".join(RUN): 1})


class TestDelay:
    def test_a_winner_with_a_delay_waits(self, outbox: Outbox, client: Any) -> None:
        won = claim(outbox, delays=[HOUR])
        assert told(won) == ("won", "claimed", 1)
        found = record(outbox)
        assert (found.status.value, found.due_at) == ("waiting", won.due_at)
        assert won.due_at - found.updated_at == 3_600_000
        assert client.zscore("{dag-retry}:v1:active", ":".join(RUN))
        assert outbox.due()[0] == []

    def test_each_attempt_has_its_delay_and_the_last_one_holds(self, outbox: Outbox) -> None:
        waits = []
        for generation in range(4):
            won = claim(outbox, generation, 4, delays=[timedelta(0), HOUR, 2 * HOUR])
            waits.append(won.due_at - record(outbox).updated_at if won.due_at else 0)
            outbox.confirm(won)
        assert waits == [0, 3_600_000, 7_200_000, 7_200_000]

    def test_the_same_claim_asked_again_waits_until_the_same_time(self, outbox: Outbox) -> None:
        won = claim(outbox, delays=[HOUR], claim_id="one")
        assert claim(outbox, delays=[2 * HOUR], claim_id="one") == won

    def test_nobody_takes_over_while_it_waits(self, outbox: Outbox) -> None:
        claim(outbox, delays=[HOUR])
        assert told(claim(outbox, takeover=True, level="dag")) == ("lost", "already_waiting", 1)
        assert outbox.take(*RUN, holder="s") is None

    def test_a_callback_takes_it_once_it_is_due(self, outbox: Outbox, client: Any) -> None:
        claim(outbox, delays=[HOUR], failed_try=TRY)
        is_due(client)
        taken = claim(outbox, level="dag", delays=[HOUR])
        assert told(taken) == ("won", "due", 1)
        assert (taken.failed_try, taken.due_at) == (TRY, 0)

    def test_an_attempt_that_would_begin_too_late_is_exhausted(self, outbox: Outbox) -> None:
        assert told(claim(outbox, delays=[HOUR], max_elapsed=MINUTE)) == ("exhausted", "max_elapsed", 0)

    def test_elapsed_time_counts_from_the_budgets_first_failure(self, outbox: Outbox, client: Any) -> None:
        outbox.confirm(claim(outbox, max_attempts=9))
        client.hset(KEY, "budget_at", str(record(outbox).budget_at - 61_000))
        last = claim(outbox, 1, 9, max_elapsed=MINUTE)
        assert told(last) == ("exhausted", "max_elapsed", 1)
        outbox.acknowledge(last)
        # A person clears it: a fresh budget, and its time begins anew.
        assert told(claim(outbox, 2, 9, max_elapsed=MINUTE)) == ("won", "fresh_budget", 1)

    @pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(days=30)])
    def test_a_delay_that_no_record_can_keep(self, outbox: Outbox, delay: timedelta) -> None:
        with pytest.raises(ConfigError, match="a delay is"):
            claim(outbox, delays=[delay])


class TestSkip:
    def test_a_skip_is_an_ending(self, outbox: Outbox, client: Any) -> None:
        skipped = claim(outbox, skip="exception_not_retryable")
        assert told(skipped) == ("skipped", "exception_not_retryable", 0)
        assert outbox.acknowledge(skipped)
        assert record(outbox).status.value == "skipped"
        assert client.zscore("{dag-retry}:v1:attention", ":".join(RUN))
        assert told(claim(outbox, takeover=True, level="dag")) == ("lost", "already_skipped", 0)
        assert told(claim(outbox, 1)) == ("won", "fresh_budget", 1)
        assert events(client) == ["skipped", "lost", "won"]

    def test_who_is_first_decides(self, outbox: Outbox) -> None:
        claim(outbox)
        assert told(claim(outbox, skip="exception_not_retryable")) == ("lost", "already_claimed", 1)

    def test_a_used_up_budget_is_told_as_such(self, outbox: Outbox) -> None:
        outbox.confirm(claim(outbox, max_attempts=1))
        assert told(claim(outbox, 1, 1, skip="exception_not_retryable")) == ("exhausted", "max_attempts", 1)

    def test_one_that_nobody_was_told_of_is_told_again(self, outbox: Outbox) -> None:
        claim(outbox, skip="disabled", claim_id="one")
        assert told(claim(outbox, skip="disabled", claim_id="one")) == ("skipped", "disabled", 0)
        again = claim(outbox, takeover=True, level="dag")
        assert told(again) == ("skipped", "disabled", 0)
        assert outbox.acknowledge(again)

    def test_a_winner_may_find_a_reason(self, outbox: Outbox) -> None:
        won = claim(outbox)
        assert outbox.skip(won, reason="dag_paused")
        assert outbox.skip(won, reason="dag_paused")
        assert not outbox.confirm(won)
        found = record(outbox)
        assert (found.status.value, found.reason, found.acknowledged) == ("skipped", "dag_paused", False)


class TestTake:
    def test_what_waited_is_taken_by_one(self, outbox: Outbox, client: Any) -> None:
        claim(outbox, delays=[HOUR], failed_try=TRY, options=["only_failed"])
        is_due(client)
        assert outbox.due()[0] == [RUN]
        taken = outbox.take(*RUN, holder="sweeper:1")
        assert taken is not None
        assert told(taken) == ("won", "due", 1)
        assert (taken.failed_try, taken.options, taken.generation) == (TRY, frozenset({"only_failed"}), 0)
        assert record(outbox).level == "sweeper"
        assert outbox.take(*RUN, holder="sweeper:2") is None
        assert outbox.renew(taken)
        assert outbox.confirm(taken)
        assert events(client) == ["won", "cleared"]

    def test_what_a_dead_holder_left(self, outbox: Outbox, client: Any) -> None:
        won = claim(outbox, failed_try=TRY)
        is_due(client)
        taken = outbox.take(*RUN, holder="sweeper:1")
        assert told(taken) == ("won", "taken_over", 1)
        assert not outbox.renew(won)
        # A Dag-level callback never takes over from a sweeper.
        assert told(claim(outbox, takeover=True, level="dag")) == ("lost", "already_claimed", 1)

    @pytest.mark.parametrize("ending", ["exhausted", "skipped"])
    def test_an_ending_that_nobody_was_told_of(self, outbox: Outbox, client: Any, ending: str) -> None:
        claim(outbox, 2, 2, skip="disabled") if ending == "exhausted" else claim(outbox, skip="disabled")
        is_due(client)
        taken = outbox.take(*RUN, holder="sweeper:1")
        assert taken is not None
        assert taken.verdict is Verdict(ending)
        assert outbox.acknowledge(taken)
        assert outbox.due() == ([], None)

    def test_a_blocked_one_is_tried_once_more(self, outbox: Outbox, client: Any) -> None:
        outbox.block(claim(outbox), reason="http_403")
        is_due(client)
        assert told(outbox.take(*RUN, holder="sweeper:1")) == ("won", "taken_over", 1)

    def test_an_entry_whose_record_is_lost_is_removed(self, outbox: Outbox, client: Any) -> None:
        claim(outbox)
        is_due(client)
        client.delete(KEY)
        assert outbox.due()[0] == [RUN]
        assert outbox.take(*RUN, holder="sweeper:1") is None
        assert outbox.due() == ([], None)

    def test_says_when_the_next_is_due(self, outbox: Outbox) -> None:
        assert outbox.due() == ([], None)
        claim(outbox, delays=[HOUR])
        runs, wait = outbox.due()
        assert runs == []
        assert wait is not None
        assert timedelta(minutes=59) < wait <= HOUR

    def test_knows_the_dags(self, outbox: Outbox) -> None:
        claim(outbox)
        outbox.claim("other", "r", generation=0, max_attempts=1)
        assert outbox.dag_ids() == {"daily_load", "other"}


class TestMiss:
    """A run failed, and no callback told us."""

    def miss(self, outbox: Outbox, queued_at: int = 0, grace: timedelta = timedelta(0)) -> bool:
        return outbox.miss(*RUN, queued_at=queued_at, grace=grace, holder="sweeper:1")

    def test_a_run_that_nobody_knows(self, outbox: Outbox, client: Any) -> None:
        assert self.miss(outbox)
        found = record(outbox)
        assert (found.status.value, found.reason, found.generation, found.attempt) == (
            "unclaimed",
            "lost_callback",
            0,
            0,
        )
        assert client.zscore("{dag-retry}:v1:attention", ":".join(RUN))
        assert not self.miss(outbox)
        assert events(client) == ["unclaimed"]

    def test_a_callback_that_comes_after_all_wins(self, outbox: Outbox) -> None:
        self.miss(outbox)
        assert told(claim(outbox)) == ("won", "claimed", 1)

    def test_one_that_was_retried_and_failed_again(self, outbox: Outbox) -> None:
        outbox.confirm(claim(outbox))
        assert self.miss(outbox)
        assert told(claim(outbox)) == ("lost", "stale", 1)
        assert told(claim(outbox, 1)) == ("won", "claimed", 2)

    def test_the_cap_holds(self, outbox: Outbox, client: Any) -> None:
        outbox.confirm(claim(outbox, max_attempts=1))
        client.flushall()
        self.miss(outbox)
        assert told(claim(outbox, 1, 1)) == ("exhausted", "generation", 1)

    def test_one_in_somebodys_hand(self, outbox: Outbox) -> None:
        claim(outbox)
        assert not self.miss(outbox, queued_at=9_999_999_999_999)
        assert record(outbox).status.value == "claimed"

    def test_one_that_changed_a_moment_ago(self, outbox: Outbox) -> None:
        outbox.confirm(claim(outbox))
        assert not self.miss(outbox, grace=MINUTE)

    @pytest.mark.parametrize("ending", ["exhausted", "skipped", "succeeded"])
    def test_an_ending_stands_until_the_run_is_cleared(self, outbox: Outbox, ending: str) -> None:
        if ending == "exhausted":
            outbox.acknowledge(claim(outbox, 2))
        elif ending == "skipped":
            outbox.acknowledge(claim(outbox, skip="disabled"))
        else:
            outbox.confirm(claim(outbox))
            outbox.succeed(*RUN, generation=1)
        updated_at = record(outbox).updated_at
        assert not self.miss(outbox, queued_at=updated_at)
        assert self.miss(outbox, queued_at=updated_at + 61_000)
        assert record(outbox).status.value == "unclaimed"


def test_another_counters_attempts_are_taken_over(outbox: Outbox) -> None:
    """Of three clears two were retries: so many does the how-to's Variable hold."""
    assert told(claim(outbox, 3, 3, on_missing_record=2)) == ("won", "claimed", 3)
    assert (record(outbox).base, record(outbox).attempt) == (1, 3)


def test_another_counters_attempts_without_clears(outbox: Outbox) -> None:
    assert told(claim(outbox, 0, 3, on_missing_record=3)) == ("exhausted", "max_attempts", 3)
