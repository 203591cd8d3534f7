"""Draw the picture of the race from the recording: ``python -m tests.demo.picture``.

README and page show the file. ``python -m tests.demo --record`` records anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.demo.recording import FILE

STATIC = Path(__file__).parents[2] / "src" / "dag_retry" / "plugin" / "page" / "static"
PICTURE = STATIC / "race.svg"

TITLE = "One failure, one winner, one clear"
DESCRIPTION = (
    "Three branches of a Dag run fail together. Their three callbacks ask one script in Redis. One wins and clears the "
    "run, two lose and do nothing. The whole run starts again, and succeeds. Below, a run whose every attempt fails: "
    "it is given up after two attempts, with one alert."
)
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
WIDTH, HEIGHT = 800, 468
MARKS = {"success": ("green", "✓"), "failed": ("red", "✗")}
TOP, ROW, BOX = 92, 56, 44
"""Of the race: where its first row begins, from row to row, and how high a box is."""


def main() -> None:
    PICTURE.write_text(draw(json.loads(FILE.read_text())), encoding="utf-8")


def colours(theme: str) -> dict[str, str]:
    """Return the page's colours by name: of the theme ``light`` or ``dark``."""
    start = ":root {" if theme == "light" else f':root[data-theme="{theme}"] {{'
    _, _, rest = (STATIC / "page.css").read_text(encoding="utf-8").partition(f"{start}\n")
    return dict(re.findall(r"--([\w-]+): (#\w+);", rest.partition("}")[0]))


class Drawing:
    """An SVG whose shapes have the light colours as attributes. Where a browser wants it, a class has the dark one.

    So a viewer that ignores styles, or forbids them, still shows the picture.
    """

    def __init__(self) -> None:
        self.light, self.dark = colours("light"), colours("dark")
        self.used = set[tuple[str, str]]()
        self.shapes: list[ET.Element] = []

    def text_of(self) -> str:
        size = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "width": str(WIDTH), "height": str(HEIGHT)}
        labels = {"role": "img", "aria-labelledby": "title desc", "font-family": FONT}
        svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg"} | size | labels)
        ET.SubElement(svg, "title", id="title").text = TITLE
        ET.SubElement(svg, "desc", id="desc").text = DESCRIPTION
        rules = [f".{paint}-{name} {{ {paint}: {self.dark[name]} }}" for paint, name in sorted(self.used)]
        dark = "\n".join(f"    {rule}" for rule in rules)
        ET.SubElement(svg, "style").text = f"\n  @media (prefers-color-scheme: dark) {{\n{dark}\n  }}\n  "
        svg.extend(self.shapes)
        ET.indent(svg)
        return ET.tostring(svg, encoding="unicode") + "\n"

    def add(self, tag: str, attributes: Mapping[str, object], **paints: str) -> ET.Element:
        """Add a shape. ``fill`` and ``stroke`` are names of colours."""
        self.used |= set(paints.items())
        classes = " ".join(f"{paint}-{name}" for paint, name in paints.items())
        colour = {paint: self.light[name] for paint, name in paints.items()}
        shape = ET.Element(tag, {name: str(value) for name, value in attributes.items()} | colour | {"class": classes})
        self.shapes.append(shape)
        return shape

    def box(self, x: float, y: float, size: tuple[float, float], fill: str, stroke: str = "") -> None:
        paints = {"fill": fill} | ({"stroke": stroke} if stroke else {})
        self.add("rect", {"x": x, "y": y, "width": size[0], "height": size[1], "rx": 8}, **paints)

    def text(self, x: float, y: float, text: str, fill: str = "text", size: int = 14, **more: object) -> None:
        attributes = {name.replace("_", "-"): value for name, value in more.items()}
        self.add("text", {"x": x, "y": y, "font-size": size} | attributes, fill=fill).text = text

    def arrow(self, x: float, to: float, y: float, colour: str, label: str = "") -> None:
        self.add("path", {"d": f"M{x} {y} H{to - 7}", "stroke-width": 2}, stroke=colour)
        self.add("path", {"d": f"M{to} {y} l-9 -5 v10 z"}, fill=colour)
        if label:
            self.text((x + to - 7) / 2, y - 6, label, colour, 12, text_anchor="middle")


def draw(recorded: Mapping[str, Any]) -> str:
    """Return the picture as SVG.

    :param recorded: what ``recording.py`` wrote.
    """
    drawing = Drawing()
    drawing.box(0.5, 0.5, (WIDTH - 1, HEIGHT - 1), "card", "line")
    race(drawing, recorded["runs"]["branches_recover"])
    ending(drawing, recorded["runs"]["branches_exhaust"])
    drawing.text(24, HEIGHT - 18, f"Drawn from two real runs on Airflow {recorded['airflow']}.", "muted", 12)
    return drawing.text_of()


