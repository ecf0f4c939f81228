"""What everything that takes settings relies on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from dataflow_assets.settings import (
    ChunkingSettings,
    CorrectionSettings,
    FilesSource,
    LibrarySettings,
    LimitSettings,
    ReadingSettings,
    SearchSettings,
    ValidationSettings,
    fingerprint_of,
)


def test_settings_never_change_and_can_be_keys() -> None:
    library = LibrarySettings(source=FilesSource(path="docs"))
    with pytest.raises(ValidationError, match="frozen"):
        library.chunking.max_tokens = 5  # type: ignore[misc]
    assert {library: 1}[LibrarySettings(source=FilesSource(path="docs"))] == 1


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


def test_every_setting_has_a_description_for_the_schema_and_the_guide() -> None:
    for section in LibrarySettings.model_fields.values():
        if isinstance(section.annotation, type) and issubclass(section.annotation, BaseModel):
            for name, setting in section.annotation.model_fields.items():
                assert setting.description, name
                assert setting.description.endswith("."), name
