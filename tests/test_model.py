"""The scripts against a model of their rules in plain Python: any order of claims, clears, crashes and losses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from dag_retry import AttemptCounter, Claim, FailedTry, Verdict
from dag_retry._redis.due import DueRuns
from dag_retry._redis.interventions import Interventions
from dag_retry._redis.keys import Keys

pytestmark = pytest.mark.no_cover  # other tests cover these lines too, and measured examples take twice as long

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
    reason: str = ""
    """Where it decides something: of `waiting` and `skipped`."""
    own_hooks: bool = False
    lost: int = 0
    started: int = 0
    """When the run began, and its failed try with it; 0 if unknown."""
    tried: int = 0

    @property
    def told(self) -> bool:
        """Whether the status is an ending that hooks are told of."""
        return self.status in ("exhausted", "blocked", "skipped")

    @property
    def awaits_own_hooks(self) -> bool:
        return self.open and self.told and self.own_hooks

    @property
    def settled(self) -> bool:
        return self.status == "skipped" and self.reason in ("settled_by_hand", "run_succeeded")


def moment(place: int) -> datetime:
    """Return when the run began in that place of its history."""
    return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=place)


class Rules(RuleBasedStateMachine):
    """Airflow's generation only grows, but for a run made anew; callbacks of any generation may come at any time."""

    claims: Bundle[Claim] = Bundle("claims")
    client: Any

    @initialize(cap=st.integers(1, 3))
    def begin(self, cap: int) -> None:
        self.client.flushall()
        self.counter = AttemptCounter(self.client)
        self.due = DueRuns(self.client)
        self.interventions = Interventions(self.client)
        self.cap = cap
        self.generations = [0]
        """The generation after each clear, and of each run made anew: one more second has passed then."""
        self.model: Model | None = None
        self.cleared: list[int] = []
        """The place in `generations` of every clear that a claim entitled to."""
        self.number = 0

    @rule(
        target=claims,
        back=st.integers(0, 2),
        takeover=st.booleans(),
        level=st.sampled_from(["task", "dag", "sweeper"]),
        how=st.sampled_from(["at once", "at once", "delayed", "skipped", "left"]),
        own_hooks=st.booleans(),
    )
    def claim(self, back: int, takeover: bool, level: Any, how: str, own_hooks: bool) -> Any:
        place = max(0, len(self.generations) - 1 - back)
        generation = self.generations[place]
        self.number += 1
        claim_id = str(self.number)
        expected = self.expect(place, takeover, level, claim_id, how, own_hooks)
        answer = self.counter.claim(
            *RUN,
            generation=generation,
            max_attempts=self.cap,
            claim_id=claim_id,
            takeover=takeover,
            level=level,
            failed_try=FailedTry("t", -1, f"{place:08x}-0000-7000-8000-000000000000"),
            run_started=moment(place),
            delays=[timedelta(hours=1)] if how == "delayed" else [],
            skip="disabled" if how in ("skipped", "left") else "",
            leave=how == "left",
            own_hooks=own_hooks,
        )
        assert (answer.verdict.value, answer.attempt) == expected
        if answer.verdict is not Verdict.LOST:
            return answer
        assert self.model
        self.model.lost += 1
        return multiple()

    def expect(
        self, place: int, takeover: bool, level: str, claim_id: str, how: str, own_hooks: bool
    ) -> tuple[str, int]:
        model, generation, began = self.model, self.generations[place], place + 1
        if model and 0 < model.started < began > model.tried and generation <= model.generation:
            model = None  # of another run
        if model and model.generation < 0:
            model.generation, model.level, model.started, model.tried = generation, level, began, began
            model.own_hooks = own_hooks
        if model and generation < model.generation:
            return ("lost", model.attempt)
        if model and generation == model.generation and model.status != "unclaimed":
            dead = takeover and model.level == "task" and model.status != "waiting"
            left = model.level == "" and level == "dag"
            if not model.open or how == "left" or not (model.overdue or dead or left):
                return ("lost", model.attempt)
            return (self.taken(model, level, claim_id), model.attempt)
        base, attempt = (model.base, model.attempt) if model else (0, 0)
        if model and model.status in ENDINGS and not (model.status == "blocked" and model.open):
            base, attempt = model.generation + 1, 0
        base = generation if base < 0 else base
        used = max(attempt, generation - base)
        if used < self.cap and how not in ("skipped", "left"):
            status, attempt = "waiting" if how == "delayed" else "claimed", used + 1
        else:
            status, attempt = "exhausted" if used >= self.cap else "skipped", max(attempt, min(used, self.cap))
        reason = {"skipped": "disabled", "waiting": "claimed"}.get(status, "")
        holder = "" if how == "left" else level
        self.model = Model(
            status, generation, base, attempt, claim_id, holder, True, reason=reason, own_hooks=own_hooks
        )
        self.model.overdue = level == "sweeper" and self.model.awaits_own_hooks
        self.model.started = self.model.tried = began
        return ("won" if status in ("waiting", "claimed") else status, attempt)

    def taken(self, model: Model, level: str, claim_id: str) -> str:
        model.claim_id, model.level, model.overdue = claim_id, level, False
        if model.status in ("exhausted", "skipped"):
            return model.status
        model.reason = "due" if model.status == "waiting" else "taken_over"
        model.status = "claimed"
        return "won"

    @rule(target=claims)
    def take(self) -> Any:
        """A sweeper comes."""
        due = [RUN] if self.model and self.model.overdue and not self.model.awaits_own_hooks else []
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
            self.moves_on(max(self.generations[-1], generation))
            own_hooks = model.own_hooks if model else False
            self.model = Model("unclaimed", generation, base, attempt, "", "sweeper", open=False, own_hooks=own_hooks)

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
            and (self.model.base, self.model.attempt) == (claim.base, claim.attempt)
            and self.model.status not in ("succeeded", "blocked", "skipped")
            and (self.model.status == "exhausted") == (claim.verdict is Verdict.EXHAUSTED)
            and (self.model.status == "waiting") == (claim.status.value == "waiting")
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
            if claim.generation == self.generations[-1]:
                self.cleared.append(len(self.generations))
                self.moves_on(claim.generation + 1)
            assert self.counter.confirm(claim)
            self.model.status, self.model.open = "retrying", False

    def moves_on(self, generation: int) -> None:
        if generation != self.generations[-1]:
            self.generations.append(generation)

    def ends(self, model: Model) -> None:
        """The holder tells the hooks; a sweeper leaves those of the Dag to whoever comes."""
        model.overdue = model.level == "sweeper" and model.own_hooks

    @rule(claim=claims)
    def confirm_late(self, claim: Claim) -> None:
        if not self.holds(claim, "claimed"):
            assert self.counter.confirm(claim) == self.holds(claim, "retrying")

    @rule(claim=claims)
    def block(self, claim: Claim) -> None:
        assert self.counter.block(claim, reason="http_403") == self.holds(claim, "claimed", "blocked")
        if self.holds(claim, "claimed") and self.model:
            self.model.status = "blocked"
            self.ends(self.model)

    @rule(claim=claims, reason=st.sampled_from(["backfill_ended", "settled_by_hand"]))
    def skip(self, claim: Claim, reason: str) -> None:
        assert self.counter.skip(claim, reason=reason) == self.holds(claim, "claimed", "skipped")
        if self.holds(claim, "claimed") and self.model:
            self.model.status, self.model.reason = "skipped", reason
            self.ends(self.model)

    @rule(claim=claims)
    def exhaust(self, claim: Claim) -> None:
        """Airflow's audit log knows of all attempts."""
        most = claim.max_attempts
        found = self.counter.exhaust(claim, reason="audit_log", attempt=most)
        assert found == self.holds(claim, "claimed", "exhausted")
        if self.holds(claim, "claimed") and self.model:
            self.model.status, self.model.attempt = "exhausted", most
            self.ends(self.model)

    @rule(claim=claims, reason=st.sampled_from(["dag_paused", "needs_sweeper"]))
    def postpone(self, claim: Claim, reason: str) -> None:
        before = self.model and (self.model.status, self.model.reason)
        untold = self.model and self.model.open and self.holds(claim, "exhausted", "blocked", "skipped")
        untold = untold and self.model and not self.model.awaits_own_hooks
        postponed = self.holds(claim, "claimed") or (self.holds(claim, "waiting") and before == ("waiting", reason))
        assert self.counter.postpone(claim, reason=reason, pause=timedelta(hours=1)) == (postponed or bool(untold))
        if self.holds(claim, "claimed") and self.model:
            self.model.status, self.model.reason, self.model.overdue = "waiting", reason, False
        elif untold and self.model:
            self.model.overdue = False

    @rule(claim=claims)
    def forget(self, claim: Claim) -> None:
        """The holder finds that the run was deleted."""
        assert self.counter.forget(claim) == (self.model is None or self.holds(claim, "claimed"))
        if self.holds(claim, "claimed"):
            self.model = None

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
            if not self.model.awaits_own_hooks:
                self.client.zadd("{dag-retry}:v1:active", {"daily_load:run": due_at})

    @rule(back=st.integers(0, 1), known=st.booleans())
    def succeed(self, back: int, known: bool) -> None:
        place = max(0, len(self.generations) - 1 - back)
        generation = self.generations[place]
        model = self.model
        least = model.generation + (model.status == "retrying") if model else 0
        if model and not known:
            generation = least
        ended = self.counter.succeed(
            *RUN, generation=generation if known else None, run_started=moment(place) if known else None
        )
        if not model or generation < least:
            assert ended is None
            return
        uncleared = generation == model.generation or model.generation < 0
        if model.status == "succeeded":
            assert (ended is not None) == (generation == model.generation)
        elif uncleared and (model.open or model.reason == "cancelled"):
            assert ended is None
            model.status, model.reason, model.claim_id = "skipped", "run_succeeded", ""
        elif uncleared and model.status != "unclaimed":
            assert ended is None
            return
        else:
            assert ended is not None
            model.status, model.reason = "succeeded", ""
        if generation > model.generation:
            model.started = place + 1 if known else 0
        model.generation, model.open, model.overdue = generation, False, False

    @rule()
    def hasten(self) -> None:
        waits = self.model is not None and self.model.status == "waiting"
        assert self.interventions.hasten(*RUN) == waits
        if waits and self.model:
            self.model.overdue = True

    @rule()
    def cancel(self) -> None:
        model = self.model
        to_come = model is None or model.status in ("waiting", "claimed", "retrying")
        cancelled = model is not None and model.status == "skipped" and model.reason == "cancelled"
        assert self.interventions.cancel(*RUN) == (to_come or cancelled)
        if not model:
            self.model = model = Model("skipped", -1, 0, 0, "", "", open=False)
        elif model.status == "retrying":
            model.generation, model.started = model.generation + 1, 0
        if to_come:
            model.status, model.reason, model.claim_id, model.open, model.overdue = (
                "skipped",
                "cancelled",
                "",
                False,
                False,
            )

    @rule()
    def reset(self) -> None:
        model = self.model
        assert self.interventions.reset(*RUN) == (model is not None)
        if model:
            to_come = model.status in ("waiting", "claimed") or (model.status == "blocked" and model.open)
            model.base = model.generation + (2 if model.status in ("claimed", "retrying") else 1)
            model.base = -1 if model.status == "unclaimed" else model.base
            model.attempt = int(to_come)

    @rule()
    def person_clears(self) -> None:
        self.moves_on(self.generations[-1] + 1)

    @rule()
    def person_makes_the_run_anew(self) -> None:
        self.generations.append(0)

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
            active = self.client.zscore(KEYS.index("active"), ":".join(RUN))
            if model.awaits_own_hooks:
                # A sweeper that looks corrects the score by PTTL. The clock of fakeredis goes on during a script.
                expires = record.updated_at + timedelta(days=30) // timedelta(milliseconds=1)
                assert active is not None
                assert abs(active - expires) <= 1000
            else:
                assert not model.open or active == record.due_at
            assert record.attempt <= record.max_attempts
            assert record.run_started == (int(moment(model.started - 1).timestamp() * 1000) if model.started else 0)

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
        needs_human = status in ("exhausted", "blocked", "skipped", "unclaimed")
        if self.model and (self.model.settled or self.model.generation < 0):
            needs_human = False
        assert (attention is not None) == needs_human


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
