"""The built-in corrector mends English misspellings, keeps positions exact, and takes any text."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ModelError
from dataflow_assets.models.typos import TyposCorrector, find_program

CORRECTOR = TyposCorrector()


def mend(text: str) -> str:
    return CORRECTOR.mend([text])[0]


def test_the_name_carries_the_version() -> None:
    tool, version = CORRECTOR.name.split("-")
    assert tool == "typos"
    assert version.count(".") == 2


def test_texts_come_back_in_order() -> None:
    texts = [
        "We recieve it.",
        "",
        "Nothing is wrong.",
        "The langauge\nand teh seperate\n\nwords.",
        "The dog recieves it.",
    ]
    assert CORRECTOR.mend(texts) == [
        "We receive it.", "", "Nothing is wrong.", "The language\nand the separate\n\nwords.", "The dog receives it.",
    ]  # fmt: skip
    assert CORRECTOR.mend([]) == []


@pytest.mark.parametrize(
    "text",
    [
        "The colour of the theatre is grey, and we organise the programme.",
        "We write it when we recieve_all and getRecieve() there.",
        "RECIEVE is an abbreviation.",
        "Das ist das Modul und die Funktion, die wir als Methode oder Objekt unter der Adresse haben.",
        "El programa es importante y las dependencias del cliente son normales para los componentes.",
        "Le problème de la dependance est adresse par les personnes qui ont un appartement.",
        "これは recieve と呼ばれる関数です。日本語の文章の中にある単語は変更しません。",
        "The mod_speling module: the speling module is written so.",
        "The <strong>d</strong>irectory and **d**irectory flags are for that.",
        "It is hte\u0301 and the naïverecieve and recieveé of that.",
        "an interation of the",
    ],
)
def test_what_is_no_english_misspelling_stays(text: str) -> None:
    assert mend(text) == text


def test_a_word_that_the_edge_may_cut_stays() -> None:
    assert mend("hich is what the list is for") == "hich is what the list is for"
    assert mend("this is what we had in the funct") == "this is what we had in the funct"
    assert mend("compatiblity is what the list is for") == "compatibility is what the list is for"


def test_the_likelier_of_several_candidates_is_taken_only_where_it_is_much_likelier() -> None:
    assert mend("These are the expresions of it.") == "These are the expressions of it."
    assert mend("It goes throught the list.") == "It goes through the list."
    assert mend("We go throught.") == "We go throught."


@pytest.mark.parametrize(
    "before", ["\x00", "\ud800 ", "日本語 ", "é ", "\u2028", "\r\n", "\r", "\x0b", "\ufeff", "ÿþ ", "\U0001f600"]
)
def test_positions_are_exact_whatever_stands_before(before: str) -> None:
    text = f"The thing is {before} that we recieve it and the others do \x1b too.\nThen we recieve {before}"
    assert mend(text) == text.replace("recieve", "receive")


def test_curly_apostrophes_are_apostrophes() -> None:
    assert mend("It doesn’t matter, it isn’t wrong of the thing.") == "It doesn’t matter, it isn’t wrong of the thing."


def test_configuration_files_of_other_people_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = '[default.extend-words]\nrecieve = "recieve"\nlist = "lists"\n'
    for name in ("typos.toml", "_typos.toml", ".typos.toml"):
        (tmp_path / name).write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert mend("We recieve the list.") == "We receive the list."


def test_the_search_path_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "typos"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() != fake
    assert mend("We recieve the list.") == "We receive the list."


@pytest.mark.skipif(os.name == "nt", reason="scripts with a first line are a matter of Unix")
def test_a_program_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be started"):
        TyposCorrector(tmp_path / "missing").mend(["text"])
    broken = tmp_path / "typos"
    broken.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('it broke')\n")
    broken.chmod(0o755)
    with pytest.raises(ModelError, match="it broke"):
        TyposCorrector(broken).mend(["text"])


HOSTILE = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["recieve", "teh ", " langauge ", "\n", "\r", "\x00", "é", "\ud800", "'", "’", "_", "the ", "日", "-", "<"]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(HOSTILE, max_size=4))
def test_texts_do_not_touch_each_other_and_nothing_else_changes(texts: list[str]) -> None:
    together = CORRECTOR.mend(texts)
    assert together == [mend(text) for text in texts]
    assert CORRECTOR.mend(together) == together
    for text, proposal in zip(texts, together, strict=True):
        assert proposal.count("\n") == text.count("\n")
        assert [c for c in proposal if not c.isascii()] == [c for c in text if not c.isascii()]
