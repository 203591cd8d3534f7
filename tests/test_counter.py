"""The rules of `claim` and of what follows it, each on fakeredis and on a real Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import dropwhile
from typing import Any

import pytest

from dag_retry import AttemptCounter, Claim, ConfigError, CounterError, FailedTry, Status, Verdict
from tests.claims import RUN, TRY, claim, events, record, told


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
        assert answer.failed_try.ti_id == TRY.ti_id
        assert events(client) == ["won", "taken_over"]
        assert not counter.renew(dead)
        assert not counter.confirm(dead)
        assert not counter.block(dead, reason="http_403")
        assert counter.renew(answer)
        assert counter.confirm(answer)

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

    def test_ends_a_claim_that_was_never_finished(self, counter: AttemptCounter) -> None:
        won = claim(counter)
        ended = counter.succeed(*RUN, generation=0)
        assert ended is not None
        assert ended.due_at == 0
        assert not counter.renew(won)

    def test_again_after_a_manual_clear_is_not_told(self, counter: AttemptCounter, client: Any) -> None:
        retry(counter, 0)
        counter.succeed(*RUN, generation=1)
        assert counter.succeed(*RUN, generation=2) is None
        assert told(claim(counter, 2)) == ("lost", "already_succeeded", 1)
        assert events(client).count("succeeded") == 1


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
            "ti_id": "0199-aa", "error": "TimeoutError", "clear": "only_failed,run_on_latest_version",
        }  # fmt: skip
        found = record(counter)
        assert (found.lost, found.clear_options, found.acknowledged) == (1, options, False)

    def test_indexes_follow_the_status(self, counter: AttemptCounter, client: Any) -> None:
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
        counter.skip(again, reason="dag_paused")
        assert places() == {"active", "attention"}
        claim(counter, 4)
        assert counter.cancel(*RUN)
        assert places() == {"attention"}
        claim(counter, 5, delays=[timedelta(hours=1)])
        assert places() == {"active"}
        counter.hasten(*RUN)
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
            counter.succeed(skipped.dag_id, skipped.run_id, generation=skipped.generation)

        ends: dict[str, Callable[[Claim], None]] = {"active": told, "attention": over}
        for index, end in ends.items():
            client.flushall()
            end(counter.claim(*RUN, generation=0, max_attempts=2, skip="disabled"))
            assert index not in self.ttls(client)
            counter.claim(*other, generation=1, max_attempts=2, skip="disabled")
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
