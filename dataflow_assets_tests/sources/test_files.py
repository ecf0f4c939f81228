from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import FilesSource as FilesSettings
from dataflow_assets.sources.base import Item, Source, open_source
from dataflow_assets.sources.files import encode_name


def source(base: Path, path: str = "docs", **settings: object) -> Source:
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return open_source(FilesSettings.model_validate({"path": path, **given}), base=base)


def listing(base: Path, path: str = "docs", **settings: object) -> dict[str, Item]:
    items = list(source(base, path, **settings).list())
    found = {item.path_key: item for item in items}
    assert len(found) == len(items)
    return found


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write(tmp_path / "docs/intro.md", "Hello")
    write(tmp_path / "docs/guide/start.md", "Start")
    write(tmp_path / "docs/guide/table.csv", "a,b")
    write(tmp_path / "docs/.hidden/secret.md", "no")
    write(tmp_path / "docs/.env", "no")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_lists_what_the_patterns_take_and_fetches_it(base: Path) -> None:
    files = source(base)
    items = list(files.list())
    assert [(i.uri, i.path_key, i.media_type, i.size_bytes, i.problem) for i in items] == [
        ("docs/intro.md", "intro.md", "text/markdown", 5, None),
        ("docs/guide/start.md", "guide/start.md", "text/markdown", 5, None),
        ("docs/guide/table.csv", "guide/table.csv", "text/csv", 3, None),
    ]
    assert [files.fetch(item).content for item in items] == [b"Hello", b"Start", b"a,b"]
    assert list(files.list()) == items
    assert list(files.notes) == []


def test_include_and_exclude(base: Path) -> None:
    assert set(listing(base, include=["**/*.md"], exclude=["guide/**"])) == {"intro.md"}
    assert set(listing(base, include=["**/*", ".hidden/**"])) == {
        "intro.md", "guide/start.md", "guide/table.csv", ".hidden/secret.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("docs", "docs/"), ("./docs/", "docs/"), ("docs/../docs", "docs/"), ("docs/guide/..", "docs/")],
)
def test_the_uri_starts_with_the_path_of_the_catalog(base: Path, path: str, prefix: str) -> None:
    assert listing(base, path)["intro.md"].uri == f"{prefix}intro.md"


def test_the_identity_does_not_depend_on_where_the_folder_lies(base: Path) -> None:
    inside, absolute = listing(base / "docs", "."), listing(base, str(base / "docs"))
    assert set(inside) == set(absolute) == set(listing(base))
    assert inside["intro.md"].uri == "intro.md"
    assert absolute["intro.md"].uri == f"{base}/docs/intro.md"


def test_the_fingerprint_follows_the_file(base: Path) -> None:
    file = base / "docs/intro.md"
    before = listing(base)["intro.md"].fingerprint
    os.utime(file, ns=(1, 1))
    touched = listing(base)["intro.md"].fingerprint
    write(file, "Hello, world")
    edited = listing(base)["intro.md"].fingerprint
    assert len({before, touched, edited}) == 3


@pytest.mark.parametrize("what", ["missing", "a file", "a circle", "nul"])
def test_a_root_that_is_no_folder_is_unavailable(base: Path, what: str) -> None:
    (base / "circle").symlink_to("circle")
    path = {"missing": "nowhere", "a file": "docs/intro.md", "a circle": "circle", "nul": "a\0b"}[what]
    files = source(base, path)
    with pytest.raises(SourceUnavailable, match=r"source\.path") as caught:
        list(files.list())
    str(caught.value).encode()
    item = Item("x/intro.md", "intro.md", "text/markdown", 1, "f")
    with pytest.raises(FetchFailed, match=r"intro\.md"):
        files.fetch(item)


def test_a_root_that_is_a_link_to_a_folder_is_followed(base: Path) -> None:
    (base / "linked").symlink_to("docs")
    files = source(base, "linked")
    items = {item.path_key: item for item in files.list()}
    assert set(items) == set(listing(base))
    assert files.fetch(items["intro.md"]).content == b"Hello"


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Take away the right to read a folder, from root too."""
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def open_base() -> Iterator[Path]:
    """A folder that every user may pass through."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_an_unreadable_folder_makes_the_listing_fail_unless_it_is_left_out(open_base: Path) -> None:
    write(open_base / "docs/a.md", "a")
    private = write(open_base / "docs/private/b.md", "b").parent
    with without_rights(private):
        with pytest.raises(SourceUnavailable, match=r"private.*docs.*exclude"):
            list(source(open_base).list())
        assert set(listing(open_base, exclude=["private/**"])) == {"a.md"}
        assert set(listing(open_base, include=["*.md"])) == {"a.md"}
        with pytest.raises(SourceUnavailable, match=r"private"):
            list(source(open_base, "docs/private").list())


