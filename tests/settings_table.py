"""The tables of settings in ``src/dag_retry/README.md``, made of the table of options.

``python -m tests.settings_table`` refreshes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

from dag_retry import DagRetry
from dag_retry._airflow.options import OPTIONS
from tests.documents import ROOT, filled

DOCUMENT = ROOT / "src" / "dag_retry" / "README.md"

_HEAD = ("option", "default", "e.g.", "what it does")


def tables() -> dict[str, str]:
    """Return the tables, by the name that their markers have."""
    arguments = inspect.signature(DagRetry).parameters
    return {
        "a Dag's settings": _table(arguments),
        "the deployment's settings": _table(name for name in OPTIONS if name not in arguments),
    }


def refreshed(text: str) -> str:
    """Return the document with each table between its markers as it should be."""
    for name, table in tables().items():
        text = filled(text, name, table)
    return text


def _table(names: Iterable[str]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, names)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(name: str) -> tuple[str, ...]:
    if name not in OPTIONS:
        return (f"`{name}`", "", "an argument only", _described(name))
    option = OPTIONS[name]
    default = "" if option.default is None else f"`{option.default}`"
    return (f"`{name}`", default, f"`{option.example}`", option.description)


def _described(name: str) -> str:
    """Return what the docstring says of an argument."""
    [found] = re.findall(rf"(?s):param {name}: (.*?)\n:", inspect.getdoc(DagRetry) or "")
    said = " ".join(found.split())
    return said[0].upper() + said[1:]


if __name__ == "__main__":
    DOCUMENT.write_text(refreshed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
