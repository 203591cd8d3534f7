"""The sweeper as a service, which runs until a signal stops it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import timedelta
from types import FrameType

from dag_retry._errors import ApiUnanswered, ConfigError, DagRetryError
from dag_retry.sweeper.sweeper import sweeper

log = logging.getLogger(__name__)

# In seconds, between two looks for failed runs that no callback has claimed.
_LOOK_EVERY = 60.0
# In seconds: the pause after Redis or Airflow has failed. It doubles with each failure, up to the longest pause.
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# In seconds: Airflow may ask for a longer pause than that, but for no longer one than this.
_LONGEST_ASKED = 3600.0


def sweep_once() -> None:
    """Finish every run that is due, look at Airflow's runs, and return.

    :raises ConfigError: a setting is missing or wrong.
    :raises DagRetryError: Redis failed, or Airflow refused, or Airflow gave no clear answer.
    """
    with sweeper() as once:
        once.sweep()
        once.look()


def serve(interval: timedelta) -> None:
    """Sweep until SIGTERM or SIGINT comes. The sweeper finishes the run in hand before it stops.

    :param interval: the longest wait before the next look at what is due.
    :raises ConfigError: a setting is missing or wrong.
    """
    stop = threading.Event()

    def stopped(number: int, frame: FrameType | None) -> None:
        log.info("Dag retry: the sweeper stops (%s).", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopped)
    pause, look_at, begun = _PAUSE, 0.0, False
    while not stop.is_set():
        try:
            with sweeper(begun=begun) as service:
                begun = True
                log.info("Dag retry: the sweeper looks every %g s.", interval.total_seconds())
                while not stop.is_set():
                    wait = service.sweep(lambda: not stop.is_set())
                    service.way.beat()
                    if time.monotonic() >= look_at:
                        look_at = time.monotonic() + _LOOK_EVERY
                        service.look()
                    pause = _PAUSE
                    stop.wait(min(interval, wait or interval).total_seconds())
        except Exception as error:
            if isinstance(error, ConfigError) and not begun:
                raise
            asked = error.retry_after if isinstance(error, ApiUnanswered) else 0
            now = max(pause, min(asked, _LONGEST_ASKED))
            # Nothing stops a sweeper. An error that is none of ours is a fault of this package.
            log.error(
                "Dag retry: the sweeper goes on in %g s: %s", now, error, exc_info=not isinstance(error, DagRetryError)
            )
            stop.wait(now)
            pause = min(2 * pause, _LONGEST_PAUSE)
