"""What everything that takes settings relies on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from dataflow_assets.model_settings import CorrectionSettings, EmbeddingSettings, LimitSettings, PriceSettings
from dataflow_assets.settings import (
    ChunkingSettings,
    LibrarySettings,
    ReadingSettings,
    SearchSettings,
    ValidationSettings,
    fingerprint_of,
)
from dataflow_assets.source_settings import FilesSource


def test_settings_never_change_and_can_be_keys() -> None:
    library = LibrarySettings(source=FilesSource(path="docs"))
    with pytest.raises(ValidationError, match="frozen"):
        library.chunking.max_tokens = 5  # type: ignore[misc]
    assert {library: 1}[LibrarySettings(source=FilesSource(path="docs"))] == 1


def test_libraries_with_the_same_prices_in_another_order_are_the_same_key() -> None:
    prices = {"m": PriceSettings(input=1), "n": PriceSettings(input=2)}
    one = LibrarySettings(source=FilesSource(path="docs"), prices=prices)
    other = LibrarySettings(source=FilesSource(path="docs"), prices=dict(reversed(prices.items())))
    assert {one: 1}[other] == 1
    assert one != LibrarySettings(source=FilesSource(path="docs"), prices={"m": PriceSettings(input=1)})


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_token"):
        ChunkingSettings(max_token=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("settings", "overlap"),
    [
        (ChunkingSettings(), 0),
        (ChunkingSettings(strategy="tokens"), 200),
        (ChunkingSettings(strategy="tokens", max_tokens=17), 3),
        (ChunkingSettings(strategy="tokens", overlap_tokens=0), 0),
        (ChunkingSettings(strategy="sentences", max_tokens=100, overlap_tokens=50), 50),
    ],
)
def test_the_overlap_follows_the_strategy_unless_it_is_named(settings: ChunkingSettings, overlap: int) -> None:
    assert settings.overlap == overlap


def test_an_overlap_leaves_room_for_new_text() -> None:
    with pytest.raises(ValidationError, match="at most half of max_tokens"):
        ChunkingSettings(max_tokens=100, overlap_tokens=51)


def test_a_search_has_one_side_that_counts() -> None:
    assert SearchSettings(semantic_weight=0.0, keyword_weight=1.0).keyword_weight == 1.0
    with pytest.raises(ValidationError, match="above 0"):
        SearchSettings(semantic_weight=0.0, keyword_weight=0.0)


def test_document_limits_leave_room() -> None:
    with pytest.raises(ValidationError, match="at most max_characters"):
        ValidationSettings(min_characters=10, max_characters=9)


@pytest.mark.parametrize("value", ["5", True, float("inf"), float("nan"), -1])
def test_money_is_a_finite_number(value: object) -> None:
    with pytest.raises(ValidationError):
        LimitSettings.model_validate({"budget_usd": value})
    assert LimitSettings(budget_usd=5).budget_usd == 5.0


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "hex", "idna", "unicode_escape", "", "a\0", "../x", "é" * 1000])
def test_an_encoding_is_one_of_text(encoding: str) -> None:
    with pytest.raises(ValidationError, match="text encoding"):
        ReadingSettings(encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "latin-1", "cp1252", "euc-kr", "shift_jis"])
def test_the_encodings_of_documents_are_known(encoding: str) -> None:
    assert ReadingSettings(encoding=encoding).encoding == encoding


def test_a_home_folder_is_not_guessed() -> None:
    with pytest.raises(ValidationError, match="not expanded"):
        FilesSource(path="~/docs")
    assert FilesSource(path="./~x").path == "./~x"


def test_a_fingerprint_is_the_same_everywhere_and_follows_every_part() -> None:
    # A literal, so that no change of Python, of pydantic or of ours goes unnoticed: it would rebuild every library.
    assert fingerprint_of("code 1", {"b": 1, "a": [1.5, None]}) == "e366c44b48294932"
    code = "from dataflow_assets.settings import *; print(fingerprint_of(ChunkingSettings(), 'é'))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {fingerprint_of(ChunkingSettings(), "é")}
    parts: list[object] = [
        ChunkingSettings(),
        ChunkingSettings(max_tokens=999),
        CorrectionSettings(),
        "a",
        ["a"],
        1,
        "1",
    ]
    assert len({fingerprint_of(part) for part in parts}) == len(parts)
    assert fingerprint_of("a", "b") != fingerprint_of("ab") != fingerprint_of(["a", "b"])


@pytest.mark.parametrize(
    "model", ["none", "local", "claude-haiku-5-5", "claude-haiku-4-5-20251001", "openai:gpt-5.2", "google:a/b:c"]
)
def test_models_of_corrections(model: str) -> None:
    assert CorrectionSettings(model=model).paid == (model not in ("none", "local"))


@pytest.mark.parametrize(
    "model",
    [
        "",
        "haiku",
        "claude-haiku-5-5-2025",
        "openai:",
        ":gpt",
        "openai:a b",
        "Open AI:x",
        "a:x\n",
        "voyage-4",
        "rerank-2.5",
    ],
)
def test_what_is_no_model_of_corrections(model: str) -> None:
    with pytest.raises(ValidationError, match=r"allowed is none, local|at least 1 character"):
        CorrectionSettings(model=model)


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        (EmbeddingSettings(), 256),
        (EmbeddingSettings(dimension=64), 64),
        (EmbeddingSettings(model="voyage-code-3"), 2048),
        (EmbeddingSettings(model="voyage-code-3", dimension=512), 512),
        (EmbeddingSettings(model="voyage-4-large", query_model="voyage-4-lite"), 1024),
        (EmbeddingSettings(model="openai:text-embedding-3-small", dimension=1536), 1536),
    ],
)
def test_the_length_of_the_vectors_follows_the_model_unless_it_is_named(
    settings: EmbeddingSettings, length: int
) -> None:
    assert settings.length == length
    assert settings.paid == (settings.model != "local")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dimension": 100}, "one of 64, 128, 256 with the model local"),
        ({"model": "voyage-law-2", "dimension": 512}, "1024 with the model voyage-law-2"),
        ({"model": "openai:x"}, "this model with a dimension beside it"),
        ({"model": "voyage-code-3", "query_model": "voyage-4"}, "voyage-code-3 with the model voyage-code-3"),
        ({"model": "openai:x", "dimension": 8, "query_model": "openai:x"}, "nothing with the model openai:x"),
        ({"model": "rerank-2.5"}, "local, one of voyage-code-3"),
        ({"model": "voyage:"}, "local, one of voyage-code-3"),
        ({"concurrency": 17}, r"at most max_concurrency \(8\)"),
    ],
)
def test_embeddings_that_no_model_gives_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EmbeddingSettings.model_validate(values)


def test_how_a_model_is_asked_decides_nothing() -> None:
    assert (
        CorrectionSettings(lane="direct", batch_size=3, retries=9, timeout_seconds=5).deciding
        == CorrectionSettings().deciding
    )
    for changed in (
        CorrectionSettings(model="local"),
        CorrectionSettings(glossary=("x",)),
        CorrectionSettings(exclude=("x",)),
    ):
        assert changed.deciding != CorrectionSettings().deciding


@pytest.mark.parametrize(
    "values", [{}, {"input": -1}, {"input": 1, "batch": 0}, {"input": 1, "batch": 1.1}, {"input": "1"}]
)
def test_a_price_is_no_credit(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate(values)
    assert PriceSettings(input=0).output == 0


def test_every_setting_has_a_description_for_the_schema_and_the_guide() -> None:
    sections = [field.annotation for field in LibrarySettings.model_fields.values()]
    for section in (*sections, PriceSettings):
        if isinstance(section, type) and issubclass(section, BaseModel):
            for name, setting in section.model_fields.items():
                assert setting.description, name
                assert setting.description.endswith("."), name
