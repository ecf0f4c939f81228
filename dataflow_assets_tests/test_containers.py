"""Archives and mails in a library, through Dagster: their documents come, change and leave."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from email.message import EmailMessage

import pytest

from dataflow_assets_tests.conftest import SENTENCE, Project

ALL = {"source": {"type": "files", "path": "docs"}}


def page(word: str) -> str:
    return f"# {word}\n\nThis page tells of {word}. {SENTENCE}\n"


def archive(project: Project, name: str, **words: str) -> None:
    """Write a zip of Markdown pages."""
    path = project.docs / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, word in words.items():
            file.writestr(f"{member}.md", page(word))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + len(words)))


def uris(project: Project, where: str = "TRUE") -> list[str]:
    rows = project.rows(f"SELECT uri FROM validated_documents WHERE {where} ORDER BY 1")
    return [uri for (uri,) in rows]


def test_members_are_documents_and_an_unchanged_archive_is_not_opened_again(project: Project) -> None:
    project.catalog(ALL)
    archive(project, "a.zip", one="apples", two="pears")
    told = project.run()
    assert told["raw_documents"]["new"] == 2
    assert uris(project) == ["docs/a.zip!/one.md", "docs/a.zip!/two.md"]
    before = project.tables()
    told = project.run()
    assert told["raw_documents"]["unchanged"] == 2
    assert project.tables() == before


def test_a_changed_archive_changes_what_changed_in_it(project: Project) -> None:
    project.catalog(ALL)
    archive(project, "a.zip", one="apples", two="pears", three="plums")
    project.run()
    kept = project.rows("SELECT document_id, updated_at FROM validated_documents WHERE uri LIKE '%one.md'")
    archive(project, "a.zip", one="apples", two="quinces", four="figs")
    told = project.run()["raw_documents"]
    assert (told["new"], told["changed"], told["deleted"]) == (1, 1, 1)
    assert uris(project) == [f"docs/a.zip!/{name}.md" for name in ("four", "one", "two")]
    assert project.rows("SELECT document_id, updated_at FROM validated_documents WHERE uri LIKE '%one.md'") == kept
    assert project.words() == ["apples", "figs", "quinces"]
    project.run()
    (project.docs / "a.zip").unlink()
    project.write("b.md", page("grapes"))
    assert project.run()["raw_documents"]["deleted"] == 3
    assert project.words() == ["grapes"]


def test_an_archive_that_lost_most_of_its_members_waits_for_a_person(project: Project) -> None:
    project.catalog(ALL)
    archive(project, "a.zip", **{f"m{n}": f"word{n}" for n in range(30)})
    project.run()
    archive(project, "a.zip", m0="word0", new="novelty")
    told = project.run()["raw_documents"]
    assert told["withheld_deletes"] == 29
    assert len(project.words()) == 31
    assert project.run()["raw_documents"]["withheld_deletes"] == 29
    assert project.run(accept_deletes=True)["raw_documents"]["deleted"] == 29
    assert project.words() == ["novelty", "word0"]
    assert project.run()["raw_documents"]["unchanged"] == 2


def test_a_damaged_archive_is_one_rejected_document_and_heals(project: Project) -> None:
    project.catalog(ALL)
    archive(project, "a.zip", one="apples")
    whole = (project.docs / "a.zip").read_bytes()
    (project.docs / "a.zip").write_bytes(whole[: len(whole) // 2])
    project.write("b.md", page("grapes"))
    project.run()
    ((status, reason),) = project.rows("SELECT status, reason FROM validated_documents WHERE uri = 'docs/a.zip'")
    assert status == "rejected"
    assert "damaged" in reason or "truncated" in reason
    assert project.words() == ["grapes"]
    (project.docs / "a.zip").write_bytes(whole)
    project.run()
    assert uris(project) == ["docs/a.zip!/one.md", "docs/b.md"]


def test_archives_in_archives_and_single_compressed_files(project: Project) -> None:
    project.catalog(ALL)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("deep.md", page("truffles"))
    with tarfile.open(project.docs / "outer.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("folder/inner.zip")
        info.size = len(inner.getvalue())
        tar.addfile(info, io.BytesIO(inner.getvalue()))
    project.run()
    assert uris(project) == ["docs/outer.tar.gz!/folder/inner.zip!/deep.md"]
    assert project.words() == ["truffles"]


def test_archives_are_left_shut_where_the_catalog_says_so_and_opened_when_it_changes(project: Project) -> None:
    shut = {"source": {**ALL["source"], "archives": {"open": False}}}
    project.catalog(shut)
    archive(project, "a.zip", one="apples")
    project.run()
    assert uris(project, "status = 'rejected'") == ["docs/a.zip"]
    project.catalog(ALL)
    project.run()
    assert uris(project, "status = 'valid'") == ["docs/a.zip!/one.md"]
    project.catalog(shut)
    project.run()
    assert uris(project) == ["docs/a.zip"]


@pytest.mark.parametrize("open_them", [True, False])
def test_a_mail_is_a_document_and_so_are_its_attachments(project: Project, open_them: bool) -> None:
    project.catalog({"source": {**ALL["source"], "archives": {"open": open_them}}})
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "The harvest", "ann@example.org", "bob@example.org"
    mail.set_content(f"Dear Bob, this mail tells of apples. {SENTENCE}")
    mail.add_attachment(page("pears").encode(), maintype="text", subtype="markdown", filename="list.md")
    (project.docs / "harvest.eml").write_bytes(bytes(mail))
    project.run()
    assert uris(project) == ["docs/harvest.eml"] + (["docs/harvest.eml!/list.md"] if open_them else [])
    assert project.rows("SELECT title FROM validated_documents WHERE uri = 'docs/harvest.eml'") == [("The harvest",)]
    before = project.tables()
    project.run()
    assert project.tables() == before


def test_members_lie_in_the_bucket_of_their_archive(project: Project) -> None:
    project.catalog({**ALL, "buckets": 3})
    archive(project, "a.zip", **{f"m{n}": f"word{n}" for n in range(9)})
    for bucket in range(3):
        project.run(f"docs.{bucket:03}")
    assert len(uris(project)) == 9
    assert project.rows("SELECT count(DISTINCT left(document_id, 8)) FROM raw_documents") == [(1,)]
