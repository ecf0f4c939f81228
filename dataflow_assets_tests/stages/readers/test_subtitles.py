"""Subtitles: what was said, by whom, about when."""

from __future__ import annotations

import pytest

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item
from dataflow_assets.stages.readers.subtitles import read_subtitles


def read(text: str) -> str:
    return read_subtitles(Item(text.encode(), "a.vtt", "text/vtt")).text


def test_webvtt_keeps_speakers_and_notes_and_drops_the_rest() -> None:
    text = (
        "WEBVTT - A film\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE About this film\n\n"
        "id-1\n00:11.000 --> 00:13.000 align:start\n<v.loud Ann Lee>We are <i>in</i> <c.red>town</c> &amp; here</v>\n\n"
        "00:13.000 --> 00:16.000\n<v Ann Lee>still <00:14.000>here\n\n"
        "01:20:16.000 --> 01:20:18.000\n<v Bob>- Yes.\n- No 5 < 6\n"
    )
    assert read(text) == (
        "(About this film)\n[00:00:11] Ann Lee: We are in town & here\nstill here\n[01:20:16] Bob: - Yes. - No 5 < 6\n"
    )
    assert read_subtitles(Item(text.encode(), "a.vtt", "text/vtt")).title == "A film"


def test_subrip_loses_its_numbers_only() -> None:
    text = '1\r\n00:00:01,000 --> 00:00:02,000\r\n<font color="red">42</font> is {\\an8}it\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nsecond\r\nline\r\n3\r\n00:00:05,000 --> 00:00:06,000\r\nthird\r\n'
    assert read(text) == "[00:00:01] 42 is it\nsecond line\nthird\n"


@pytest.mark.parametrize("text", ["WEBVTT\n\n", "WEBVTT\n\n1\n00:01.000 --> 00:02.000\n\n"])
def test_silence_has_no_text(text: str) -> None:
    with pytest.raises(ReadError, match="no text"):
        read(text)


def test_hostile_lines_take_linear_time() -> None:
    assert read("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v " * 50_000)
    assert read("00:" * 50_000 + "-->\nsaid")