def race(drawing: Drawing, run: Mapping[str, Any]) -> None:
    """Draw how three branches fail, one callback wins, and the run comes back."""
    first, second = generations(run["tries"])
    answers = {
        event["task_id"]: event
        for event in run["events"]
        if event["event"] in ("won", "lost") and (event["level"], event["generation"]) == ("task", 0)
    }
    (won,) = (answer for answer in answers.values() if answer["event"] == "won")
    (cleared,) = (event for event in run["events"] if event["event"] == "cleared")
    title = "Three branches fail together. The run is cleared once, and starts again."
    drawing.text(24, 36, title, size=17, font_weight=650)
    for x, head in (
        (24, "Three tasks fail"),
        (232, "Redis picks one callback"),
        (520, "One clear"),
        (648, "All run again"),
    ):
        drawing.text(x, 74, head, "muted", 13)
    column(drawing, 232, 84, "violet", ("Redis", "one script"))
    column(drawing, 520, 92, "blue", ("clear", "the whole run"))
    for row, (failed, again) in enumerate(zip(first, second, strict=True)):
        y, middle = TOP + row * ROW, TOP + row * ROW + BOX / 2
        task(drawing, 24, y, failed)
        if answer := answers.get(failed["task_id"]):
            drawing.arrow(152, 232, middle, "muted", "callback")
            drawing.arrow(316, 350, middle, "green" if answer is won else "muted")
            verdict(drawing, 350, y, answer)
        if answer is won:
            drawing.arrow(486, 520, middle, "green")
        drawing.arrow(612, 648, middle, "blue")
        task(drawing, 648, y, again)
    times = [event["at"] for event in answers.values()]
    began = min(each["begin"] for each in second)
    for x, text in (
        (350, f"answered within {seconds(max(times) - min(times))}"),
        (520, f"{seconds(cleared['at'] - won['at'])} later"),
        (648, f"{seconds(began - won['at'])} after the win"),
    ):
        drawing.text(x, TOP + 2 * ROW + BOX + 20, text, "muted", 12)


def column(drawing: Drawing, x: float, width: float, colour: str, words: tuple[str, str]) -> None:
    """Draw a box that is as high as all rows."""
    centre, middle = x + width / 2, TOP + ROW + BOX / 2
    drawing.box(x, TOP, (width, 2 * ROW + BOX), f"{colour}-soft", colour)
    drawing.text(centre, middle - 2, words[0], colour, 15, font_weight=650, text_anchor="middle")
    drawing.text(centre, middle + 16, words[1], colour, 12, text_anchor="middle")


def task(drawing: Drawing, x: float, y: float, tried: Mapping[str, Any]) -> None:
    """Draw a try of a task."""
    colour, mark = MARKS[tried["state"]]
    drawing.box(x, y, (128, BOX), f"{colour}-soft", colour)
    drawing.text(x + 12, y + 27, mark, colour, 16, font_weight=700)
    drawing.text(x + 34, y + 27, tried["task_id"])


def verdict(drawing: Drawing, x: float, y: float, answer: Mapping[str, Any]) -> None:
    """Draw what Redis answered a callback."""
    won = answer["event"] == "won"
    said = f"attempt {answer['attempt']} of {answer['max_attempts']}" if won else "does nothing"
    colour = "green" if won else "muted"
    drawing.box(x, y, (136, BOX), "green-soft" if won else "gray-soft", colour)
    drawing.text(x + 12, y + 19, answer["event"], "green" if won else "text", font_weight=650)
    drawing.text(x + 12, y + 36, said, colour, 12)


def ending(drawing: Drawing, run: Mapping[str, Any]) -> None:
    """Draw how a run ends whose every attempt fails."""
    drawing.add("path", {"d": f"M24 292 H{WIDTH - 24}"}, stroke="line")
    drawing.text(24, 324, "If no attempt succeeds, the run is given up.", size=15, font_weight=650)
    won = [event for event in run["events"] if event["event"] == "won"]
    (exhausted,) = (event for event in run["events"] if event["event"] == "exhausted")
    y, tries = 348, generations(run["tries"])
    for generation, each in enumerate(tries):
        x = 24 + 192 * generation
        for number, tried in enumerate(each):
            colour, mark = MARKS[tried["state"]]
            drawing.box(x + 36 * number, y, (30, BOX), f"{colour}-soft", colour)
            drawing.text(x + 36 * number + 15, y + 27, mark, colour, 16, font_weight=700, text_anchor="middle")
        attempt = (
            f"attempt {won[generation - 1]['attempt']} of {exhausted['max_attempts']}" if generation else "the run"
        )
        drawing.text(x, y + BOX + 18, attempt, "muted", 12)
        if generation < len(won):
            drawing.arrow(x + 108, x + 186, y + BOX / 2, "blue", "one clear")
        else:
            drawing.arrow(x + 108, x + 186, y + BOX / 2, "red", "none left")
    x = 24 + 192 * len(tries)
    drawing.box(x, y, (WIDTH - 24 - x, BOX), "red-soft", "red")
    drawing.text(x + 12, y + 19, "given up", "red", font_weight=650)
    drawing.text(x + 12, y + 36, "somebody is told", "red", 12)
    failures = sum(each["state"] == "failed" for each in run["tries"])
    drawing.text(x, y + BOX + 18, f"{failures} failures, {run['clears']} clears, {run['alerts']} alert", "muted", 12)


def generations(tries: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the tries by generation. Each clear begins a new one, and each task has a try in it."""
    ordered = sorted(tries, key=lambda each: (each["try_number"], each["task_id"]))
    return [list(group) for _, group in groupby(ordered, key=lambda each: each["try_number"])]


def seconds(ms: int) -> str:
    return f"{ms} ms" if ms < 100 else f"{ms / 1000:.1f} s"


if __name__ == "__main__":
    main()
