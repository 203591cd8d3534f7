"""A process that carries out one order after the other, until it is killed."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from dag_retry import ApiUnanswered, ApiUnusable, CounterError
from tests.soak.alert import PagerAwayError

FAULTS = {error.__name__ for error in (ApiUnanswered, ApiUnusable, CounterError, PagerAwayError)}
"""What may go wrong in bad weather."""


class Worker:
    """Such a process.

    :param work: carries out an order. What it raises is the answer.
    :param others: the workers that this process has begun before.
    """

    def __init__(self, work: Callable[[Any], object], others: Sequence[Worker] = ()) -> None:
        fork = multiprocessing.get_context("fork")
        self.connection, theirs = fork.Pipe()
        # A pipe ends when all who hold its other end are gone: no worker may hold another's.
        inherited = [self.connection, *(other.connection for other in others if not other.connection.closed)]
        self.process = fork.Process(target=_obey, args=(theirs, inherited, work), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, order: object) -> bool:
        """Give an order; return whether the worker is alive."""
        try:
            self.connection.send(order)
        except BrokenPipeError:
            return False
        return True

    def answer(self) -> tuple[str, list[str]] | None:
        """Return what was raised, '' for nothing, and the warnings; None if the worker was killed."""
        try:
            error, warned = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        return error, warned

    def bury(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


class _Into(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def _obey(connection: Connection, inherited: list[Connection], work: Callable[[Any], object]) -> None:
    for other in inherited:
        other.close()
    log = logging.getLogger("dag_retry")
    log.propagate = False
    warned: list[str] = []
    log.handlers = [_Into(warned)]
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        warned.clear()
        error = ""
        try:
            work(order)
        except Exception as raised:  # noqa: BLE001 (whoever leads reports it)
            name = type(raised).__name__
            error = name if name in FAULTS else repr(raised)
        connection.send((error, warned))
