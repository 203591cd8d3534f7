"""What the holder of a claim asks and records: a method for each verb."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from dag_retry._redis.lifetimes import Lifetimes, ms
from dag_retry._redis.scripts import Verbs
from dag_retry._types import Claim


class ClaimVerbs:
    """The verbs of a claim's holder.

    Every method raises :class:`CounterError` if Redis is unreachable or refuses.

    :param verbs: sends the verbs.
    :param lifetimes: the lease of a claim.
    """

    def __init__(self, verbs: Verbs, lifetimes: Lifetimes) -> None:
        self._verbs = verbs
        self._lifetimes = lifetimes

    def renew(self, claim: Claim) -> bool:
        """Ask, right before the clear, whether this claim still holds the run, and give it a new lease.

        :return: whether it does. If not, the holder must clear nothing.
        """
        return self._holds("renew", claim, lease=self._lifetimes.lease)

    def confirm(
        self,
        claim: Claim,
        *,
        reason: Literal["cleared", "already_cleared"] = "cleared",
        attempt: int | None = None,
    ) -> bool:
        """Record that the run has been cleared.

        :param reason: whether this holder cleared the run, or found that somebody else had.
        :param attempt: the attempt that begins, if Airflow knows of more attempts than Redis.
        :return: whether this claim still held the run. If not, nothing is changed.
        """
        return self._holds("confirm", claim, reason=reason, attempt=attempt)

    def postpone(self, claim: Claim, *, reason: str, pause: timedelta, longest: timedelta | None = None) -> bool:
        """Give the claim back, since it can't be finished now. The attempt stays counted, and no hook is told.

        :param reason: why, as a code such as ``dag_paused``. An ending keeps its own.
        :param pause: how long until a sweeper takes the run.
        :param longest: the pause doubles each time, up to this one. By default it does not grow.
        :return: whether this claim still held the run.
        :raises ConfigError: a record does not outlive the pause.
        """
        self._lifetimes.check_delays(pause)
        most = min(longest, self._lifetimes.longest_delay) if longest else None
        return self._holds("postpone", claim, reason=reason, pause=ms(pause), longest=ms(most) if most else None)

    def forget(self, claim: Claim) -> bool:
        """Delete the record of a run that was deleted.

        :return: whether there is no record now. If not, this claim did not hold the run any more.
        """
        return self._holds("forget", claim)

    def withdraw(self, claim: Claim) -> bool:
        """Take the claim back, since Airflow has given the task a new try without a clear. Nothing is counted.

        :return: whether this claim still held the run.
        """
        return self._holds("withdraw", claim)

    def block(self, claim: Claim, *, reason: str) -> bool:
        """Record that Airflow refused the clear for good. This is an ending, once it is acknowledged.

        :param reason: why, as a code such as ``http_403``.
        :return: whether this claim still held the run. If so, its holder tells the hooks.
        """
        return self._end(claim, "blocked", reason)

    def skip(self, claim: Claim, *, reason: str) -> bool:
        """Record that the run is not cleared, although its claim was won. This is an ending.

        :param reason: why, as a code such as ``settled_by_hand``.
        :return: whether this claim still held the run. If so, its holder tells the hooks.
        """
        return self._end(claim, "skipped", reason)

    def exhaust(self, claim: Claim, *, reason: str, attempt: int | None = None) -> bool:
        """Record that every attempt of the budget is used, as only Airflow knows. This is an ending.

        :param reason: why, as a code such as ``audit_log``.
        :param attempt: how many attempts are used.
        :return: whether this claim still held the run. If so, its holder tells the hooks.
        """
        return self._end(claim, "exhausted", reason, attempt)

    def acknowledge(self, claim: Claim) -> bool:
        """Record that the hooks were told of an ending. Without this, another holder tells them again.

        :return: whether this claim had that ending to tell.
        """
        return self._holds("acknowledge", claim)

    def _end(self, claim: Claim, status: str, reason: str, attempt: int | None = None) -> bool:
        return self._holds("block", claim, lease=self._lifetimes.lease, status=status, reason=reason, attempt=attempt)

    def _holds(self, verb: str, claim: Claim, **arguments: str | int | None) -> bool:
        """Run a verb of a claim's holder, and return whether the claim still held the run."""
        arguments |= {"claim_id": claim.claim_id, "holder": claim.holder}
        return bool(self._verbs.run(verb, claim.dag_id, claim.run_id, **arguments))
