from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.patterns import Patterns

PATHS = [
    "intro.md",
    "README",
    "guide/start.md",
    "guide/deep/er/page.md",
    "guide/deep/page.txt",
    "drafts/a.md",
    "drafts/x/b.md",
    "a[1].md",
    ".env",
    ".github/workflows/ci.yml",
    "guide/.hidden.md",
    "new\nline.md",
]


def taken(*include: str, exclude: tuple[str, ...] = ()) -> list[str]:
    patterns = Patterns(include, exclude)
    return [path for path in PATHS if patterns.takes(path)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*", [p for p in PATHS if "/." not in "/" + p]),
        ("**", [p for p in PATHS if "/." not in "/" + p]),
        ("*", ["intro.md", "README", "a[1].md", "new\nline.md"]),
        ("*.md", ["intro.md", "a[1].md", "new\nline.md"]),
        ("**/*.md", [p for p in PATHS if p.endswith(".md") and "/." not in "/" + p]),
        ("guide/*.md", ["guide/start.md"]),
        ("guide/**/*.md", ["guide/start.md", "guide/deep/er/page.md"]),
        ("guide/**", ["guide/start.md", "guide/deep/er/page.md", "guide/deep/page.txt"]),
        ("guide/", ["guide/start.md", "guide/deep/er/page.md", "guide/deep/page.txt"]),
        ("./guide/start.md", ["guide/start.md"]),
        ("/intro.md", ["intro.md"]),
        ("**/deep/**", ["guide/deep/er/page.md", "guide/deep/page.txt"]),
        ("**/deep/*", ["guide/deep/page.txt"]),
        ("**/x/b.md", ["drafts/x/b.md"]),
        ("*/*/*.md", ["drafts/x/b.md"]),
        ("intr?.md", ["intro.md"]),
        ("[a-i]*.md", ["intro.md", "a[1].md"]),
        ("[!a-i]*.md", ["new\nline.md"]),
        ("a[[]1].md", ["a[1].md"]),
        ("a[1.md", []),
        ("INTRO.md", []),
        (".env", [".env"]),
        (".*", [".env"]),
        ("**/.*.md", ["guide/.hidden.md"]),
        (".github/**", [".github/workflows/ci.yml"]),
        ("../**", []),
        ("/", [p for p in PATHS if "/." not in "/" + p]),
        ("[z-a]*", []),
    ],
)
def test_what_a_pattern_takes(pattern: str, expected: list[str]) -> None:
    assert taken(pattern) == [p for p in PATHS if p in expected]


def test_one_include_must_match_and_no_exclude_may() -> None:
    assert taken("*.md", "drafts/**", exclude=("drafts/*", "a*")) == ["intro.md", "drafts/x/b.md", "new\nline.md"]
    assert taken("guide/**", "guide/.*", exclude=("**/*.md",)) == ["guide/deep/page.txt"]


@pytest.mark.parametrize(
    ("include", "exclude", "folder", "entered"),
    [
        ("**/*.md", "", "any/where", True),
        ("**/*.md", "", ".git", False),
        ("**/*.md", "", "a/.git", False),
        ("**/.github/*", "", "a/.github", True),
        ("*.md", "", "guide", False),
        ("guide/*.md", "", "guide", True),
        ("guide/*.md", "", "guide/deep", False),
        ("guide/*/x.md", "", "guide/deep", True),
        ("guide/**", "", "guide/a/b/c", True),
        ("guide/**", "", "other", False),
        ("**/*", "drafts/**", "drafts", False),
        ("**/*", "drafts/**", "drafts/deeper", True),
        ("**/*", "**/node_modules/**", "a/b/node_modules", False),
        ("**/*", "drafts/*", "drafts", True),
        ("**/*", "**", "a", False),
    ],
)
def test_only_folders_that_may_hold_something_are_entered(
    include: str, exclude: str, folder: str, entered: bool
) -> None:
    assert Patterns([include], [exclude] if exclude else []).enters(folder) == entered


names = st.text("ab.c", min_size=1, max_size=4)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
globs = st.lists(st.just("**") | st.text("ab.*?", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)


def matches(parts: list[str], path: list[str]) -> bool:
    """The plain meaning of a pattern, hidden names included."""
    if not parts or not path:
        return not parts and not path
    if parts[0] == "**":
        if len(parts) == 1:
            return True
        return matches(parts[1:], path) or (len(path) > 1 and matches(parts, path[1:]))
    return fnmatch.fnmatchcase(path[0], parts[0]) and matches(parts[1:], path[1:])


@given(globs, paths)
def test_excludes_mean_what_a_plain_matcher_says(pattern: str, path: str) -> None:
    parts = [p for p in pattern.split("/") if p != "."]
    meant = matches(["*" if set(p) == {"*"} and len(p) > 2 else p for p in parts], path.split("/"))
    assert Patterns(["**", ".**", "**/.**"], [pattern])._leave(path) == meant


@given(globs, paths)
def test_a_folder_is_entered_wherever_something_below_it_is_taken(pattern: str, path: str) -> None:
    patterns = Patterns([pattern], [])
    if patterns.takes(path):
        parts = path.split("/")
        assert all(patterns.enters("/".join(parts[:n])) for n in range(1, len(parts)))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 60 + "*b", "a" * 250),
        ("**/" * 40 + "b", "a/" * 120 + "a"),
        ("**/a/" * 30 + "b", "a/" * 120 + "a"),
        ("**/*a*a*a*a*/" * 10 + "b", ("a" * 60 + "/") * 30 + "a"),
        ("a/" * 2000 + "b", "a/" * 120 + "a"),
    ],
)
def test_no_pattern_runs_away(pattern: str, path: str) -> None:
    patterns = Patterns([pattern], [pattern])
    assert not patterns.takes(path)
    patterns.enters(path)
