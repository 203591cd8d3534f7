"""How much time a callback has left."""

from __future__ import annotations

import time


class Deadline:
    """The end of a callback's time, on a clock that nobody sets.

    :param seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 where the time is over."""
        return max(0.0, self._end - time.monotonic())
