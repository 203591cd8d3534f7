"""The project's documents: their blocks of code, their links, and their prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
ROOMS = sorted(file for folder in ("lua", "src", "tests") for file in (ROOT / folder).rglob("README.md"))
DOCUMENTS = [README, *ROOMS]
"""Their blocks of code are run. The changelog has none."""


class Block(NamedTuple):
    """A block of code."""

    document: Path
    language: str
    code: str


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


BLOCKS = [
    Block(document, language, code)
    for document in DOCUMENTS
    for language, code in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text_of(document))
]


def blocks(language: str, mark: str = "", document: Path | None = None) -> list[str]:
    """Return the blocks of a language that hold a mark: of one document, or of all."""
    return [
        block.code
        for block in BLOCKS
        if block.language == language and mark in block.code and document in (None, block.document)
    ]


def prose(document: Path) -> str:
    """Return the text of a document without blocks of code and comments, and with the text of its links only."""
    text = re.sub(r"(?ms)^```.*?^```$|<!--.*?-->", "\n", text_of(document))
    return re.sub(r"!?\[((?:[^\[\]]|`[^`]*`)*)\]\([^)]*\)", r"\1", text)


def links(document: Path) -> list[str]:
    """Return where a document's links and pictures lead."""
    text = re.sub(r"(?ms)^```.*?^```$|<!--.*?-->", "", text_of(document))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)


def anchors(document: Path) -> set[str]:
    """Return the anchors that a Markdown viewer makes of the headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text_of(document)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def paragraphs(document: Path) -> Iterator[str]:
    """Yield what is read in one go: paragraphs, elements of lists, headings, and what the cells of tables hold."""
    plain = prose(document).replace("**", "")
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) |#|\|)|(?<=\|)\n", plain):
        if block.startswith("|"):
            yield from (part.strip() for part in re.split(r"(?<!\\)\||; |<br>", block))
        else:
            yield re.sub(r"^\s*(?:[-*]|\d+\.|#+) ", "", block)


def filled(text: str, name: str, content: str) -> str:
    """Return a document's text with other content between the comments ``name`` and ``end of name``."""
    between = rf"(?s)(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)"
    text, found = re.subn(between, lambda _: f"\n{content.strip()}\n\n", text)
    assert found == 1, name
    return text
