"""What a person does to a run: hasten, cancel, reset; on fakeredis and on a real Redis."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dag_retry import AttemptCounter, Claim, CounterError, FailedTry, Status, Verdict
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys
from dag_retry._redis.overview import Overview
from tests.claims import RUN, TRY, claim, events, record, told

KEYS = Keys("dag-retry")


@pytest.fixture
def interventions(client: Any) -> Interventions:
    return Interventions(client)


def waiting(counter: AttemptCounter, generation: int = 0, **options: Any) -> Claim:
    return claim(counter, generation, delays=[timedelta(hours=1)], **options)


def exhausted(counter: AttemptCounter) -> None:
    for generation in (0, 1):
        counter.confirm(claim(counter, generation))
    counter.acknowledge(claim(counter, 2))


class TestHasten:
    def test_a_waiting_run_is_due_at_once(
        self, counter: AttemptCounter, interventions: Interventions, client: Any
    ) -> None:
        waiting(counter, holder="worker:1")
        later = record(counter).due_at
        assert interventions.hasten(*RUN, holder="ada@desk")
        hastened = record(counter)
        assert (hastened.status, hastened.attempt, hastened.due_at) == (Status.WAITING, 1, hastened.updated_at)
        assert hastened.due_at < later
        assert client.zscore(KEYS.index("active"), ":".join(RUN)) == hastened.due_at
        assert [event.holder for event in Overview(client).events()] == ["ada@desk", "worker:1"]

    def test_again_changes_nothing(self, counter: AttemptCounter, interventions: Interventions, client: Any) -> None:
        waiting(counter)
        assert interventions.hasten(*RUN)
        first = record(counter)
        assert interventions.hasten(*RUN)
        assert record(counter) == first
        assert events(client) == ["won", "hastened"]

    def test_what_does_not_wait_stays(self, counter: AttemptCounter, interventions: Interventions) -> None:
        assert not interventions.hasten(*RUN)
        assert counter.read(*RUN) is None
        claim(counter)
        before = record(counter)
        assert not interventions.hasten(*RUN)
        assert record(counter) == before


class TestCancel:
    @pytest.mark.parametrize("begin", [claim, waiting])
    def test_the_clear_to_come_is_none(
        self, counter: AttemptCounter, interventions: Interventions, client: Any, begin: Any
    ) -> None:
        won = begin(counter)
        assert interventions.cancel(*RUN, holder="ada@desk")
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

    def test_again_changes_nothing(self, counter: AttemptCounter, interventions: Interventions, client: Any) -> None:
        claim(counter)
        assert interventions.cancel(*RUN)
        assert interventions.cancel(*RUN)
        assert events(client) == ["won", "skipped"]

    def test_what_follows_a_clear_by_hand_is_a_fresh_budget(
        self, counter: AttemptCounter, interventions: Interventions
    ) -> None:
        counter.confirm(claim(counter, 0))
        claim(counter, 1)
        assert interventions.cancel(*RUN)
        fresh = claim(counter, 2)
        assert (fresh.verdict, fresh.reason, fresh.attempt) == (Verdict.WON, "fresh_budget", 1)

    def test_what_has_ended_stays(self, counter: AttemptCounter, interventions: Interventions) -> None:
        counter.confirm(claim(counter))
        counter.succeed(*RUN)
        assert not interventions.cancel(*RUN)
        counter.exhaust(claim(counter, 2), reason="audit_log")
        assert not interventions.cancel(*RUN)
        assert record(counter).status is Status.EXHAUSTED


class TestCancelInAdvance:
    def test_of_an_attempt_under_way(self, counter: AttemptCounter, interventions: Interventions, client: Any) -> None:
        counter.confirm(claim(counter, 0, failed_try=TRY))
        assert [interventions.cancel(*RUN), interventions.cancel(*RUN)] == [True, True]
        cancelled = record(counter)
        assert (cancelled.status, cancelled.reason, cancelled.generation) == (Status.SKIPPED, "cancelled", 1)
        assert Overview(client).sizes().active == 0
        assert told(claim(counter, 0)) == ("lost", "stale", 1)
        # The failed try is younger than the record's, and so is the run's start.
        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        late = claim(counter, 1, failed_try=FailedTry("t", -1, "0199-bb"), run_started=start)
        assert told(late) == ("lost", "already_skipped", 1)
        assert told(claim(counter, 2, run_started=start)) == ("won", "fresh_budget", 1)
        assert events(client) == ["won", "cleared", "skipped", "lost", "lost", "won"]

    @pytest.mark.parametrize("generation", [0, 3])
    def test_of_a_run_that_never_failed(
        self, counter: AttemptCounter, interventions: Interventions, client: Any, generation: int
    ) -> None:
        assert [interventions.cancel(*RUN, holder="ada@desk"), interventions.cancel(*RUN)] == [True, True]
        cancelled = record(counter)
        assert (cancelled.status, cancelled.reason, cancelled.generation) == (Status.SKIPPED, "cancelled", -1)
        # Nothing has failed yet, so nothing needs a human.
        assert (Overview(client).sizes().active, Overview(client).sizes().attention) == (0, 0)
        for _ in range(2):
            answer = claim(counter, generation, claim_id="one", failed_try=TRY, clear_options=["only_failed"])
            assert told(answer) == ("lost", "already_skipped", 0)
        failed = record(counter)
        assert (failed.generation, failed.failed_try) == (generation, TRY)
        assert failed.clear_options == {"only_failed"}
        assert Overview(client).sizes().attention == 1
        assert told(claim(counter, generation + 1)) == ("won", "fresh_budget", 1)
        assert [event.holder for event in Overview(client).events()][-1] == "ada@desk"

    @pytest.mark.parametrize("retried", [True, False])
    def test_a_run_that_succeeds_needs_nobody(
        self, counter: AttemptCounter, interventions: Interventions, client: Any, retried: bool
    ) -> None:
        if retried:
            counter.confirm(claim(counter))
        interventions.cancel(*RUN)
        assert counter.succeed(*RUN, generation=1) is None
        ended = record(counter)
        assert (ended.status, ended.reason, ended.generation) == (Status.SKIPPED, "run_succeeded", 1)
        assert Overview(client).sizes().attention == 0
        assert told(claim(counter, 1)) == ("lost", "already_skipped", int(retried))

    def test_a_reset_of_such_a_run(self, counter: AttemptCounter, interventions: Interventions) -> None:
        interventions.cancel(*RUN)
        assert interventions.reset(*RUN)
        assert told(claim(counter, 0)) == ("lost", "already_skipped", 0)


class TestReset:
    @pytest.mark.parametrize("begin", [claim, waiting])
    def test_a_clear_to_come_is_the_first_attempt(
        self, counter: AttemptCounter, interventions: Interventions, begin: Any
    ) -> None:
        counter.confirm(claim(counter, 0))
        won = begin(counter, 1)
        assert won.attempt == 2
        assert interventions.reset(*RUN)
        assert (record(counter).attempt, record(counter).base) == (1, 3 if begin is claim else 2)
        if begin is claim:
            assert counter.confirm(won)
            assert claim(counter, 2).attempt == 2
            assert claim(counter, 3).verdict is Verdict.EXHAUSTED

    @pytest.mark.parametrize("begin", [claim, waiting, None])
    def test_the_budget_is_younger_than_our_last_clear(
        self, counter: AttemptCounter, interventions: Interventions, begin: Any
    ) -> None:
        """By that Airflow's audit line of that clear is told to be of an older budget."""
        counter.confirm(claim(counter, 0))
        if begin:
            begin(counter, 1)
        interventions.reset(*RUN)
        last_clear = 1 if begin is claim else 0
        assert record(counter).base > last_clear + 1

    def test_an_attempt_under_way_is_none_of_the_new_budget(
        self, counter: AttemptCounter, interventions: Interventions
    ) -> None:
        counter.confirm(claim(counter, 0))
        counter.confirm(claim(counter, 1))
        assert interventions.reset(*RUN)
        assert record(counter).attempt == 0
        assert claim(counter, 2).attempt == 1
        assert claim(counter, 3).attempt == 2
        assert claim(counter, 4).verdict is Verdict.EXHAUSTED

    def test_after_an_ending_a_clear_by_hand_has_all_attempts_also_where_they_are_kept(
        self, counter: AttemptCounter, interventions: Interventions
    ) -> None:
        exhausted(counter)
        assert interventions.reset(*RUN)
        assert record(counter).status is Status.EXHAUSTED
        assert claim(counter, 2).reason == "already_exhausted"
        assert claim(counter, 3, on_manual_clear="keep").attempt == 1

    def test_a_blocked_one_that_is_tried_again_is_its_first(
        self, counter: AttemptCounter, interventions: Interventions
    ) -> None:
        counter.confirm(claim(counter, 0))
        counter.block(claim(counter, 1), reason="http_403")
        assert interventions.reset(*RUN)
        again = claim(counter, 1, takeover=True, level="dag")
        assert (again.verdict, again.attempt) == (Verdict.WON, 1)

    def test_again_changes_nothing(self, counter: AttemptCounter, interventions: Interventions, client: Any) -> None:
        counter.confirm(claim(counter))
        assert interventions.reset(*RUN, holder="ada@desk")
        first = record(counter)
        assert interventions.reset(*RUN)
        assert record(counter) == first
        assert events(client) == ["won", "cleared", "reset"]
        assert Overview(client).events(limit=1)[0].holder == "ada@desk"

    def test_without_a_record(self, interventions: Interventions, client: Any) -> None:
        assert not interventions.reset(*RUN)
        assert list(client.scan_iter()) == []


@pytest.mark.parametrize("verb", ["hasten", "cancel", "reset"])
def test_a_key_of_anothers_is_left_alone(interventions: Interventions, client: Any, verb: str) -> None:
    client.set(KEYS.run(*RUN), "mine", ex=60)
    with pytest.raises(CounterError, match="a key under one of our names is not ours"):
        getattr(interventions, verb)(*RUN)
    assert client.get(KEYS.run(*RUN)) == "mine"
    assert client.keys() == [KEYS.run(*RUN)]
