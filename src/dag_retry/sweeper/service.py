"""The sweeper as a service: until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import timedelta
from types import FrameType

from dag_retry._errors import ConfigError, DagRetryError
from dag_retry.sweeper.sweeper import sweeper

log = logging.getLogger(__name__)

# In seconds, between two looks for failed runs that nobody has claimed.
_LOOK_EVERY = 60.0
# In seconds, after Redis or Airflow has failed; twice as long each time, up to the second.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


def sweep_once() -> None:
    """Finish what is due, look for failed runs that nobody has claimed, and return.

    :raises DagRetryError: a setting, Redis or Airflow stood in the way.
    """
    with sweeper() as once:
        once.sweep()
        once.find_unclaimed()


def serve(interval: timedelta) -> None:
    """Sweep until SIGTERM or SIGINT comes; what is in hand then is finished first.

    :param interval: how long to wait, at most, before the next look at what is due.
    :raises ConfigError: a setting is missing or wrong.
    """
    stop = threading.Event()

    def stopped(number: int, frame: FrameType | None) -> None:
        log.info("Dag retry: the sweeper stops (%s).", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopped)
    pause, look_at = _PAUSE, 0.0
    while not stop.is_set():
        try:
            with sweeper() as service:
                log.info("Dag retry: the sweeper looks every %g s.", interval.total_seconds())
                while not stop.is_set():
                    wait = service.sweep(lambda: not stop.is_set())
                    if time.monotonic() >= look_at:
                        look_at = time.monotonic() + _LOOK_EVERY
                        service.find_unclaimed()
                    pause = _PAUSE
                    stop.wait(min(interval, wait or interval).total_seconds())
        except ConfigError:
            raise
        except DagRetryError as error:
            log.error("Dag retry: the sweeper goes on in %g s: %s", pause, error)
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
