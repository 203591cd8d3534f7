"""The deadline of a callback."""

from __future__ import annotations

import time


class Deadline:
    """The end of a callback's time, by the monotonic clock.

    :param seconds: the seconds from now to the end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin anew."""
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Return the seconds that are left; 0 if the time is over."""
        return max(0.0, self._end - time.monotonic())
