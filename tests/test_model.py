"""The scripts against a model of their rules in plain Python: any order of claims, clears, crashes and losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from dag_retry import AttemptCounter, Claim, Verdict

RUN = ("daily_load", "run")
ENDINGS = ("succeeded", "exhausted", "blocked")


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


class Rules(RuleBasedStateMachine):
    """Airflow's generation only grows; callbacks of any generation so far may come at any time."""

    claims: Bundle[Claim] = Bundle("claims")
    client: Any

    @initialize(cap=st.integers(1, 3))
    def begin(self, cap: int) -> None:
        self.client.flushall()
        self.counter = AttemptCounter(self.client)
        self.cap = cap
        self.generation = 0
        self.model: Model | None = None
        self.cleared: list[int] = []
        """The generation of every clear that a claim entitled to."""
        self.number = 0

    @rule(
        target=claims, back=st.integers(0, 2), takeover=st.booleans(), level=st.sampled_from(["task", "dag", "sweeper"])
    )
    def claim(self, back: int, takeover: bool, level: Any) -> Any:
        generation = max(0, self.generation - back)
        self.number += 1
        claim_id = str(self.number)
        expected = self.expect(generation, takeover, level, claim_id)
        answer = self.counter.claim(
            *RUN, generation=generation, max_attempts=self.cap, claim_id=claim_id, takeover=takeover, level=level
        )
        assert (answer.verdict.value, answer.attempt) == expected
        return multiple() if answer.verdict is Verdict.LOST else answer

    def expect(self, generation: int, takeover: bool, level: str, claim_id: str) -> tuple[str, int]:
        model = self.model
        if model and generation < model.generation:
            return ("lost", model.attempt)
        if model and generation == model.generation:
            if not model.open or not (model.overdue or (takeover and model.level == "task")):
                return ("lost", model.attempt)
            model.claim_id, model.level, model.overdue = claim_id, level, False
            if model.status == "exhausted":
                return ("exhausted", model.attempt)
            model.status = "claimed"
            return ("won", model.attempt)
        base, attempt = (model.base, model.attempt) if model else (0, 0)
        if model and model.status in ENDINGS:
            base, attempt = generation, 0
        used = max(attempt, generation - base)
        status, attempt = ("claimed", used + 1) if used < self.cap else ("exhausted", max(attempt, min(used, self.cap)))
        self.model = Model(status, generation, base, attempt, claim_id, level, open=True)
        return ("won" if status == "claimed" else "exhausted", attempt)

    def holds(self, claim: Claim, *statuses: str) -> bool:
        return self.model is not None and self.model.claim_id == claim.claim_id and self.model.status in statuses

    @rule(claim=claims)
    def asked_again(self, claim: Claim) -> None:
        if self.model and self.model.claim_id == claim.claim_id and self.model.status not in ("succeeded", "blocked"):
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

    @rule(claim=consumes(claims))
    def acknowledge(self, claim: Claim) -> None:
        assert self.counter.acknowledge(claim) == self.holds(claim, "exhausted", "blocked")
        if self.holds(claim, "exhausted", "blocked") and self.model:
            self.model.open = self.model.overdue = False

    @rule()
    def lease_ends(self) -> None:
        if self.model and self.model.open:
            self.model.overdue = True
            self.client.hset("{dag-retry}:v1:run:daily_load:run", "due_at", "1")

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
            found = (record.status.value, record.generation, record.base, record.attempt, record.due_at != 0)
            model = self.model
            assert found == (model.status, model.generation, model.base, model.attempt, model.open)
            assert record.attempt <= record.max_attempts


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
