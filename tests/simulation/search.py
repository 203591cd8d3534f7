"""Every schedule, shortest first, or random ones, by seed."""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from tests.simulation.airflow import Actor, Airflow, BrokenPromiseError, Faults, Move, State, Task


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search went through.

    :param states: how many that differ.
    :param moves: from one of them to another.
    """

    states: int
    moves: int


def exhaustively(airflow: Airflow, tasks: int, faults: Faults) -> Searched:
    """Try every order of everything.

    :raises BrokenPromiseError: with the shortest schedule that breaks a promise.
    """
    with airflow.flow.installed(), _uncollected():
        return _exhaustively(airflow, tasks, faults)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the garbage collector rest. It would look again and again at all states, and find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _exhaustively(airflow: Airflow, tasks: int, faults: Faults) -> Searched:
    start = State(faults, (Task(),) * tasks)
    came_from: dict[State, tuple[State, Move] | None] = {start: None}
    queue = deque([start])
    moves = 0
    while queue:
        state = queue.popleft()
        before = moves
        try:
            for move in airflow.moves(state):
                moves += 1
                _take(state, move, came_from, queue)
            if moves == before:
                airflow.check_rest(state)
            for move in airflow.faults(state):
                moves += 1
                _take(state, move, came_from, queue)
        except BrokenPromiseError as broken:
            path = [move] if moves > before else []
            while step := came_from[state]:
                state, move = step
                path.append(move)
            _raise(broken, reversed(path))
    return Searched(len(came_from), moves)


def _take(state: State, move: Move, came_from: dict[State, tuple[State, Move] | None], queue: deque[State]) -> None:
    happen, arguments = move
    after = happen(state, *arguments)
    known = len(came_from)
    came_from.setdefault(after, (state, move))  # a lookup first would hash the state twice
    if len(came_from) > known:
        queue.append(after)


def at_random(airflow: Airflow, tasks: int, faults: Faults, seed: int) -> State:
    """Try one order, which the seed chooses.

    :return: the end.
    :raises BrokenPromiseError: with the schedule that breaks a promise.
    """
    with airflow.flow.installed():
        return _at_random(airflow, tasks, faults, random.Random(seed))


def _at_random(airflow: Airflow, tasks: int, faults: Faults, choice: random.Random) -> State:
    state = State(faults, (Task(),) * tasks)
    path = []
    try:
        while True:
            possible = list(airflow.moves(state))
            if not possible:
                airflow.check_rest(state)
            if not possible or choice.random() < 0.15:
                possible = list(airflow.faults(state)) or possible
            if not possible:
                return state
            move = choice.choice(possible)
            path.append(move)
            happen, arguments = move
            state = happen(state, *arguments)
    except BrokenPromiseError as broken:
        _raise(broken, path)


def _raise(broken: BrokenPromiseError, path: Iterable[Move]) -> NoReturn:
    raise BrokenPromiseError(f"{broken}, by: {' · '.join(map(_told, path))}") from None


def _told(move: Move) -> str:
    happen, arguments = move
    told = [happen.__name__.replace("_", " ")]
    for argument in arguments:
        if isinstance(argument, Actor):
            request = argument.at.request
            asks = (request.of if request.what == "script" else request.what) if request else "ends"
            told = [argument.at.callback.name, asks] if told == ["step"] else [*told, argument.at.callback.name]
        else:
            told.append(str(argument))
    return " ".join(told)
