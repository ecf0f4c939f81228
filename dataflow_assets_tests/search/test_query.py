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
        ("E501", "error"),
        ("HTTP 404 after the upload", "error"),
        ("how do I return HTTP 404 from a view", "how-to"),
        ("how do I fix HTTP 404", "error"),
        ('How do I fix "no such option"?', "error"),
        ("how to resolve the warning about line length", "error"),
        ('How do I open "no such option"?', "how-to"),
        ('how do I fix the "Save" button', "how-to"),
        ("how can I solve a system of equations", "how-to"),
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
        ("what's new in 0.27", {"0.27": "version"}),
        ("What’s new in 0.27?", {"0.27": "version"}),
        ("a share of 0.5 at mach 2.5", {}),
        ("ORA-00942 and 0x80070057", {"ORA-00942": "error", "0x80070057": "error"}),
        ("ENOENT and ConnectionResetError", {"ENOENT": "error", "ConnectionResetError": "error"}),
        ("PLR2004 and F401 in ruff", {"PLR2004": "error", "F401": "error"}),
        ("status code: 503", {"status code: 503": "error"}),
        ("fix `HTTP 404`", {"HTTP 404": "error"}),
        ("HTTP 200 and status 5000", {}),
        ('the message "permission was denied"', {"permission was denied": "phrase"}),
        ("run `dataflow run` with `max_age`", {"dataflow run": "phrase", "max_age": "identifier"}),
        ("IL-10 in NASA's tests, e.g. of and/or", {}),
        ("", {}),
    ],
)
def test_entities(text: str, entities: dict[str, str]) -> None:
    assert named(text) == entities


@pytest.mark.parametrize(
    "code",
    "E501 W605 TS2345 LNK2019 C2065 E0308 ORA-00942 0x80070005 ECONNREFUSED ENOTFOUND EAI_AGAIN E_ACCESSDENIED "
    "ERR_CONNECTION_REFUSED net::ERR_CONNECTION_REFUSED SSL_ERROR_NO_CYPHER_OVERLAP".split(),
)
def test_codes_of_errors(code: str) -> None:
    assert named(f"the build says {code}, why?") == {code: "error"}
    assert understand(code).doc_types == ()


@pytest.mark.parametrize(
    "name",
    "H2O A4 B12 MP3 UTF8 UTF-16 S3 K8s Q4 A100 P450 F150 B747 CD133 2024 1999 H2020 ES2015 WWW2024 COVID-2019 SHA-256 "
    "ISO-8601 RFC7231 ERR".split(),
)
def test_other_names_with_numbers_are_no_errors(name: str) -> None:
    understood = understand(f"notes about {name} at home")
    assert all(entity.kind != "error" for entity in understood.entities)
    assert understood.intent == "other"


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
    "piece",
    [
        "a",
        "A",
        ".",
        "a.",
        "a_",
        '"',
        "“",
        "`",
        "1.",
        "E1",
        " ",
        "how to ",
        "-",
        "aA",
        "what ",
        "ERR_A",
        "E_AAA_",
        "HTTP ",
        "status code ",
        "fix ",
    ],
)
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    started = time.process_time()
    understand(piece * 100_000)
    understand("x" + piece * 100_000 + "!")
    assert time.process_time() - started < 1
