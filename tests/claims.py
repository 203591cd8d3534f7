"""Claims of one run, and what is asked about them."""

from __future__ import annotations

from typing import Any

from dag_retry import AttemptCounter, Claim, FailedTry, RunRecord

RUN = ("daily_load", "manual__2026-01-01T00:00:00+00:00")
TRY = FailedTry("branch_b", 3, "0199-aa", "TimeoutError")


def claim(counter: AttemptCounter, generation: int = 0, max_attempts: int = 2, **options: Any) -> Claim:
    return counter.claim(*RUN, generation=generation, max_attempts=max_attempts, **options)


def told(answer: Claim | None) -> tuple[str, str, int] | None:
    return (answer.verdict.value, answer.reason, answer.attempt) if answer else None


def record(counter: AttemptCounter) -> RunRecord:
    found = counter.read(*RUN)
    assert found is not None
    return found


def events(client: Any) -> list[str]:
    return [fields["event"] for _, fields in client.xrange("{dag-retry}:v1:events")]
