"""Settings of one value each: an argument of ``DagRetry``, else the option of that name in ``[dag_retry]``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dag_retry._airflow import sdk
from dag_retry._errors import ConfigError


def named(key: str, argument: object = None) -> str:
    """Return the name of a setting, as its reader must type it."""
    if argument is not None:
        return key
    return f"[{sdk.SECTION}] {key} (AIRFLOW__{sdk.SECTION.upper()}__{key.upper()})"


def whole_number(key: str, argument: int | None, default: int, *, least: int, hint: str = "") -> int:
    """Return a setting that counts.

    :raises ConfigError: it is not a whole number, or less than that.
    """
    value: object = argument
    if argument is None:
        value = sdk.option(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(
            f"{named(key, argument)} is {value!r}: use a whole number of {least} or more, e.g. {default or 1}{hint}"
        )
    return value


def duration(key: str, argument: timedelta | None) -> timedelta | None:
    """Return a setting that is a duration, in the section a number of seconds; None where it is not set.

    :raises ConfigError: it is none, or negative.
    """
    option = sdk.option(key) if argument is None else None
    if argument is None and option is None:
        return None
    value: object = argument if option is None else seconds(option)
    if not isinstance(value, timedelta) or value < timedelta(0):
        shown, example = (repr(argument), "timedelta(minutes=5)") if option is None else (repr(option), "300 (seconds)")
        raise ConfigError(f"{named(key, argument)} is {shown}: use e.g. {example}, and nothing negative")
    return value


def seconds(value: object) -> timedelta | None:
    """Return as many seconds as a number, or the text of one, says; None where it says nothing."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def number(key: str, argument: float | None, default: float, *, least: float) -> float:
    """Return a setting that is a number.

    :raises ConfigError: it is none, or less than that.
    """
    value: Any = sdk.option(key) if argument is None else argument
    if value is None:
        return default
    try:
        found = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError):
        found = float("nan")
    if not least <= found < float("inf"):
        raise ConfigError(f"{named(key, argument)} is {value!r}: use a number of {least:g} or more, e.g. 2")
    return found


def flag(key: str, argument: bool | None) -> bool:
    """Return a setting that is on or off; off where it is not set.

    :raises ConfigError: it is neither.
    """
    value: object = argument
    if argument is None:
        option = sdk.option(key) or "false"
        value = {"true": True, "1": True, "false": False, "0": False}.get(option.strip().lower(), option)
    if not isinstance(value, bool):
        raise ConfigError(f"{named(key, argument)} is {value!r}: use True or False")
    return value


def one_of(key: str, argument: str | None, allowed: Sequence[str]) -> Any:
    """Return a setting that is one of a few words, the first of them where it is not set.

    :raises ConfigError: it is another.
    """
    value = argument if argument is not None else sdk.option(key) or allowed[0]
    if value not in allowed:
        raise ConfigError(f"{named(key, argument)} is {value!r}: use {' or '.join(map(repr, allowed))}")
    return value


def listed(key: str, argument: Any) -> list[Any]:
    """Return a setting that is a list, of which one may stand alone; in the section, with commas between them."""
    if argument is None:
        return [part.strip() for part in (sdk.option(key) or "").split(",") if part.strip()]
    return list(argument) if isinstance(argument, (list, tuple, set, frozenset)) else [argument]
