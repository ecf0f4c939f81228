"""AsciiDoc: the source with Markdown's marks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.asciidoc import read_asciidoc
from dataflow_assets.stages.readers.item import Item, Reading


def read(text: str) -> Reading:
    return read_asciidoc(Item(text.encode(), "a.adoc", "text/asciidoc"))


SOURCE = """= The Guide
Ann Lee <ann@example.org>
:version: 2.1
:toc:

// a remark
include::other.adoc[]

== First steps

Use version {version} with {unknown}. See <<next,the next part>> and https://example.org[the site^].

[source,ruby]
----
= not a heading
| not a table
----

.A list
* one
** two
. first

[cols="1,1",options="header"]
|===
|Name |Value

|a
|b

|c|d
|===

NOTE: Take care.

[WARNING]
====
Hot.
====

Term:: its meaning

Old style
---------
image::pic.png[A picture]
"""


def test_structure_becomes_markdown() -> None:
    reading = read(SOURCE)
    assert reading.title == "The Guide"
    assert reading.metadata == {"authors": "Ann Lee"}
    for part in (
        "# The Guide\n", "## First steps\n", "Use version 2.1 with {unknown}.",
        "See the next part and [the site](https://example.org).", "```ruby\n= not a heading\n| not a table\n```",
        "**A list**\n\n- one\n  - two\n1. first", "| Name | Value |\n| --- | --- |\n| a | b |\n| c | d |",
        "NOTE: Take care.", "WARNING:", "Hot.", "- Term: its meaning", "## Old style\n", "![A picture](pic.png)",
    ):  # fmt: skip
        assert part in reading.text
    assert "remark" not in reading.text
    assert "include" not in reading.text


@given(st.lists(st.text(alphabet="ab =*.-|{}[]:<>,/", max_size=12), max_size=12))
def test_any_lines_are_read_and_no_word_of_prose_is_lost(lines: list[str]) -> None:
    prose = "plain words stand here"
    text = "\n".join([*lines, "", prose, ""])
    try:
        assert read(text).text
    except ReadError as error:
        assert "no text" in str(error)  # noqa: PT017
    assert prose in read("\n".join([prose, "", *lines])).text


def test_hostile_lines_take_linear_time() -> None:
    for piece in ("[", "<<", "{a", "|", "link:", "image:", "a::", "= ", "[["):
        assert read(piece * 10_000 + "\n").text
