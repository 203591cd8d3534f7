"""How long each attempt waits before it begins: tenacity's strategies, worked out for every attempt of a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from dag_retry._airflow import options, section
from dag_retry._errors import ConfigError

Delay: TypeAlias = timedelta | Sequence[timedelta] | Callable[[int], timedelta]

# Of attempts that have a delay of their own; the last one's holds for all that follow.
_MOST = 100


class Delays(NamedTuple):
    """When attempts begin.

    :param delay: before each attempt; of a list, the last one holds for all that follow; or a function of the attempt
        (1 …), called when a run has failed.
    :param backoff: what each delay is multiplied with for the next.
    :param max_delay: what a delay grows to at most, but for its jitter.
    :param jitter: up to so much is added, at random, to each.
    """

    delay: Delay | None
    backoff: float = 1
    max_delay: timedelta | None = None
    jitter: timedelta | None = None

    @classmethod
    def of(
        cls, delay: Delay | None, backoff: float | None, max_delay: timedelta | None, jitter: timedelta | None
    ) -> Delays:
        """Return the delays that arguments of ``DagRetry``, or options of the section, say.

        :raises ConfigError: one of them is not usable.
        """
        found = cls(
            _delay(delay),
            section.get("backoff", backoff),
            section.get("max_delay", max_delay),
            section.get("jitter", jitter),
        )
        if found.backoff > 1 and not isinstance(found.delay, timedelta):
            raise ConfigError(f"backoff is {found.backoff:g}, and delay no single timedelta that it could multiply")
        return found

    def before(self, attempts: int, longest: timedelta) -> list[timedelta]:
        """Return the delay before each attempt, jitter included; the last one holds for all that follow.

        :param attempts: how many there may be.
        :param longest: what a record can keep.
        :raises ConfigError: the function that says it failed, or a delay is longer than that.
        """
        if not self.delay and not self.jitter:
            return []
        from tenacity import RetryCallState

        wait = self._wait()
        state: Any = RetryCallState(None, None, (), {})  # type: ignore[arg-type] # nothing is called
        delays: list[float] = []
        for attempt in range(1, min(attempts, _MOST) + 1):
            state.attempt_number = attempt
            delays.append(min(wait(state), timedelta.max.total_seconds()))
            if delays[-1] > longest.total_seconds():
                raise ConfigError(
                    f"the delay before attempt {attempt} is {delays[-1]:g} s, and the record of a run is kept for "
                    f"{longest} while it waits: lower delay, backoff or max_delay, or raise ttl"
                )
        return [timedelta(seconds=delay) for delay in delays]

    def _wait(self) -> Callable[[Any], float]:
        from tenacity import wait_chain, wait_combine, wait_exponential, wait_fixed, wait_random

        most = timedelta.max if self.max_delay is None else self.max_delay
        wait: Any
        if callable(self.delay):
            wait = partial(_call, self.delay, most)
        elif isinstance(self.delay, timedelta):
            wait = wait_exponential(self.delay.total_seconds(), most, self.backoff)
        else:
            wait = wait_chain(*(wait_fixed(min(delay, most)) for delay in self.delay or [timedelta(0)]))
        return wait_combine(wait, wait_random(0, self.jitter)) if self.jitter else wait


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
        shown, example = repr(argument), "timedelta(minutes=1), or a list of such"
    delays = [delay for delay in found if isinstance(delay, timedelta) and delay >= timedelta(0)]
    if not found or len(delays) < len(found):
        raise ConfigError(f"{section.named('delay', argument)} is {shown}: use e.g. {example}, and nothing negative")
    return delays if len(delays) > 1 else delays[0]


def _call(function: Callable[[int], timedelta], most: timedelta, retry_state: Any) -> float:
    attempt = retry_state.attempt_number
    try:
        delay = function(attempt)
    except Exception as error:
        raise ConfigError(f"delay, called for attempt {attempt}, raised {error!r}: mend the function") from error
    if not isinstance(delay, timedelta) or delay < timedelta(0):
        raise ConfigError(f"delay, called for attempt {attempt}, returned {delay!r}: return a timedelta, not negative")
    return min(delay, most).total_seconds()