def test_an_unreadable_file_is_listed_and_fails_to_be_fetched(open_base: Path) -> None:
    file = write(open_base / "docs/a.md", "a")
    files = source(open_base)
    with without_rights(file):
        (item,) = files.list()
        with pytest.raises(FetchFailed, match=r"docs/a\.md may not be read"):
            files.fetch(item)


def test_links(base: Path) -> None:
    docs = base / "docs"
    write(base / "outside.md", "secret")
    write(base / "docs-too/near.md", "secret")
    (docs / "inside.md").symlink_to("guide/start.md")
    (docs / "absolute.md").symlink_to(docs / "guide/start.md")
    (docs / "out.md").symlink_to("../outside.md")
    (docs / "near.md").symlink_to("../docs-too/near.md")
    (docs / "broken.md").symlink_to("nowhere.md")
    (docs / "circle.md").symlink_to("circle.md")
    (docs / "folder").symlink_to("guide")
    (docs / "up").symlink_to("..")
    (docs / "broken.txt").symlink_to("nowhere")
    files = source(base, include=["**/*.md"])
    items = {item.path_key: item for item in files.list()}
    problems = {key: item.problem for key, item in items.items() if item.problem}
    assert set(items) - set(problems) == {"intro.md", "guide/start.md", "inside.md", "absolute.md"}
    assert "nowhere.md, which is not there" in problems["broken.md"]
    assert "circle" in problems["circle.md"]
    assert "out of the source's folder" in problems["out.md"]
    assert "out of the source's folder" in problems["near.md"]
    assert files.fetch(items["inside.md"]).content == files.fetch(items["absolute.md"]).content == b"Start"
    (note,) = files.notes
    assert "2 links to folders" in note
    assert "docs/folder" in note
    for key in problems:
        with pytest.raises(ItemRefused):
            files.fetch(items[key])


