"""Near duplicates in a library, through Dagster: which one stays, and what becomes of the others."""

from __future__ import annotations

import random

import pytest

from dataflow_assets_tests.conftest import Project

WORDS = """the library is refreshed every night and whatever has changed since then comes back with its corrected text while
rest stays as it was because nobody wants to pay for what was read before""".split()


def prose(seed: int, words: int = 300) -> list[str]:
    chosen = random.Random(seed)
    return [chosen.choice(WORDS) + ("." if place % 12 == 11 else "") for place in range(words)]


def verdicts(project: Project) -> dict[str, str | None]:
    """Document -> the one that stands for it; None where it stands for itself."""
    rows = project.rows(
        "SELECT d.uri, k.uri FROM validated_documents d LEFT JOIN validated_documents k "
        "ON d.duplicate_of = k.document_id ORDER BY 1"
    )
    return {uri.removeprefix("docs/"): kept and kept.removeprefix("docs/") for uri, kept in rows}


def write(project: Project, name: str, words: list[str], date: str | None = None) -> None:
    front = f"---\ndate: {date}\n---\n" if date else ""
    project.write(name, front + " ".join(words) + "\n")


def with_word(words: list[str], place: int, word: str) -> list[str]:
    return [*words[:place], word, *words[place + 1 :]]


def test_the_first_by_path_stays_and_the_other_says_why(project: Project) -> None:
    words = prose(1)
    write(project, "a.md", words)
    write(project, "b.md", with_word(words, 150, "indeed"))
    write(project, "c.md", with_word(words, 150, "v1.3"))
    write(project, "d.md", prose(2))
    project.run()
    assert verdicts(project) == {"a.md": None, "b.md": "a.md", "c.md": None, "d.md": None}
    ((reason,),) = project.rows("SELECT reason FROM validated_documents WHERE status = 'duplicate'")
    assert reason.startswith("Nearly the same text as docs/a.md (9")
    assert project.rows("SELECT count(DISTINCT document_id) FROM chunks") == [(3,)]


def test_another_takes_its_place_when_it_leaves(project: Project) -> None:
    words = prose(1)
    write(project, "a.md", words)
    write(project, "b.md", with_word(words, 150, "indeed"))
    write(project, "c.md", with_word(words, 150, "indeed"))
    project.run()
    assert verdicts(project) == {"a.md": None, "b.md": "a.md", "c.md": "a.md"}
    (project.docs / "a.md").unlink()
    project.run()
    assert verdicts(project) == {"b.md": None, "c.md": "b.md"}
    assert project.rows("SELECT count(DISTINCT document_id) FROM chunks") == [(1,)]


def test_only_what_is_new_is_compared(project: Project) -> None:
    for seed in range(6):
        write(project, f"p{seed}.md", prose(seed))
        write(project, f"q{seed}.md", with_word(prose(seed), 150, "indeed"))
    project.run()
    before = project.rows("SELECT text_hash, updated_at FROM text_bands")
    pairs = project.rows("SELECT * FROM text_pairs")
    write(project, "r.md", with_word(prose(3), 200, "truly"))
    project.run()
    assert len(set(project.rows("SELECT text_hash, updated_at FROM text_bands")) - set(before)) == 1
    assert set(pairs) <= set(project.rows("SELECT * FROM text_pairs"))
    assert verdicts(project)["r.md"] == "p3.md"
    (project.docs / "r.md").unlink()
    project.run()
    assert project.rows("SELECT text_hash, updated_at FROM text_bands") == before


@pytest.mark.parametrize(("prefer", "kept"), [("path", "a.md"), ("newest", "b.md"), ("longest", "c.md")])
def test_a_person_can_say_which_one_stays(project: Project, prefer: str, kept: str) -> None:
    words = prose(1)
    write(project, "a.md", words, "2024-01-01")
    write(project, "b.md", with_word(words, 150, "indeed"), "2025-06-01")
    write(project, "c.md", with_word(words, 150, "incomprehensibilities"), "2023-01-01")
    project.catalog({"duplicates": {"prefer": "path"}})
    project.run()
    project.catalog({"duplicates": {"prefer": prefer}})
    project.run()
    assert [name for name, other in verdicts(project).items() if other is None] == [kept]


def test_a_person_can_turn_them_off(project: Project) -> None:
    write(project, "a.md", prose(1))
    write(project, "b.md", with_word(prose(1), 150, "indeed"))
    project.catalog({"duplicates": {"near": False}})
    project.run()
    assert verdicts(project) == {"a.md": None, "b.md": None}
    project.catalog({})
    project.run()
    assert verdicts(project) == {"a.md": None, "b.md": "a.md"}


def test_the_order_in_which_documents_came_does_not_matter(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = prose(1)
    texts = {"a.md": words, "b.md": with_word(words, 60, "indeed"), "c.md": with_word(words, 240, "truly")}
    for name in ("c.md", "b.md", "a.md"):
        write(project, name, texts[name])
        project.run()
    one_by_one = verdicts(project)
    pairs = project.rows("SELECT first_hash, second_hash, similarity FROM text_pairs ORDER BY ALL")
    for name in texts:
        (project.docs / name).unlink()
    project.write("other.md", " ".join(prose(9)))
    project.run(accept_deletes=True)
    for name, text in texts.items():
        write(project, name, text)
    project.run()
    assert {name: kept for name, kept in verdicts(project).items() if name in texts} == one_by_one
    assert set(project.rows("SELECT first_hash, second_hash, similarity FROM text_pairs ORDER BY ALL")) <= set(pairs)
