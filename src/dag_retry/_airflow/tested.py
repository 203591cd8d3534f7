"""The Airflows on which the live tests run. Parts of this package rely on what Airflow promises to nobody."""

from __future__ import annotations

import re
from typing import Any, Literal

TESTED = ("3.2.2", "3.3.2", "3.4.0b2")
"""In order. Every process of Airflow loads this with the provider's info, so this module imports nothing heavy."""

NEWEST = TESTED[-1]
TESTED_TEXT = f"{', '.join(TESTED[:-1])} and {NEWEST}"


def untested(version: str) -> Literal["", "older", "newer"]:
    """Return whether an Airflow is older or newer than all that were tested; empty if neither.

    :param version: the version, as Airflow writes it. What a vendor appends does not count.
    """
    this = _version(version)
    return "older" if this < _version(TESTED[0]) else "newer" if this > _version(NEWEST) else ""


def is_newer_minor(version: str) -> bool:
    """Return whether an Airflow is of a newer minor version than all that were tested, such as 3.5.

    :param version: the version, as Airflow writes it. What a vendor appends does not count.
    """
    return bool(_version(version).release[:2] > _version(NEWEST).release[:2])


def _version(text: str) -> Any:
    from packaging.version import Version

    found = re.match(r"\d+(\.\d+)*((a|b|rc)\d+)?", text)
    return Version(found[0] if found else "0")
