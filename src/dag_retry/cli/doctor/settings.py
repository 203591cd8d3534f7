"""Checks of the section ``[dag_retry]``: settings that nothing reads, and values that nothing can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from dag_retry._airflow import section, unread
from dag_retry._airflow.options import OPTIONS
from dag_retry._errors import ConfigError
from dag_retry._policy.conditions import Conditions
from dag_retry._policy.delays import Delays
from dag_retry._policy.hooks import Hooks
from dag_retry._policy.policy import limited
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import Lifetimes
from dag_retry.cli.doctor.finding import Finding


def examine() -> Iterator[Finding]:
    """Yield the findings about the section, as it stands here."""
    found = [*_unread(), *_wrong()]
    yield from found or [Finding("settings", "ok", f"[{section.SECTION}]: all that is set here is known and right")]


def _unread() -> Iterator[Finding]:
    for typed, meant in unread.unread():
        if meant and typed.upper() in (f"{meant.upper()}_CMD", f"{meant.upper()}_SECRET"):
            secrets = ", ".join(filter(unread.takes_command, OPTIONS))
            remedy = f"set {meant}: _CMD and _SECRET are for secrets ({secrets})"
        elif meant:
            remedy = f"did you mean {meant}?"
        else:
            remedy = f"remove {typed}; airflow config list --section {section.SECTION} shows the options"
        yield Finding(typed, "fault", "no option has this name, so nothing reads the setting", remedy)


def _wrong() -> Iterator[Finding]:
    """Find options with a wrong value. A message names its option first, and several checks may give the same one."""
    said = dict.fromkeys(str(error) for check in _checks() if (error := _error(check)))
    for message in said:
        name = message.removeprefix(f"[{section.SECTION}] ").partition(" ")[0]
        yield Finding(f"[{section.SECTION}] {name}", "fault", "its value is not usable", message)


def _checks() -> list[Callable[[], object]]:
    """Return the checks of each option, and of those options whose parts a ``DagRetry`` or a client looks at."""
    return [
        *(partial(section.get, name) for name in OPTIONS),
        lambda: limited(section.configured("max_attempts") or 0, section.named("max_attempts")),
        lambda: Delays.of(None, None, None, None),
        lambda: Conditions.of(None, None, None, None, None),
        Hooks,
        lambda: Lifetimes(section.get("ttl")),
        lambda: Keys(section.get("namespace")),
    ]


def _error(check: Callable[[], object]) -> ConfigError | None:
    try:
        check()
    except ConfigError as error:
        return error
    return None
