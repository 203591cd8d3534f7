"""The scripts against a model of their rules in plain Python: any order of claims, clears, crashes and losses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from dag_retry import AttemptCounter, Claim, Verdict
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys

RUN = ("daily_load", "run")
KEYS = Keys("dag-retry")
ENDINGS = ("succeeded", "exhausted", "blocked", "skipped")


@dataclass
class Model:
    """The record, as the design's rules have it."""

    status: str
    generation: int
    base: int
    attempt: int
    claim_id: str
    level: str
    open: bool
    """A claim that is not confirmed, or an ending that was not told."""
    overdue: bool = False
    cancelled: bool = False
    lost: int = 0


class Rules(RuleBasedStateMachine):
    """Airflow's generation only grows; callbacks of any generation so far may come at any time."""

    claims: Bundle[Claim] = Bundle("claims")
    client: Any

    @initialize(cap=st.integers(1, 3))
    def begin(self, cap: int) -> None:
        self.client.flushall()
        self.counter = AttemptCounter(self.client)
        self.due = DueRuns(self.client)
        self.interventions = Interventions(self.client)
        self.cap = cap
        self.generation = 0
        self.model: Model | None = None
        self.cleared: list[int] = []
        """The generation of every clear that a claim entitled to."""
        self.number = 0

    @rule(
        target=claims,
        back=st.integers(0, 2),
        takeover=st.booleans(),
        level=st.sampled_from(["task", "dag", "sweeper"]),
        how=st.sampled_from(["at once", "at once", "delayed", "skipped"]),
    )
    def claim(self, back: int, takeover: bool, level: Any, how: str) -> Any:
        generation = max(0, self.generation - back)
        self.number += 1
        claim_id = str(self.number)
        expected = self.expect(generation, takeover, level, claim_id, how)
        answer = self.counter.claim(
            *RUN,
            generation=generation,
            max_attempts=self.cap,
            claim_id=claim_id,
            takeover=takeover,
            level=level,
            delays=[timedelta(hours=1)] if how == "delayed" else [],
            skip="disabled" if how == "skipped" else "",
        )
        assert (answer.verdict.value, answer.attempt) == expected
        if answer.verdict is not Verdict.LOST:
            return answer
        assert self.model
        self.model.lost += 1
        return multiple()

    def expect(self, generation: int, takeover: bool, level: str, claim_id: str, how: str) -> tuple[str, int]:
        model = self.model
        if model and generation < model.generation:
            return ("lost", model.attempt)
        if model and generation == model.generation and model.status != "unclaimed":
            dead = takeover and model.level == "task" and model.status != "waiting"
            if not model.open or not (model.overdue or dead):
                return ("lost", model.attempt)
            return (self.taken(model, level, claim_id), model.attempt)
        base, attempt = (model.base, model.attempt) if model else (0, 0)
        if model and model.status in ENDINGS and not (model.status == "blocked" and model.open):
            base, attempt = model.generation + 1, 0
        used = max(attempt, generation - base)
        if used < self.cap and how != "skipped":
            status, attempt = "waiting" if how == "delayed" else "claimed", used + 1
        else:
            status, attempt = "exhausted" if used >= self.cap else "skipped", max(attempt, min(used, self.cap))
        self.model = Model(status, generation, base, attempt, claim_id, level, open=True)
        return ("won" if status in ("waiting", "claimed") else status, attempt)

    def taken(self, model: Model, level: str, claim_id: str) -> str:
        model.claim_id, model.level, model.overdue = claim_id, level, False
        if model.status in ("exhausted", "skipped"):
            return model.status
        model.status = "claimed"
        return "won"

    @rule(target=claims)
    def take(self) -> Any:
        """A sweeper comes."""
        due = [RUN] if self.model and self.model.overdue else []
        assert self.due.read()[0] == due
        taken = self.due.take(*RUN, holder="sweeper")
        if not due:
            assert taken is None
            return multiple()
        assert taken
        assert self.model
        assert taken.verdict.value == self.taken(self.model, "sweeper", taken.claim_id)
        return taken

    @rule(cleared_since=st.booleans())
    def miss(self, cleared_since: bool) -> None:
        """A sweeper finds the run failed."""
        model = self.model
        found = model is None or (not model.open and (model.status == "retrying" or cleared_since))
        queued_at = 9_999_999_999_999 if cleared_since else 0
        assert self.due.miss(*RUN, queued_at=queued_at, grace=timedelta(0), holder="sweeper") == found
        if found:
            generation, base, attempt = (model.generation + 1, model.base, model.attempt) if model else (0, 0, 0)
            # Airflow may be further: a person may have cleared the run more than once.
            self.generation = max(self.generation, generation)
            self.model = Model("unclaimed", generation, base, attempt, "", "sweeper", open=False)

    def holds(self, claim: Claim, *statuses: str) -> bool:
        return self.model is not None and self.model.claim_id == claim.claim_id and self.model.status in statuses

    @rule(claim=claims)
    def asked_again(self, claim: Claim) -> None:
        same = self.model is not None and self.model.claim_id == claim.claim_id
        if (
            same
            and self.model
            and self.model.level != "sweeper"
            and not self.model.overdue
            and self.model.attempt == claim.attempt
            and self.model.status not in ("succeeded", "blocked", "skipped")
        ):
            again = self.counter.claim(
                *RUN, generation=claim.generation, max_attempts=self.cap, claim_id=claim.claim_id
            )
            assert again == claim

    @rule(claim=claims)
    def clear(self, claim: Claim) -> None:
        """The holder looks, clears (Airflow moves on) and confirms; a second look finds the clear done."""
        holder = self.holds(claim, "claimed")
        assert self.counter.renew(claim) == holder
        if holder and self.model:
            self.model.overdue = False
            if claim.generation == self.generation:
                self.cleared.append(self.generation)
                self.generation += 1
            assert self.counter.confirm(claim)
            self.model.status, self.model.open = "retrying", False

    @rule(claim=claims)
    def confirm_late(self, claim: Claim) -> None:
        if not self.holds(claim, "claimed"):
            assert self.counter.confirm(claim) == self.holds(claim, "retrying")

    @rule(claim=claims)
    def block(self, claim: Claim) -> None:
        assert self.counter.block(claim, reason="http_403") == self.holds(claim, "claimed", "blocked")
        if self.holds(claim, "claimed") and self.model:
            self.model.status, self.model.overdue = "blocked", False

    @rule(claim=claims)
    def skip(self, claim: Claim) -> None:
        assert self.counter.skip(claim, reason="dag_paused") == self.holds(claim, "claimed", "skipped")
        if self.holds(claim, "claimed") and self.model:
            self.model.status, self.model.overdue = "skipped", False

    @rule(claim=consumes(claims))
    def acknowledge(self, claim: Claim) -> None:
        assert self.counter.acknowledge(claim) == self.holds(claim, "exhausted", "blocked", "skipped")
        if self.holds(claim, "exhausted", "blocked", "skipped") and self.model:
            self.model.open = self.model.overdue = False

    @rule()
    def lease_ends(self) -> None:
        if self.model and self.model.open:
            self.model.overdue = True
            # A second ago: what has been due for longer than a record is kept, the scripts drop from the index.
            due_at = self.client.time()[0] * 1000 - 1000
            self.client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", str(due_at))
            self.client.zadd("{dag-retry}:v1:active", {"daily_load:run": due_at})

    @rule(back=st.integers(0, 1), known=st.booleans())
    def succeed(self, back: int, known: bool) -> None:
        generation = max(0, self.generation - back)
        model = self.model
        if model and not known:
            generation = model.generation + (model.status == "retrying")
        ended = self.counter.succeed(*RUN, generation=generation if known else None)
        if not model or generation < model.generation:
            assert ended is None
            return
        assert (ended is not None) == (model.status != "succeeded" or generation == model.generation)
        model.status, model.generation, model.open, model.overdue = "succeeded", generation, False, False

    @rule()
    def hasten(self) -> None:
        waits = self.model is not None and self.model.status == "waiting"
        assert self.interventions.hasten(*RUN) == waits
        if waits and self.model:
            self.model.overdue = True

    @rule()
    def cancel(self) -> None:
        model = self.model
        to_come = model is not None and model.status in ("waiting", "claimed")
        cancelled = model is not None and model.status == "skipped" and model.cancelled
        assert self.interventions.cancel(*RUN) == (to_come or cancelled)
        if to_come and model:
            model.status, model.claim_id, model.cancelled, model.open, model.overdue = "skipped", "", True, False, False

    @rule()
    def reset(self) -> None:
        model = self.model
        assert self.interventions.reset(*RUN) == (model is not None)
        if model:
            to_come = model.status in ("waiting", "claimed") or (model.status == "blocked" and model.open)
            model.base, model.attempt = model.generation + (not to_come), int(to_come)

    @rule()
    def person_clears(self) -> None:
        self.generation += 1

    @rule()
    def redis_loses_everything(self) -> None:
        self.client.flushall()
        self.model = None

    @invariant()
    def one_clear_a_generation(self) -> None:
        assert len(set(self.cleared)) == len(self.cleared)

    @invariant()
    def record_is_as_the_model_has_it(self) -> None:
        record = self.counter.read(*RUN)
        assert (record is None) == (self.model is None)
        if record and self.model:
            model = self.model
            assert (record.status.value, record.generation, record.base, record.attempt, record.lost) == (
                model.status, model.generation, model.base, model.attempt, model.lost
            )  # fmt: skip
            assert (record.due_at != 0) == model.open
            assert not model.open or self.client.zscore(KEYS.index("active"), ":".join(RUN)) == record.due_at
            assert record.attempt <= record.max_attempts

    @invariant()
    def keys_are_as_the_model_has_them(self) -> None:
        status, is_open = (self.model.status, self.model.open) if self.model else ("", False)
        keys = KEYS.of(*RUN)
        with self.client.pipeline(transaction=False) as pipeline:
            for key in keys[1:3]:
                pipeline.zscore(key, ":".join(RUN))
            for key in keys:
                pipeline.pttl(key)
            active, attention, *ttls = pipeline.execute()
        assert -1 not in ttls
        assert (active is not None) == (is_open or status == "retrying")
        assert (attention is not None) == (status in ("exhausted", "blocked", "skipped", "unclaimed"))


@pytest.mark.parametrize("kind", ["fakeredis", "redis"])
def test_scripts_follow_the_rules(kind: str, request: pytest.FixtureRequest) -> None:
    client: Any
    if kind == "fakeredis":
        client = fakeredis.FakeRedis(decode_responses=True)
    else:
        client = redis.Redis.from_url(request.getfixturevalue("redis_url"), decode_responses=True)
    with client:
        machine: Any = type("Rules", (Rules,), {"client": client})
        machine.TestCase.settings = settings(
            max_examples=60 if kind == "fakeredis" else 300,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        machine.TestCase("runTest").runTest()
