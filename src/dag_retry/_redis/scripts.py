"""The scripts, as Redis takes them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple


class Script(NamedTuple):
    """A script.

    :param text: what it does.
    :param sha: the name by which Redis knows it, once it has had the text (redis.io/commands/evalsha).
    """

    text: str
    sha: str


@cache
def script(*names: str) -> Script:
    """Return the script of these files, one after the other."""
    text = "".join(map(text_of, names))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def text_of(name: str) -> str:
    """Return a file's code. In a wheel ``lua`` lies in the package, in a checkout beside ``src``.

    Comments and indentation are left out: Redis hashes what it is given, 2 µs for each 1,000 bytes.
    """
    folder = resources.files("dag_retry") / "lua"
    if not folder.is_dir():
        folder = Path(__file__).parents[3] / "lua"
    lines = map(str.strip, (folder / f"{name}.lua").read_text(encoding="utf-8").splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("--"))
