"""Ignore files, compared with what git itself says."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.source_settings import FilesSource as FilesSettings
from dataflow_assets.sources.base import open_source
from dataflow_assets.sources.ignore import IgnoreRules, is_ignored
from dataflow_assets_tests.sources.worlds.git import ENVIRONMENT

PATHS = [
    "a", "b", "a.md", "ab.md", "b.log", ".a", "a b", "a[b]", "#a", "!a", "a\\b", "d/a", "d/b.log", "d/e/a", "d/e/a.md",
    "d/e/f/a", "e/a", "e/d/b", "d-e", "d/.b", "a*", "d/a b ",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in PATHS:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("x")
        subprocess.run(["git", "init", "--quiet", name], env=ENVIRONMENT, check=True)
        yield folder


def said_by_git(folder: Path) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"],
        cwd=folder, env=ENVIRONMENT, capture_output=True, check=True,
    )  # fmt: skip
    return set(done.stdout.decode().split("\0")) - {""}


def listed(folder: Path, *names: str, exclude: tuple[str, ...] = ()) -> set[str]:
    source = FilesSettings(
        path=str(folder),
        include=("**/*", "**/.*"),
        exclude=(".git/**", *exclude),
        ignore_files=names or (".gitignore",),
    )
    return {item.path_key for item in open_source(source, base=folder).list()}


def compared(tree: Path, *texts: str) -> None:
    for folder, text in zip(("", "d", "d/e"), (*texts, "", "", ""), strict=False):
        (tree / folder / ".gitignore").write_text(text)
    assert listed(tree) == said_by_git(tree)


@pytest.mark.parametrize(
    "text",
    [
        "a", "/a", "a/", "d/", "/d", "d/a", "*/a", "**/a", "d/**", "d/**/a", "/**", "**", "*", "*\n!a", "*\n!d/\n!a",
        "d\n!d/a", "d/*\n!d/a", "*.md\n!ab.md", "\\#a", "#a", "\\!a", "!a", "a\\*", "a*", "a?", "?", "[ab]", "[!a]", "[^a]",
        "[a-b].md", "a[[]b]", "a\\[b\\]", "[", "[a", "a\\", "a\\\\b", "a b", "a\\ b", "a b\\ ", "a b ", "a   ", "d/a b\\ ",
        "[[:alpha:]]", "[[:punct:]]*", "[[:nope:]]", "[]a]", "[a-]*", "[\\]]", "[b-a]", "***/a", "d/***/a", "d**a", "**a",
        "d/**b", "**/d/**", "a\r\nb\r", "\ufeffa", "//a", "d//a", "d/e/f/..", "./a", "e/", "!e", "d/e\n!d/e/a", "*/", "**/",
        "[[:space:]]", "a[ ]b", "*\\", "d/*/a", "*/*/a.md", "[!.]*", ".*", "[.]a", "d[/]a", "d?a",
    ],
)  # fmt: skip
def test_a_line_means_what_git_says(tree: Path, text: str) -> None:
    compared(tree, text)


lines = st.text("abde*?/[]!^-\\# .", max_size=7)
texts = st.lists(lines, max_size=4).map("\n".join)


@settings(max_examples=60)
@given(texts, texts, texts)
@example("*", "!*", "")
@example("d/e", "!e", "!a")
@example("a", "!a", "a")
def test_files_of_several_folders_mean_what_git_says(tree: Path, one: str, two: str, three: str) -> None:
    compared(tree, one, two, three)


def test_names_of_ignore_files_are_taken_in_their_order(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".one").write_text("a.md\nb.md")
    (tmp_path / ".two").write_text("!b.md\nc.md")
    assert listed(tmp_path, ".one", exclude=(".*",)) == {"c.md"}
    assert listed(tmp_path, ".one", ".two", exclude=(".*",)) == {"b.md"}
    assert listed(tmp_path, ".two", ".one", exclude=(".*",)) == set()


def test_folders_that_are_left_out_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / ".gitignore").write_bytes(b"x" * 1_000_000)  # would be refused
    (tmp_path / ".gitignore").write_text("deep/\n")
    assert listed(tmp_path) == {".gitignore"}


def test_an_ignore_file_that_is_none_is_passed_over_or_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    os.mkfifo(tmp_path / ".gitignore")
    assert listed(tmp_path, exclude=(".*",)) == {"a.md"}
    (tmp_path / ".gitignore").unlink()
    (tmp_path / "rules").write_text("*")
    (tmp_path / ".gitignore").symlink_to("rules")
    assert listed(tmp_path, exclude=(".*", "rules")) == {"a.md"}
    (tmp_path / ".gitignore").unlink()
    (tmp_path / ".gitignore").write_bytes(b"x" * 1_000_000)
    with pytest.raises(SourceUnavailable, match=r"\.gitignore .* too large"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 60 + "*b", "a" * 250),
        ("**/" * 40 + "b", "a/" * 120 + "a"),
        ("**/a/" * 30 + "b", "a/" * 120 + "a"),
        ("**/*a*a*a*a*/" * 10 + "b", ("a" * 60 + "/") * 30 + "a"),
        ("[" * 4000, "a"),
        ("[[:" * 1300, "a"),
        ("\\" * 4001, "a"),
        ("?*" * 2000 + "b", "a" * 250),
    ],
)
def test_no_line_runs_away(pattern: str, path: str) -> None:
    assert not is_ignored([IgnoreRules("", [pattern])], path, is_folder=False)
