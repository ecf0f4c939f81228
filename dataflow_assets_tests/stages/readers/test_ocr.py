"""OCR, with a small program that speaks Tesseract's command line, and with Tesseract itself where it is installed."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from dataflow_assets.errors import ReadError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.image import read_image
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.ocr import missing, recognise, text_of
from dataflow_assets.stages.readers.pdf import read_pdf
from dataflow_assets_tests.stages.readers.pdf_maker import page_of, pdf

_OCR = ReadingSettings(ocr="tesseract")
_REAL = shutil.which("tesseract")

_PROGRAM = """#!{python}
import json, struct, sys
given = sys.argv[1:]
if given == ["--list-langs"]:
    print('List of available languages in "/x/" (2):\\neng\\nosd')
    sys.exit(0)
# What Tesseract accepts: input, output, then options with their values.
assert given[:2] == ["stdin", "stdout"] and len(given) % 2 == 0, given
options = list(zip(given[2::2], given[3::2]))
assert {{name for name, _ in options}} <= {{"-l", "--psm", "-c", "--dpi", "--oem"}}, options
png = sys.stdin.buffer.read()
assert png.startswith(b"\\x89PNG"), png[:20]
with open({log!r}, "a") as log:
    log.write(json.dumps([dict(options), struct.unpack(">II", png[16:24])]) + "\\n")
with open({answers!r}) as file:
    answers = json.load(file)
status, answer = answers.pop(0)
with open({answers!r}, "w") as file:
    json.dump(answers, file)
print("level\\tpage_num\\tblock_num\\tpar_num\\tline_num\\tword_num\\tleft\\ttop\\twidth\\theight\\tconf\\ttext")
for block, par, line, word, conf, text in answer:
    print(5, 1, block, par, line, word, 0, 0, 9, 9, conf, text, sep="\\t")
if status:
    print("Error: it could not be done", file=sys.stderr)
