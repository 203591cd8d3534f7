"""What can be held of the style by a test: short modules, and short sentences in docstrings, comments and documents."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import pytest

from tests.documents import CHANGELOG, DOCUMENTS, README, name_of, paragraphs, prose, text_of

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.js"), *(ROOT / "lua").glob("*.lua")])
MOST_LINES = 250
MOST_WORDS = 25

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


@each_file
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@each_file
def test_sentences_are_short(file: Path) -> None:
    assert [each for text in texts(file) for each in sentences(text) if len(each.split()) > MOST_WORDS] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, CHANGELOG], ids=name_of)
def test_sentences_of_documents_are_short(document: Path) -> None:
    assert [each for text in paragraphs(document) for each in sentences(text) if len(each.split()) > MOST_WORDS] == []


def test_the_readme_is_short() -> None:
    lines = text_of(README).splitlines()
    assert len(lines) <= MOST_LINES
    first_screen = re.sub(r"(?ms)^```.*?^```$|<!--.*?-->", "\n\n", "\n".join(lines[:45])).replace("**", "")
    wholes = [whole for text in first_screen.split("\n\n") for whole in re.split(r"(?<=[.?!])\s", text)]
    assert [whole for whole in wholes if len(whole.split()) > 30] == []


def test_the_readme_explains_its_words() -> None:
    """A word of ours is bold where it is explained, and stands nowhere before. Others of ours are not needed."""
    text = re.sub(r"`.+?`", "code", prose(README).lower())
    for word in ("winner", "attempts", "sweeper", "hook"):
        assert text.index(f"**{word}**") == text.index(word.rstrip("s")) - 2, word
    for word in ("generation", "budget", "ending", "verdict", "record", "orphan"):
        assert not re.search(rf"\b{word}s?\b", re.sub(r"(?m)^\|.*$", "", text)), word


def test_long_sentences_are_found(tmp_path: Path) -> None:
    long = "word " * (MOST_WORDS + 1)
    for name, source in (
        ("docstring.py", f'def function():\n    """Do it.\n\n    :param argument: {long}\n    """\n'),
        ("comment.py", f"# One.\n# {long}\npass\n"),
        ("comment.lua", f"-- One.\n-- {long}\nlocal text = '--'\n"),
        ("comment.js", f'const url = "https://example.com"; // {long}\n'),
    ):
        file = tmp_path / name
        file.write_text(source)
        with pytest.raises(AssertionError):
            test_sentences_are_short(file)


def texts(file: Path) -> Iterator[str]:
    """Yield the docstrings and the comments of a file. Comments that fill successive lines are one text."""
    source = file.read_text(encoding="utf-8")
    block: list[str] = []
    for code, comment in comments(source, file.suffix):
        if comment and not code.strip():
            block.append(comment)
        else:
            yield "\n".join(block)
            yield comment
            block = []
    yield "\n".join(block)
    for node in ast.walk(ast.parse(source)) if file.suffix == ".py" else ():
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield cleandoc(docstring)


def comments(source: str, suffix: str) -> Iterator[tuple[str, str]]:
    """Yield the code and the comment of each line."""
    lines = source.splitlines()
    if suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        starts = dict(token.start for token in tokens if token.type == tokenize.COMMENT)
        for number, line in enumerate(lines, 1):
            start = starts.get(number, len(line))
            yield line[:start], line[start:].lstrip("#").removeprefix(" ")
    else:
        for line in lines:
            before, _, comment = re.sub(r"(?:^|\s)(?:--|//)(?: |$)", "\0", line + " ", count=1).partition("\0")
            yield before, comment.rstrip()


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, without code. Parameters and the elements of lists and tables begin anew."""
    text = re.sub(r"::\n\n(?: .*\n|\n)+", ".\n\n", text + "\n")
    for paragraph in re.split(r"\n\s*\n|\n(?=:\w|- |  |``\w+``  )", text):
        yield from re.split(r"(?<=[.:?!])\s", " ".join(re.sub(r"``.+?``|`.+?`", "code", paragraph).split()))
