"""Subtitles (WebVTT, SubRip) become what was said.

What belongs here: cues as lines, with the speaker where one is named, and a time every minute so that a passage can be
found in the film. What does not: cue numbers, positions and styles.
"""

from __future__ import annotations

import re
from html import unescape

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading

_TIMES = re.compile(
    r"\s{0,20}(?:(?P<hours>\d{1,4}):)?(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2})(?:[.,]\d{1,6})?\s{0,20}-{1,2}>\s{0,20}"
    r"(?:\d{1,4}:)?\d{1,2}:\d{1,2}"
)
_VOICE = re.compile(r"<v(?:\.[^\s>]{0,200})?[ \t]{1,20}([^>\n]{1,300})>")
_TAG = re.compile(
    r"</?(?:[a-zA-Z][\w.-]{0,60}(?:[ \t][^<>\n]{0,300})?|\d[\d:.]{1,20})>|\{\\?an?\d\}|\{\\[^{}\n]{1,80}\}"
)
_EVERY = 60
"""Seconds after which a time is written again."""
_BLOCK = re.compile(r"(?:STYLE|REGION|NOTE)(?:[ \t].*)?")


def read_subtitles(item: Item) -> Reading:
    """Read subtitles; raises ReadError where nothing is said."""
    lines = item.decoded.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    parts: list[str] = []
    title = None
    speaker = ""
    marked: int | None = None
    number = 0
    if lines and lines[0].lstrip("\ufeff").startswith("WEBVTT"):
        title = lines[0].lstrip("\ufeff")[6:].strip(" \t-") or None
        number = 1
        while number < len(lines) and lines[number].strip() and "-->" not in lines[number]:
            number += 1
    while number < len(lines):
        line = lines[number]
        number += 1
        times = _TIMES.match(line) if "->" in line else None
        if times is None:
            if block := _BLOCK.fullmatch(line.strip()):
                body = []
                while number < len(lines) and lines[number].strip():
                    body.append(lines[number].strip())
                    number += 1
                if block[0].startswith("NOTE") and (said := " ".join([line.strip()[4:].strip(), *body]).strip()):
                    parts.append(f"({said})")
            elif line.strip() and not _is_label(lines, number):
                parts.append(_plain(line))
            continue
        seconds = int(times["hours"] or 0) * 3600 + int(times["minutes"]) * 60 + int(times["seconds"])
        cue = []
        while number < len(lines) and lines[number].strip() and "-->" not in lines[number]:
            cue.append(lines[number])
            number += 1
        if number < len(lines) and "-->" in lines[number] and cue and cue[-1].strip().isdecimal():
            cue.pop()  # the next cue's number, where the empty line between is missing
        said, speaker = _said(cue, speaker)
        if not said:
            continue
        if marked is None or seconds - marked >= _EVERY or seconds < marked:
            marked = seconds
            said = f"[{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}] {said}"
        parts.append(said)
    text = "\n".join(part for part in parts if part)
    if not text:
        raise ReadError(f"The subtitles {item.name} have no text: nothing is said in them; exclude the file.")
    return Reading(text=f"{text}\n", markup="text", title=title)


def _said(cue: list[str], before: str) -> tuple[str, str]:
    """Give the words of a cue, with the speaker where it is another than before, and the speaker."""
    said = []
    for line in cue:
        position = 0
        pieces = []
        for voice in _VOICE.finditer(line):
            pieces.append(line[position : voice.start()])
            name = " ".join(unescape(voice[1]).split())
            if name != before:
                pieces.append(f"{name}: ")
                before = name
            position = voice.end()
        pieces.append(line[position:])
        said.append(_plain("".join(pieces)))
    return " ".join(filter(None, said)), before


def _plain(line: str) -> str:
    return " ".join(unescape(_TAG.sub("", line)).split())


def _is_label(lines: list[str], following: int) -> bool:
    """Tell whether a line names the cue whose times stand in the next line."""
    return following < len(lines) and "-->" in lines[following]