sys.exit(status)
"""


def _table(text: str, conf: float = 95.0) -> list[list[object]]:
    """The rows of a table for a text whose paragraphs stand apart by a blank line."""
    return [
        [1, par, line, place, conf, word]
        for par, paragraph in enumerate(text.split("\n\n"), 1)
        for line, words in enumerate(paragraph.split("\n"), 1)
        for place, word in enumerate(words.split(), 1)
    ]


class Stand:
    """The stand-in: what it will answer, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.log, self.answers = folder / "log", folder / "answers"
        program = folder / "tesseract"
        program.write_text(_PROGRAM.format(python=sys.executable, log=str(self.log), answers=str(self.answers)))
        program.chmod(0o755)

    def will_say(self, *answers: tuple[int, list[list[object]]]) -> None:
        self.answers.write_text(json.dumps(answers))

    @property
    def asked(self) -> list[list[object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Stand(tmp_path)


def _png(size: tuple[int, int] = (80, 40)) -> bytes:
    written = io.BytesIO()
    Image.new("L", size, 255).save(written, "PNG")
    return written.getvalue()


def _read(content: bytes, media_type: str = "application/pdf", settings: ReadingSettings = _OCR) -> Reading:
    reader = read_pdf if media_type == "application/pdf" else read_image
    return reader(Item(content, "a", media_type, settings=settings))


def test_only_pages_without_text_are_shown(stand: Stand) -> None:
    stand.will_say((0, _table("Read from\nthe picture.\n\nA new para-\ngraph.")))
    reading = _read(pdf([page_of("It has text."), "", page_of("So has this.")]))
    assert reading.text == "It has text.\n\nRead from\nthe picture.\n\nA new paragraph.\n\nSo has this.\n"
    assert [section.page for section in reading.sections] == [1, 2, 3]
    assert (reading.metadata["pages_without_text"], reading.metadata["pages_by_ocr"]) == ([], [2])
    ((options, size),) = stand.asked
    assert options == {"-l": "eng", "--psm": "1", "-c": "tessedit_create_tsv=1"}
    assert size == [2550, 3300]


def test_a_broken_text_layer_gives_way_to_what_is_seen(stand: Stand) -> None:
    cmap = "/CIDInit begincmap 1 begincodespacerange <00> <ff> endcodespacerange "
    cmap += "1 beginbfrange <41> <7a> <E041> endbfrange endcmap"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 101 0 R >>"
    page = "BT /F9 11 Tf 1 0 0 1 60 700 Tm (SomethingThatNobodyCanRead) Tj ET"
    stand.will_say((0, _table("What the page says.")))
    reading = _read(
        pdf([page], fonts="/F9 100 0 R", objects=[font, f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream"])
    )
    assert (reading.text, reading.findings) == ("What the page says.\n", ())


def test_a_page_upside_down_is_shown_again_the_other_way(stand: Stand) -> None:
    stand.will_say((0, _table("uMop apisdn", 26.0)), (0, _table("upside down", 96.0)))
    assert dict(recognise([(1, _png())], ["eng"])) == {1: "upside down"}


def test_the_surer_of_two_answers_counts(stand: Stand) -> None:
    stand.will_say((0, _table("faded ink", 60.0)), (0, _table("qui p3pef", 30.0)))
    assert dict(recognise([(7, _png())], ["eng"])) == {7: "faded ink"}


def test_stains_are_no_text(stand: Stand) -> None:
    stand.will_say((0, _table("~ ;: |", 12.0)), (0, _table("; :", 9.0)))
    assert dict(recognise([(1, _png())], ["eng"])) == {1: ""}


def test_a_scan_on_which_nothing_is_found_is_rejected(stand: Stand) -> None:
    stand.will_say((0, []))
    with pytest.raises(ReadError, match=r"no text.*OCR found none"):
        _read(pdf([""]))


def test_pictures_are_read(stand: Stand) -> None:
    stand.will_say((0, _table("A sign.")))
    reading = _read(_png(), "image/png")
    assert (reading.text, reading.metadata["pages_by_ocr"]) == ("A sign.\n", [1])
    stand.will_say((0, []))
    with pytest.raises(ReadError, match="no text"):
        _read(_png(), "image/png")


def test_a_failure_is_told_with_its_page(stand: Stand) -> None:
    stand.will_say((1, []))
    with pytest.raises(ReadError, match=r"page 1.*status 1.*could not be done"):
        _read(pdf([""]))


def test_a_failure_takes_nothing_from_the_pages_that_have_text(stand: Stand) -> None:
    stand.will_say((1, []))
    reading = _read(pdf([page_of("Text."), ""]))
    assert (reading.text, reading.metadata["pages_without_text"]) == ("Text.\n", [2])
    ((name, message),) = ((finding.validator, finding.message) for finding in reading.findings)
    assert name == "ocr_failed"
    assert "page 2: tesseract ended with status 1" in message


def test_a_language_that_is_not_installed_is_named(stand: Stand) -> None:
    assert missing(["eng"]) is None
    said = missing(["eng", "chi_sim"]) or ""
    assert "chi_sim" in said
    assert "tesseract-ocr-chi-sim" in said
    with pytest.raises(ReadError, match="chi_sim"):
        _read(_png(), "image/png", ReadingSettings(ocr="tesseract", ocr_languages=("chi_sim",)))
    assert stand.asked == []


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReadError, match="tesseract, which is not installed; install it"):
        _read(_png(), "image/png")
    with pytest.raises(ReadError, match="not installed"):
        _read(pdf([""]))
    # Nothing is to be seen on its pages, so that nobody misses the program.
    assert _read(pdf([page_of("It has text.")])).text == "It has text.\n"


def test_without_the_setting_a_picture_is_rejected_with_what_to_do() -> None:
    with pytest.raises(ReadError, match=r"no text of its own; set reading\.ocr"):
        read_document(_png(), source_uri="a.png", media_type="image/png", settings=ReadingSettings())


@pytest.mark.parametrize("table", ["", "no table", "5\t1\t1", "\t" * 11, "5" + "\t1" * 9 + "\tnan?\tx", "\ud800"])
def test_an_odd_table_has_no_text(table: str) -> None:
    assert text_of(table) == (0.0, "")


@pytest.mark.skipif(_REAL is None, reason="tesseract is not installed")
@pytest.mark.parametrize("turn", [90, 180])
def test_the_program_itself_reads_a_scan_however_it_lies(turn: int) -> None:
    page = Image.new("L", (1000, 300), 255)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=30)
    lines = [
        "The pump is checked each spring before",
        "the first frost, by two people who know",
        "it well and write down what they found.",
    ]
    for place, line in enumerate(lines):
        draw.text((60, 60 + 60 * place), line, fill=0, font=font)
    written = io.BytesIO()
    page.rotate(turn, expand=True).save(written, "PNG")
    assert _read(written.getvalue(), "image/png").text.split() == " ".join(lines).split()