def test_a_problem_that_is_mended_or_another_one_changes_the_fingerprint(base: Path) -> None:
    link = base / "docs/link.md"
    seen = set()
    for target in ("nowhere.md", "elsewhere.md", "intro.md", "guide/start.md", "../../out.md"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        seen.add(listing(base)["link.md"].fingerprint)
    assert len(seen) == 5


def test_what_is_no_file_is_listed_with_a_problem_and_never_opened(base: Path) -> None:
    os.mkfifo(base / "docs/pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = Path.cwd()
        os.chdir(base / "docs")  # the path of a socket must be short
        try:
            listener.bind("socket.md")
        finally:
            os.chdir(previous)
    items = listing(base)
    assert "FIFO" in (items["pipe.md"].problem or "")
    assert "socket" in (items["socket.md"].problem or "")
    with pytest.raises(ItemRefused, match="FIFO"):
        source(base).fetch(items["pipe.md"])


def test_a_file_that_is_too_large_is_listed_with_a_problem(base: Path) -> None:
    with (base / "docs/large.md").open("wb") as file:
        file.truncate(200_000_000)
    item = listing(base)["large.md"]
    assert item.size_bytes == 200_000_000
    assert "docs/large.md has 200,000,000 bytes" in (item.problem or "")
    assert listing(base, max_bytes=200_000_000)["large.md"].problem is None
    assert listing(base, max_bytes=199_999_999)["large.md"].fingerprint != item.fingerprint


def test_a_file_that_grew_since_the_listing_is_read_to_the_limit_only(base: Path) -> None:
    files = source(base, max_bytes=1000)
    item = next(item for item in files.list() if item.path_key == "intro.md")
    with (base / "docs/intro.md").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ItemRefused, match="more than the 1,000"):
        files.fetch(item)
    (base / "docs/intro.md").write_bytes(b"x" * 1000)
    assert len(files.fetch(item).content) == 1000


def test_what_takes_the_place_of_a_file_after_the_listing_is_not_read(base: Path) -> None:
    write(base / "outside.md", "secret")
    docs = base / "docs"
    files = source(base)
    items = {item.path_key: item for item in files.list()}
    file = docs / "intro.md"

    file.unlink()
    with pytest.raises(FetchFailed, match="went away"):
        files.fetch(items["intro.md"])
    file.mkdir()
    with pytest.raises(FetchFailed, match=r"docs/intro\.md was a file .* is a folder now"):
        files.fetch(items["intro.md"])
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(FetchFailed, match="FIFO"):
        files.fetch(items["intro.md"])
    file.unlink()
    file.symlink_to("../outside.md")
    with pytest.raises(ItemRefused, match="leads out"):
        files.fetch(items["intro.md"])
    file.unlink()
    file.symlink_to("nowhere")
    with pytest.raises(FetchFailed):
        files.fetch(items["intro.md"])
    file.unlink()
    file.symlink_to("guide/start.md")
    assert files.fetch(items["intro.md"]).content == b"Start"

    shutil.rmtree(docs / "guide")
    (base / "elsewhere").mkdir()
    write(base / "elsewhere/start.md", "secret")
    (docs / "guide").symlink_to("../elsewhere")
    with pytest.raises(FetchFailed, match=r"docs/guide/start\.md was replaced"):
        files.fetch(items["guide/start.md"])
    (docs / "guide").unlink()
    write(docs / "guide", "a file")
    with pytest.raises(FetchFailed):
        files.fetch(items["guide/start.md"])


@pytest.mark.parametrize(
    "key", ["../outside.md", "guide/../../outside.md", "/etc/passwd", "", "guide//start.md", ".", "a%00b"]
)
def test_a_key_that_leads_out_is_refused(base: Path, key: str) -> None:
    write(base / "outside.md", "secret")
    with pytest.raises(ItemRefused):
        source(base).fetch(Item("docs/x", key, "text/markdown", 1, "f"))


def test_strange_names_are_listed_and_fetched(base: Path) -> None:
    names = [
        b"new\nline.md", b"bad\xff\xfe.md", b"100%.md", b"100%41.md", b"100A.md", b"tab\t.md", "\u202egnp.md".encode(),
        "größe 漢字 👩.md".encode(), b"back\\slash.md", b"quote'\".md", b"-rf", b"%", b"%25.md", b"half\xc3.md", b" ",
        b"\xed\xa0\x80.md", b"x" * 255,
    ]  # fmt: skip
    folder = os.fsencode(base / "strange" / "sub\nfolder")
    os.makedirs(folder)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    files = source(base, "strange")
    items = list(files.list())
    assert len({item.uri for item in items}) == len(items) == len(names)
    for item in items:
        item.uri.encode()
        assert item.uri.isprintable() or item.uri.endswith("%20")
        assert files.fetch(item).content == urllib.parse.unquote_to_bytes(item.path_key).rpartition(b"/")[2]
    assert {urllib.parse.unquote_to_bytes(i.uri) for i in items} == {b"strange/sub\nfolder/" + name for name in names}
    assert "strange/sub%0Afolder/größe 漢字 👩.md" in {item.uri for item in items}


file_names = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name) | st.text(
    "%4a1é\n\u2028", min_size=1, max_size=8
).map(str.encode)
file_paths = st.lists(file_names, min_size=1, max_size=3).map(b"/".join)


@given(file_paths)
def test_an_encoded_name_is_valid_and_gives_its_bytes_back(path: bytes) -> None:
    name = path.decode("utf-8", "surrogateescape")
    encoded = encode_name(name)
    encoded.encode()
    assert not set(encoded) & {chr(n) for n in (*range(32), *range(127, 160))}
    assert urllib.parse.unquote_to_bytes(encoded) == path
    assert encode_name(encoded) == encoded or "%" in encoded


@given(file_paths, file_paths)
def test_different_names_are_encoded_differently(one: bytes, other: bytes) -> None:
    encoded = [encode_name(path.decode("utf-8", "surrogateescape")) for path in (one, other)]
    assert (encoded[0] == encoded[1]) == (one == other)


def test_a_deep_tree_is_listed_or_refused_in_words(base: Path) -> None:
    deep = base / "docs" / Path(*["d"] * 500)
    write(deep / "page.md", "deep")
    files = source(base, include=["d/**"])
    (item,) = files.list()
    assert files.fetch(item).content == b"deep"

    names = os.open(base / "docs", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=names)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=names)
        os.close(names)
        names = inner
    os.close(names)
    with pytest.raises(SourceUnavailable, match=os.strerror(errno.ENAMETOOLONG)):
        list(source(base).list())


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert listing(tmp_path) == {}
