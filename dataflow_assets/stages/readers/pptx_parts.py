"""What a slide names besides its own text: charts, and the comments of people.

What belongs here: the parts that are the same whatever slide names them; charts stand in Word documents too. What does not:
slides (`pptx`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.package import Element, Package, attribute, child, elements, local

_MAX_POINTS = 20_000


def chart_text(root: Element) -> str:
    """Write a chart: its titles, and its numbers as a table with a column a series."""
    blocks = []
    kinds = [local(part) for part in elements(root, "plotArea") for part in part if local(part).endswith("Chart")]
    if kinds:
        blocks.append(" ".join(re.findall("[A-Z]?[a-z]+", kinds[0])).capitalize())
    for title in elements(root, "title"):
        said = "".join(piece.text or "" for piece in elements(title, "t", "v"))
        if said := " ".join(said.split()):
            blocks.append(said)
    series = [_Series(element) for element in elements(root, "ser")]
    categories: dict[int, str] = {}
    for one in series:
        categories = {**one.categories, **categories}
    places = sorted({place for one in series for place in one.values} | set(categories))[:_MAX_POINTS]
    if places:
        rows = [["", *(one.name for one in series)]]
        rows += [[categories.get(place, ""), *(one.values.get(place, "") for one in series)] for place in places]
        blocks.append(write_table(rows[0], rows[1:]))
    return "\n\n".join(blocks)


class _Series:
    def __init__(self, element: Element) -> None:
        self.name = " ".join(
            "".join(piece.text or "" for piece in elements(name, "v", "t")) for name in element.findall("{*}tx")
        )
        self.categories = _points(element, "cat", "xVal")
        self.values = _points(element, "val", "yVal")


def _points(element: Element, *names: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in names:
        for part in element.findall("{*}" + name):
            for point in elements(part, "pt"):
                place = point.get("idx") or ""
                text = "".join(piece.text or "" for piece in elements(point, "v"))
                if re.fullmatch(r"\d{1,6}", place):
                    found.setdefault(int(place), _number(text))
    return found


def _number(text: str) -> str:
    """A number as people write it: charts keep 0.1 as 0.10000000000000001."""
    if re.fullmatch(r"-?\d{1,9}\.\d{12,20}", text):
        return f"{float(text):.12g}"
    return text


def people_of(package: Package) -> dict[str, str]:
    """Who comments: `{id: name}`."""
    found = {}
    for name in package.names:
        if re.fullmatch(r"ppt/(?:commentAuthors|authors)\.xml", name):
            root = package.xml(name)
            if root is not None:
                for author in elements(root, "cmAuthor", "author"):
                    found[author.get("id") or ""] = " ".join((author.get("name") or "").split())
    return found


def comments_of(root: Element, people: Mapping[str, str]) -> Iterator[str]:
    """Write the comments and replies of one slide, each a paragraph."""
    for comment in elements(root, "cm", "reply"):
        body = child(comment, "text")
        if body is None:
            body = child(comment, "txBody")
        if body is None:
            continue
        pieces = [body.text or ""] if local(body) == "text" else [piece.text or "" for piece in elements(body, "t")]
        if said := " ".join("".join(pieces).split()):
            author = people.get(comment.get("authorId") or "", "")
            date = (attribute(comment, "dt") or attribute(comment, "created") or "")[:40]
            yield f"Comment{f' by {author}' if author else ''}{f' ({date})' if date else ''}: {said}"
