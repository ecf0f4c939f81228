"""What a question is taken to be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.search.query import understand


def named(text: str) -> dict[str, str]:
    return {entity.text: entity.kind for entity in understand(text).entities}


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("how do I rotate the signing key", "how-to"),
        ("How to install the client?", "how-to"),
        ("what is a partition", "definition"),
        ("getting started with the client", "tutorial"),
        ("example of a retry policy", "example"),
        ("TypeError when opening the index", "error"),
        ("the upload is not working", "error"),
        ("E0308 mismatched types", "error"),
        ("arguments of open_search", "api"),
        ("Session.execute", "api"),
        ("rotating keys", "other"),
        ("Wie ändere ich den Schlüssel?", "other"),
    ],
)
def test_intents(text: str, intent: str) -> None:
    assert understand(text).intent == intent


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("call parseConfig and HttpClient", {"parseConfig": "identifier", "HttpClient": "identifier"}),
        ("set max_tokens, then os.path.join().", {"max_tokens": "identifier", "os.path.join": "identifier"}),
        ("std::vector with --dry-run", {"std::vector": "identifier", "--dry-run": "identifier"}),
        ("upgrade to 2.1.0 from v1.9", {"2.1.0": "version", "v1.9": "version"}),
        ("since version 3.11", {"3.11": "version"}),
        ("a share of 0.5 at mach 2.5", {}),
        ("ORA-00942 and 0x80070057", {"ORA-00942": "error", "0x80070057": "error"}),
        ("ENOENT and ConnectionResetError", {"ENOENT": "error", "ConnectionResetError": "error"}),
        ('the message "permission was denied"', {"permission was denied": "phrase"}),
        ("run `dataflow run` with `max_age`", {"dataflow run": "phrase", "max_age": "identifier"}),
        ("IL-10 in NASA's tests, e.g. of and/or", {}),
        ("", {}),
    ],
)
def test_entities(text: str, entities: dict[str, str]) -> None:
    assert named(text) == entities


def test_a_name_moves_weight_to_words_and_a_sentence_does_not() -> None:
    sentence, name = understand("how a key is rotated"), understand("rotate_key")
    assert (sentence.semantic_weight, sentence.keyword_weight) == (0.6, 0.4)
    assert name.keyword_weight > 0.6
    assert understand("why does rotate_key fail for a user").keyword_weight < name.keyword_weight
    assert understand("rotate_key", 0.0, 1.0).keyword_weight == 1


def test_kinds_of_page_are_suggested_and_nothing_is_filtered() -> None:
    understood = understand("tutorial for partitions")
    assert understood.doc_types == ("tutorial",)
    assert understood.suggested_filters == {"doc_type": ("tutorial",)}
    assert understand("what's new in the client").doc_types == ("changelog",)
    assert understand("who said that in our channel").doc_types == ("message",)
    assert understand("partitions").suggested_filters == {}


def test_complexity() -> None:
    assert understand("rotate key").complexity == "simple"
    assert understand("how do I rotate the signing key").complexity == "medium"
    assert understand("What is it? And how do I use it?").complexity == "complex"


@given(st.text(max_size=300))
def test_any_text_is_understood_and_the_weights_add_up(text: str) -> None:
    understood = understand(text)
    assert understood.semantic_weight + understood.keyword_weight == pytest.approx(1)
    assert 0 <= understood.semantic_weight <= 0.6
    assert all(entity.text.strip() for entity in understood.entities)


@pytest.mark.parametrize(
    "piece", ["a", "A", ".", "a.", "a_", '"', "“", "`", "1.", "E1", " ", "how to ", "-", "aA", "what "]
)
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    started = time.process_time()
    understand(piece * 100_000)
    understand("x" + piece * 100_000 + "!")
    assert time.process_time() - started < 1
