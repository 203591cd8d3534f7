"""How long each attempt waits before it begins."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from dag_retry._airflow import options, section
from dag_retry._errors import ConfigError

Delay: TypeAlias = timedelta | Sequence[timedelta] | Callable[[int], timedelta]

# At most so many attempts have a delay of their own. The last of these delays holds for all later attempts.
_MOST = 100


class Delays(NamedTuple):
    """The delays before attempts.

    :param delay: the delay before each attempt. The last delay of a list holds for all later attempts. A function is
        called with the number of the attempt (1 …) when a run has failed.
    :param backoff: the factor from each delay to the next.
    :param max_delay: the longest delay, without its jitter.
    :param jitter: the most that is added to each delay at random.
    """

    delay: Delay | None
    backoff: float = 1
    max_delay: timedelta | None = None
    jitter: timedelta | None = None

    @classmethod
    def of(
        cls, delay: Delay | None, backoff: float | None, max_delay: timedelta | None, jitter: timedelta | None
    ) -> Delays:
        """Return the delays that ``DagRetry``'s arguments give, or else the options of the section.

        :raises ConfigError: one of them is wrong.
        """
        found = cls(
            _delay(delay),
            section.get("backoff", backoff),
            section.get("max_delay", max_delay),
            section.get("jitter", jitter),
        )
        if found.backoff > 1 and not isinstance(found.delay, timedelta):
            raise ConfigError(f"backoff is {found.backoff:g}, and it needs a delay: set delay to a single timedelta")
        if max_delay is not None and found.delay is None:
            raise ConfigError(f"max_delay is {max_delay}, and there is no delay that it shortens: set delay too")
        return found

    def may_wait(self) -> bool:
        """Return whether an attempt may have to wait. A function is not called, and may."""
        fixed = self.delay if isinstance(self.delay, Sequence) else [self.delay]
        return bool(self.jitter) or any(fixed)

    def before(self, attempts: int, longest: timedelta) -> list[timedelta]:
        """Return the delay before each attempt, with its jitter. The last one holds for all later attempts.

        :param attempts: how many attempts are allowed.
        :param longest: the longest delay for which Redis keeps a record.
        :raises ConfigError: the user's function failed, or a delay is longer than ``longest``.
        """
        if not self.delay and not self.jitter:
            return []
        delays = []
        for attempt in range(1, min(attempts, _MOST) + 1):
            # A float of seconds can hold a delay that a timedelta can't.
            seconds = self._without_jitter(attempt).total_seconds()
            if self.jitter:
                seconds += random.uniform(0, self.jitter.total_seconds())
            if seconds > longest.total_seconds():
                raise ConfigError(
                    f"the delay before attempt {attempt} is {seconds:g} s, and Redis keeps the record of a waiting run "
                    f"for {longest}: lower delay, backoff or max_delay, or raise ttl"
                )
            delays.append(timedelta(seconds=seconds))
        return delays

    def _without_jitter(self, attempt: int) -> timedelta:
        most = timedelta.max if self.max_delay is None else self.max_delay
        if self.delay is None:
            return timedelta(0)
        if callable(self.delay):
            return min(_call(self.delay, attempt), most)
        if not isinstance(self.delay, timedelta):
            return min(self.delay[min(attempt, len(self.delay)) - 1], most)
        try:
            return min(self.delay * self.backoff ** (attempt - 1), most)
        except OverflowError:
            return most


def _delay(argument: Delay | None) -> Delay | None:
    if argument is None:
        if not (texts := section.listed("delay")):
            return None
        found = [options.seconds(text) for text in texts]
        shown, example = ", ".join(texts), "60, or 60, 300, 900 (seconds)"
    elif callable(argument):
        return argument
    else:
        found = section.listed("delay", argument)
        shown, example = repr(argument), "timedelta(minutes=1), or a list of timedeltas"
    delays = [delay for delay in found if isinstance(delay, timedelta) and delay >= timedelta(0)]
    if not found or len(delays) < len(found):
        raise ConfigError(f"{section.named('delay', argument)} is {shown}: use e.g. {example}, none of them negative")
    return delays if len(delays) > 1 else delays[0]


def _call(function: Callable[[int], timedelta], attempt: int) -> timedelta:
    try:
        delay = function(attempt)
    except Exception as error:
        raise ConfigError(f"delay, called for attempt {attempt}, raised {error!r}: correct the function") from error
    if not isinstance(delay, timedelta) or delay < timedelta(0):
        raise ConfigError(f"delay, called for attempt {attempt}, returned {delay!r}: return a timedelta, not negative")
    return delay
