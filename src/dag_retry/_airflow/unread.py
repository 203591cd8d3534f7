"""Settings that are meant for the section ``[dag_retry]``, and that Airflow gives to nobody: misspelt ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from dag_retry._airflow.options import OPTIONS
from dag_retry._airflow.section import SECTION, variable

_SECTION = re.compile(r"(airflow[-_ ]?)?dag[-_ ]?retry", re.IGNORECASE)
_VARIABLE = re.compile(r"AIRFLOW_+DAG_?RETRY_+(\w+)", re.IGNORECASE)
_PREFIX = variable("")


class Unread(NamedTuple):
    """A setting that nothing reads.

    :param typed: the setting, as the user typed its name.
    :param meant: the setting that was meant; empty if no option has a similar name.
    """

    typed: str
    meant: str


def unread() -> list[Unread]:
    """Return the settings that nothing reads: of the environment, and of ``airflow.cfg``."""
    return [*_of_environment(), *_of_file()]


def takes_command(name: str) -> bool:
    """Return whether Airflow also takes an option from a command (``_CMD``) and a secrets backend (``_SECRET``).

    :param name: the name of the option.
    """
    return name in OPTIONS and OPTIONS[name].secret


def _of_environment() -> Iterator[Unread]:
    read = {variable(name) for name in _names()}
    for typed in sorted(os.environ):
        if typed in read:
            continue
        if typed.startswith(_PREFIX):
            meant = _similar(typed.removeprefix(_PREFIX))
            yield Unread(typed, variable(meant) if meant else "")
        # Another prefix may be somebody else's. So the rest must be an option of ours, letter for letter.
        elif (found := _VARIABLE.fullmatch(typed)) and found[1].lower() in _names():
            yield Unread(typed, variable(found[1]))


def _of_file() -> Iterator[Unread]:
    from airflow.sdk.configuration import conf

    for section in conf.sections():
        for name in conf.options(section) if _SECTION.fullmatch(section) else ():
            if name in conf.defaults() or (section == SECTION and name in _names()):
                continue
            meant = _similar(name)
            yield Unread(f"[{section}] {name}", f"[{SECTION}] {meant}" if meant else "")


def _names() -> set[str]:
    """Return every name that Airflow reads."""
    return {*OPTIONS, *(f"{name}{way}" for name in OPTIONS if takes_command(name) for way in ("_cmd", "_secret"))}


def _similar(typed: str) -> str:
    """Return the option that was meant; empty if none is similar."""
    name = typed.lower()
    before = re.sub("_(cmd|secret)$", "", name)
    return before if before in OPTIONS else next(iter(get_close_matches(name, sorted(_names()), n=1)), "")
