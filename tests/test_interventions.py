"""What a person does to a run: hasten, cancel, reset; on fakeredis and on a real Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dag_retry import AttemptCounter, Claim, CounterError, Status, Verdict
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import Overview
from tests.claims import RUN, claim, events, record

KEYS = Keys("dag-retry")


def waiting(counter: AttemptCounter, generation: int = 0, **options: Any) -> Claim:
    return claim(counter, generation, delays=[timedelta(hours=1)], **options)


def exhausted(counter: AttemptCounter) -> None:
    for generation in (0, 1):
        counter.confirm(claim(counter, generation))
    counter.acknowledge(claim(counter, 2))


class TestHasten:
    def test_a_waiting_run_is_due_at_once(self, counter: AttemptCounter, client: Any) -> None:
        waiting(counter, holder="worker:1")
        later = record(counter).due_at
        assert counter.hasten(*RUN, holder="ada@desk")
        hastened = record(counter)
        assert (hastened.status, hastened.attempt, hastened.due_at) == (Status.WAITING, 1, hastened.updated_at)
        assert hastened.due_at < later
        assert client.zscore(KEYS.index("active"), ":".join(RUN)) == hastened.due_at
        assert [event.holder for event in Overview(client).events()] == ["ada@desk", "worker:1"]

    def test_again_changes_nothing(self, counter: AttemptCounter, client: Any) -> None:
        waiting(counter)
        assert counter.hasten(*RUN)
        first = record(counter)
        assert counter.hasten(*RUN)
        assert record(counter) == first
        assert events(client) == ["won", "hastened"]

    def test_what_does_not_wait_stays(self, counter: AttemptCounter) -> None:
        assert not counter.hasten(*RUN)
        assert counter.read(*RUN) is None
        claim(counter)
        before = record(counter)
        assert not counter.hasten(*RUN)
        assert record(counter) == before


class TestCancel:
    @pytest.mark.parametrize("begin", [claim, waiting])
    def test_the_clear_to_come_is_none(self, counter: AttemptCounter, client: Any, begin: Any) -> None:
        won = begin(counter)
        assert counter.cancel(*RUN, holder="ada@desk")
        cancelled = record(counter)
        assert (cancelled.status, cancelled.reason, cancelled.due_at) == (Status.SKIPPED, "cancelled", 0)
        assert cancelled.acknowledged
        latest = Overview(client).events(limit=1)[0]
        assert (latest.event, latest.holder) == ("skipped", "ada@desk")
        assert not counter.renew(won)
        assert not counter.confirm(won)
        assert not counter.acknowledge(won)
        again = begin(counter, claim_id=won.claim_id)
        assert (again.verdict, again.reason) == (Verdict.LOST, "already_skipped")
        assert Overview(client).runs("attention").runs == [cancelled._replace(lost=1)]
        assert Overview(client).sizes().active == 0

    def test_again_changes_nothing(self, counter: AttemptCounter, client: Any) -> None:
        claim(counter)
        assert counter.cancel(*RUN)
        assert counter.cancel(*RUN)
        assert events(client) == ["won", "skipped"]

    def test_what_follows_a_clear_by_hand_is_a_fresh_budget(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, 0))
        claim(counter, 1)
        assert counter.cancel(*RUN)
        fresh = claim(counter, 2)
        assert (fresh.verdict, fresh.reason, fresh.attempt) == (Verdict.WON, "fresh_budget", 1)

    def test_what_is_cleared_or_ended_stays(self, counter: AttemptCounter) -> None:
        assert not counter.cancel(*RUN)
        counter.confirm(claim(counter))
        assert not counter.cancel(*RUN)
        assert record(counter).status is Status.RETRYING
        counter.acknowledge(claim(counter, 1))
        counter.succeed(*RUN)
        assert not counter.cancel(*RUN)


class TestReset:
    @pytest.mark.parametrize("begin", [claim, waiting])
    def test_a_clear_to_come_is_the_first_attempt(self, counter: AttemptCounter, begin: Any) -> None:
        counter.confirm(claim(counter, 0))
        won = begin(counter, 1)
        assert won.attempt == 2
        assert counter.reset(*RUN)
        assert (record(counter).attempt, record(counter).base) == (1, 1)
        if begin is claim:
            assert counter.confirm(won)
            assert claim(counter, 2).attempt == 2
            assert claim(counter, 3).verdict is Verdict.EXHAUSTED

    def test_an_attempt_under_way_is_none_of_the_new_budget(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, 0))
        counter.confirm(claim(counter, 1))
        assert counter.reset(*RUN)
        assert record(counter).attempt == 0
        assert claim(counter, 2).attempt == 1
        assert claim(counter, 3).attempt == 2
        assert claim(counter, 4).verdict is Verdict.EXHAUSTED

    def test_after_an_ending_a_clear_by_hand_has_all_attempts_also_where_they_are_kept(
        self, counter: AttemptCounter
    ) -> None:
        exhausted(counter)
        assert counter.reset(*RUN)
        assert record(counter).status is Status.EXHAUSTED
        assert claim(counter, 2).reason == "already_exhausted"
        assert claim(counter, 3, on_manual_clear="keep").attempt == 1

    def test_a_blocked_one_that_is_tried_again_is_its_first(self, counter: AttemptCounter) -> None:
        counter.confirm(claim(counter, 0))
        counter.block(claim(counter, 1), reason="http_403")
        assert counter.reset(*RUN)
        again = claim(counter, 1, takeover=True, level="dag")
        assert (again.verdict, again.attempt) == (Verdict.WON, 1)

    def test_again_changes_nothing(self, counter: AttemptCounter, client: Any) -> None:
        counter.confirm(claim(counter))
        assert counter.reset(*RUN, holder="ada@desk")
        first = record(counter)
        assert counter.reset(*RUN)
        assert record(counter) == first
        assert events(client) == ["won", "cleared", "reset"]
        assert Overview(client).events(limit=1)[0].holder == "ada@desk"

    def test_without_a_record(self, counter: AttemptCounter, client: Any) -> None:
        assert not counter.reset(*RUN)
        assert list(client.scan_iter()) == []


@pytest.mark.parametrize("verb", ["hasten", "cancel", "reset"])
def test_a_key_of_anothers_is_left_alone(counter: AttemptCounter, client: Any, verb: str) -> None:
    client.set(KEYS.run(*RUN), "mine", ex=60)
    with pytest.raises(CounterError, match="a key under one of our names is not ours"):
        getattr(counter, verb)(*RUN)
    assert client.get(KEYS.run(*RUN)) == "mine"
    assert client.keys() == [KEYS.run(*RUN)]
