"""The page has words of its own for statuses and events: one for each, and the table of statuses names them too."""

from __future__ import annotations

import re
from pathlib import Path

from dag_retry import Status
from dag_retry.cli.prometheus import EVENTS

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "src/dag_retry/plugin/page/static"


def test_each_event_has_words() -> None:
    (told,) = re.findall(r"(?ms)^const TOLD = \{\n(.*?)^\};$", (STATIC / "run.js").read_text(encoding="utf-8"))
    assert set(re.findall(r"(?m)^  (\w+): ", told)) >= set(EVENTS)


def test_the_table_of_statuses_has_the_words_of_the_page() -> None:
    (words,) = re.findall(r"(?ms)^export const STATUSES = \{\n(.*?)^\};$", (STATIC / "words.js").read_text())
    of_page = dict(re.findall(r'(?m)^  (\w+): "(.*)",$', words))
    table = (ROOT / "lua/README.md").read_text(encoding="utf-8").partition("## Statuses")[2].partition("## ")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \| ([^|]+) \|", table)
    assert [status for status, _ in rows] == [status.value for status in Status]
    assert rows == [(status.value, of_page[status.value]) for status in Status]
