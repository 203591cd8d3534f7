"""The picture of the race is what the script draws from the recording, and can be read in both colour schemes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from tests.demo.picture import DESCRIPTION, PICTURE, STATIC, TITLE, draw
from tests.demo.recording import FILE

SVG = "{http://www.w3.org/2000/svg}"
THEMES = ("light", "dark")
TEXT, SHAPE = 4.5, 3.0
"""The least contrast of text, and of other shapes, to what is behind them: WCAG 2.2, 1.4.3 (AA) and 1.4.11."""


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    return ET.parse(PICTURE).getroot()


def test_it_is_drawn_from_the_recording() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw(json.loads(FILE.read_text()))


def test_what_it_draws_is_what_happened(picture: ET.Element) -> None:
    shown = [text.text for text in picture.iter(f"{SVG}text")]
    runs = json.loads(FILE.read_text())["runs"]
    recover, exhaust = runs["branches_recover"], runs["branches_exhaust"]
    assert (recover["state"], recover["clears"], recover["alerts"]) == ("success", 1, 0)
    assert (exhaust["state"], exhaust["clears"], exhaust["alerts"]) == ("failed", 2, 1)
    assert (shown.count("won"), shown.count("lost"), shown.count("clear")) == (1, 2, 1)
    assert (shown.count("✗"), shown.count("✓")) == (3 + 9, 3)
    assert "9 failures, 2 clears, 1 alert" in shown


def test_another_run_is_drawn_otherwise() -> None:
    """A branch that the clear stopped before it failed has not called back."""
    recorded = json.loads(FILE.read_text())
    events = recorded["runs"]["branches_recover"]["events"]
    events.remove(next(event for event in events if event["event"] == "lost"))
    shown = [text.text for text in ET.fromstring(draw(recorded)).iter(f"{SVG}text")]
    assert (shown.count("lost"), shown.count("callback")) == (1, 2)


def test_it_says_what_it_shows(picture: ET.Element) -> None:
    said = [picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")]
    assert [each.text for each in said if each is not None] == [TITLE, DESCRIPTION]
    ids = [each.get("id") for each in said if each is not None]
    assert picture.get("aria-labelledby") == " ".join(map(str, ids))
    assert picture.get("role") == "img"


def test_it_loads_nothing(picture: ET.Element) -> None:
    """An SVG in ``<img>`` runs no scripts and loads nothing; then it must need neither."""
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "path",
        "text",
    }
    text = PICTURE.read_text(encoding="utf-8")
    assert not re.search(r"href|url\(|@import|@font-face|\son\w+=", text)
    assert len(text) < 25_000


def test_the_page_shows_it() -> None:
    class Images(HTMLParser):
        found: dict[str, str | None] = {}  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                self.found = dict(attrs)

    images = Images()
    images.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    assert images.found["src"] == PICTURE.name
    assert images.found["alt"]


@pytest.mark.parametrize("theme", THEMES)
def test_contrast(picture: ET.Element, theme: str) -> None:
    style = picture.findtext(f"{SVG}style") or ""
    assert style.split("{")[0].strip() == "@media (prefers-color-scheme: dark)"
    dark = {name: colour for name, paint, colour in re.findall(r"\.([\w-]+) \{ (\w+): (#\w+) \}", style)}

    def colour(shape: ET.Element, paint: str) -> str | None:
        (name,) = [each for each in shape.get("class", "").split() if each.startswith(f"{paint}-")] or [""]
        return dark[name] if theme == "dark" and name else shape.get(paint)

    def behind(x: float, y: float, shapes: list[ET.Element]) -> str:
        """Return the colour of the topmost box there."""
        for box in reversed(shapes):
            left, top, width, height = (float(box.get(name, "nan")) for name in ("x", "y", "width", "height"))
            if left <= x <= left + width and top <= y <= top + height:
                return str(colour(box, "fill"))
        raise AssertionError((x, y))

    boxes: list[ET.Element] = []
    for shape in picture:
        match shape.tag.removeprefix(SVG):
            case "rect":
                if boxes:
                    around = behind(float(shape.get("x", "")) - 1, float(shape.get("y", "")) - 1, boxes)
                    assert contrast(str(colour(shape, "stroke")), around) >= SHAPE, shape.attrib
                boxes.append(shape)
            case "text":
                found = contrast(
                    str(colour(shape, "fill")), behind(float(shape.get("x", "")), float(shape.get("y", "")), boxes)
                )
                assert found >= TEXT, (shape.text, found)
            case "path" if "line" not in shape.get("class", ""):
                x, y = map(float, re.findall(r"[\d.]+", shape.get("d", ""))[:2])
                paint = "stroke" if shape.get("stroke") else "fill"
                assert contrast(str(colour(shape, paint)), behind(x + 1, y, boxes)) >= SHAPE, shape.attrib


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    channels = re.findall("..", digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(channel, 16) / 255 for channel in channels)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_told() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777", "#ffffff") < TEXT < contrast("#767676", "#fff")
