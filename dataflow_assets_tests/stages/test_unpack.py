"""Archives: whole or not at all, harmless names, limits that are counted, nothing on disk."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.unpack import HEAD_BYTES, Member, is_container, unpack
from dataflow_assets.workers.pool import WorkerPool

Tree = dict[str, bytes]
UNKNOWN = "application/octet-stream"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def opened(
    content: bytes,
    name: str,
    media_type: str = UNKNOWN,
    *,
    limits: ArchiveSettings | None = None,
    most: int = 1_000_000,
    passwords: Sequence[str] = (),
) -> list[Member]:
    return list(
        unpack(
            io.BytesIO(content),
            name=name,
            media_type=media_type,
            settings=limits or ArchiveSettings(),
            max_member_bytes=most,
            passwords=passwords,
        )
    )


def contents(members: list[Member]) -> dict[str, bytes | None]:
    assert len({member.path for member in members}) == len(members)
    return {member.path: member.content for member in members}


def problems(members: list[Member]) -> dict[str, str]:
    assert all((member.problem is None) != (member.content is None) for member in members)
    return {member.path: member.problem for member in members if member.problem is not None}


def zipped(tree: Tree | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in tree.items() if isinstance(tree, dict) else tree:
            archive.writestr(_info(name, method), content)
    return file.getvalue()


def _info(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = method
    info.filename = name  # as it is: the constructor shortens some
    return info


def tarred(tree: Tree, *more: tarfile.TarInfo) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info in more:
            archive.addfile(info)
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def seven_zipped(tree: Tree) -> bytes:
    import py7zr

    file = io.BytesIO()
    with py7zr.SevenZipFile(file, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 0}]) as archive:
        for name, content in tree.items():
            archive.writestr(content, name)
    return file.getvalue()


FORMATS: dict[str, Callable[[Tree], bytes]] = {
    "a.zip": zipped,
    "stored.zip": lambda tree: zipped(tree, zipfile.ZIP_STORED),
    "a.tar": tarred,
    "a.tar.gz": lambda tree: gzip.compress(tarred(tree), mtime=0),
    "a.tgz": lambda tree: gzip.compress(tarred(tree)[:600], mtime=0) + gzip.compress(tarred(tree)[600:], mtime=0),
    "a.tar.bz2": lambda tree: bz2.compress(tarred(tree)),
    "a.tar.xz": lambda tree: lzma.compress(tarred(tree), preset=0),
    "a.tar.zst": lambda tree: zstd.compress(tarred(tree)),
    "a.tar.lzma": lambda tree: lzma.compress(tarred(tree), lzma.FORMAT_ALONE, preset=0),
    "a.7z": seven_zipped,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "page.md.gz": gzip.compress,
    "page.md.bz2": bz2.compress,
    "page.md.xz": lzma.compress,
    "page.md.zst": zstd.compress,
    "page.md.lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
}

_PARTS = st.text(st.characters(codec="utf-8", categories=("L", "N"), max_codepoint=0x2FFF), min_size=1, max_size=8)
_PATHS = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
_TREES = st.dictionaries(
    _PATHS, st.binary(max_size=700).map(lambda content: b"x" + content), min_size=1, max_size=5
).filter(
    # What is a folder is no file.
    lambda tree: not any(other.startswith(name + "/") for name in tree for other in tree)
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def made_once(name: str) -> bytes:
    return FORMATS[name]({"a.md": b"text " * 50, "b/c.md": bytes(range(256))})


def whole_or_damaged(content: bytes, name: str, reason: str = "damaged") -> list[Member] | None:
    """Give the members; None where the archive was refused for a reason, and any other error is raised."""
    try:
        found = opened(content, name)
    except ReadError as error:
        if reason in str(error) and str(error).startswith(name):
            return None
        raise
    problems(found)
    return found


class TestWhole:
    @pytest.mark.parametrize("name", FORMATS)
    @FEW
    @given(tree=_TREES)
    def test_every_tree_comes_back_exactly_and_in_order(self, name: str, tree: Tree) -> None:
        content = FORMATS[name](tree)
        assert is_container(content[:HEAD_BYTES], name, UNKNOWN)
        found = opened(content, name)
        if name == "a.7z":  # which puts empty members last
            assert contents(found) == tree
        else:
            assert list(contents(found).items()) == list(tree.items())

    @pytest.mark.parametrize("name", FORMATS)
    @FEW
    @given(tree=_TREES, data=st.data())
    def test_what_was_cut_is_never_taken_for_whole(self, name: str, tree: Tree, data: st.DataObject) -> None:
        content = FORMATS[name](tree)
        cut = content[: data.draw(st.integers(1, len(content) - 1))]
        found = whole_or_damaged(cut, name)
        assert found is None or contents(found) == tree

    @pytest.mark.parametrize("name", ["stored.zip", "a.tar"])
    @FEW
    @given(tree=_TREES, data=st.data())
    def test_what_was_cut_behind_an_inner_archive(self, name: str, tree: Tree, data: st.DataObject) -> None:
        inner = FORMATS[name](tree)
        outer = FORMATS[name]({f"in.{name[-3:]}": inner, "last.md": b"last"})
        cut = outer[: data.draw(st.integers(1, len(outer) - 1))]
        found = whole_or_damaged(cut, name)
        assert found is None or contents(found).keys() == {f"in.{name[-3:]}!/{path}" for path in tree} | {"last.md"}

    @pytest.mark.parametrize("name", FORMATS)
    @FEW
    @given(data=st.data())
    def test_broken_bytes_raise_nothing_else(self, name: str, data: st.DataObject) -> None:
        content = bytearray(made_once(name))
        for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[at] = data.draw(st.integers(0, 255))
        whole_or_damaged(bytes(content), name, "")

    @pytest.mark.parametrize("name", PACKERS)
    def test_a_file_that_is_compressed_alone(self, name: str) -> None:
        packed = PACKERS[name](b"# A page\n")
        assert opened(packed, f"docs/{name}") == [Member("page.md", b"# A page\n", None, "text/markdown")]
        for length in range(1, len(packed)):
            with pytest.raises(ReadError, match=r"damaged|no archive"):
                opened(packed[:length], name)

    def test_garbage_behind_the_end_is_damage_and_zeros_are_not(self) -> None:
        packed = gzip.compress(b"text")
        assert contents(opened(packed + bytes(100), "a.md.gz")) == {"a.md": b"text"}
        with pytest.raises(ReadError, match="damaged"):
            opened(packed + b"more", "a.md.gz")

    def test_an_empty_archive_has_no_members(self) -> None:
        for name in ("a.zip", "a.tar.gz"):
            assert opened(FORMATS[name]({}), name) == []

    def test_nothing_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name, make in FORMATS.items():
            opened(make({"a.md": b"text", "b/c.md": b"text"}), name)
        assert os.listdir(tmp_path) == []


class TestNames:
    @pytest.mark.parametrize("pack", [zipped, lambda tree: tarred(dict(tree))])
    @FEW
    @example(names=["../../etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "etc/passwd", "..", "", "./"])
    @example(names=["a!/b", "a%21/b", "a\n", "a%0A", "\u202ea", "x" * 5000, "a\x00b"])
    @given(names=st.lists(st.text(max_size=12), min_size=1, max_size=6, unique=True))
    def test_any_name_becomes_a_harmless_one(
        self, pack: Callable[[list[tuple[str, bytes]]], bytes], names: list[str]
    ) -> None:
        names = [name.encode("utf-8", "ignore").decode() for name in names]
        try:
            packed = pack([(name, str(number).encode()) for number, name in enumerate(names)])
        except (ValueError, struct.error):
            return
        for path in contents(opened(packed, "a")):
            assert path
            assert not {"", ".", ".."}.intersection(path.split("/"))
            assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in path)
            assert "\\" not in path
            assert "!/" not in path
            assert len(path) <= 600
            path.encode()

    def test_names_that_climb_stay_below(self) -> None:
        packed = zipped([("../../a.md", b"1"), ("/a.md", b"2"), ("b\\..\\a.md", b"3"), ("a.md", b"4"), ("a.md/", b"")])
        assert contents(opened(packed, "a.zip")) == {"a.md": b"1", "a (2).md": b"2", "b/a.md": b"3", "a (3).md": b"4"}

    def test_what_systems_leave_for_themselves_is_left_out(self) -> None:
        tree = {"__MACOSX/._a.md": b"x", "d/.DS_Store": b"x", "Thumbs.db": b"x", "d/__MACOSX": b"kept"}
        assert contents(opened(zipped(tree), "a.zip")) == {"d/__MACOSX": b"kept"}

    def test_utf_8_is_recognised_where_it_is_not_said(self) -> None:
        packed = zipped({"gr\u00f6\u00dfe.md": b"x"})
        assert contents(opened(packed.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00"), "a.zip")).keys() == {
            "größe.md"
        }


class TestMembers:
    def test_links_and_devices_are_not_followed(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        odd = []
        for name, kind in {
            "l": tarfile.SYMTYPE,
            "h": tarfile.LNKTYPE,
            "d": tarfile.CHRTYPE,
            "p": tarfile.FIFOTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            odd.append(info)
        found = opened(tarred({"l/through.md": b"x"}, *odd), "a.tar")
        assert problems(found).keys() == {"l", "h", "d", "p"}
        assert contents(found)["l/through.md"] == b"x"

        link = _info("link.md", zipfile.ZIP_STORED)
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(link, str(secret))
            archive.writestr("a.md", "x")
        found = opened(file.getvalue(), "a.zip")
        assert problems(found) == {"link.md": "link.md is a link: it is not followed."}

    def test_a_wrong_checksum_costs_one_member(self) -> None:
        packed = zipped({"a.md": b"a page", "b.md": b"another"}, zipfile.ZIP_STORED).replace(b"a page", b"a pagf")
        found = opened(packed, "a.zip")
        assert problems(found).keys() == {"a.md"}
        assert "damaged" in problems(found)["a.md"]
        assert contents(found)["b.md"] == b"another"

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_member_that_is_too_large_costs_itself(self, name: str) -> None:
        found = opened(FORMATS[name]({"a.md": b"x" * 5_000, "b.md": b"small"}), name, most=4_999)
        assert problems(found).keys() == {"a.md"}
        assert "source.max_bytes" in problems(found)["a.md"]
        assert contents(found)["b.md"] == b"small"

    def test_a_size_that_lies_gives_no_wrong_bytes(self) -> None:
        packed = bytearray(zipped({"a.md": b"x" * 5_000}))
        at = packed.rindex(b"PK\x01\x02")
        packed[at + 24 : at + 28] = struct.pack("<I", 10)
        assert problems(opened(bytes(packed), "a.zip", most=100)).keys() == {"a.md"}

    def test_members_say_what_they_are(self) -> None:
        found = opened(zipped({"a.md": b"x", "b.html": b"x", "c": b"x"}), "a.zip")
        assert [member.media_type for member in found] == ["text/markdown", "text/html", UNKNOWN]


class TestInner:
    def test_archives_in_archives_are_opened(self) -> None:
        inner = FORMATS["a.tar.gz"]({"deep/c.md": b"c"})
        middle = zipped({"in.tar.gz": inner, "b.md": b"b"})
        outer = seven_zipped({"x/in.zip": middle, "page.md.gz": gzip.compress(b"p")})
        assert contents(opened(outer, "a.7z")) == {
            "x/in.zip!/in.tar.gz!/deep/c.md": b"c",
            "x/in.zip!/b.md": b"b",
            "page.md.gz!/page.md": b"p",
        }

    def test_no_deeper_than_allowed(self) -> None:
        packed = b"the bottom"
        for depth in range(6):
            packed = zipped({f"{depth}.zip" if depth else "a.md": packed})
        found = opened(packed, "a.zip", limits=ArchiveSettings(max_depth=3))
        assert problems(found).keys() == {"5.zip!/4.zip!/3.zip"}
        assert "max_depth" in problems(found)["5.zip!/4.zip!/3.zip"]
        assert contents(opened(packed, "a.zip", limits=ArchiveSettings(max_depth=6))) == {
            "5.zip!/4.zip!/3.zip!/2.zip!/1.zip!/a.md": b"the bottom"
        }

    def test_one_that_is_damaged_costs_itself_and_gives_no_part(self) -> None:
        inner = FORMATS["a.tar.gz"]({"a.md": b"a", "b.md": os.urandom(5_000)})
        found = opened(zipped({"in.tar.gz": inner[:-20], "c.md": b"c"}), "a.zip")
        assert problems(found).keys() == {"in.tar.gz"}
        assert contents(found) == {"in.tar.gz": None, "c.md": b"c"}

    def test_one_that_holds_itself_ends(self) -> None:
        packed = zipped({"a.md": b"x"})
        for _ in range(40):
            packed = zipped({"a.zip": packed}, zipfile.ZIP_STORED)
        assert len(problems(opened(packed, "a.zip"))) == 1


class TestLimits:
    BOMB = b"\0" * 30_000_000

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_bomb_is_refused(self, name: str) -> None:
        if name in ("a.tar", "stored.zip"):
            return  # they are as large as what they hold
        content = FORMATS[name]({"a.md": b"x", "zeros": self.BOMB})
        with pytest.raises(ReadError, match=r"unpacks to more than 200 times"):
            opened(content, name, most=50_000_000)

    def test_members_that_are_skipped_count_where_they_are_unpacked(self) -> None:
        with pytest.raises(ReadError, match="unpacks to more than"):
            opened(FORMATS["a.tar.gz"]({"zeros": self.BOMB}), "a.tar.gz", most=10)

    def test_bytes_are_counted_over_all_depths(self) -> None:
        inner = zipped({f"{n}.md": os.urandom(1_000) for n in range(5)}, zipfile.ZIP_STORED)
        outer = zipped({"1.zip": inner, "2.zip": inner}, zipfile.ZIP_STORED)
        assert len(opened(outer, "a.zip", limits=ArchiveSettings(max_bytes=25_000))) == 10
        with pytest.raises(ReadError, match="unpacks to more than 20,000 bytes"):
            opened(outer, "a.zip", limits=ArchiveSettings(max_bytes=20_000))

    def test_members_are_counted_over_all_depths(self) -> None:
        inner = zipped({f"{n}.md": b"x" for n in range(5)})
        outer = zipped({"1.zip": inner, "2.zip": inner})
        assert len(opened(outer, "a.zip", limits=ArchiveSettings(max_members=12))) == 10
        with pytest.raises(ReadError, match="more than 11 members"):
            opened(outer, "a.zip", limits=ArchiveSettings(max_members=11))

    def test_a_header_that_claims_gigabytes(self) -> None:
        info = tarfile.TarInfo("a.md")
        info.size = 1 << 60
        assert problems_or_reason(info.tobuf() + bytes(1024)) == "damaged"
        info.type = tarfile.XHDTYPE
        assert problems_or_reason(info.tobuf() + bytes(1024)) == "damaged"


def problems_or_reason(content: bytes) -> str:
    with pytest.raises(ReadError) as raised:
        opened(content, "a.tar")
    return "damaged" if "damaged" in str(raised.value) else str(raised.value)


AES = base64.b64decode(
    "UEsDBDMAAQBjADRCdV0AAAAALQAAABEAAAAEAAsAYS5tZAGZBwACAEFFAwAA555u6TXHEdogMaJTZ+ZpPE4cTAC0zxswLp/wqwyXEOGiQhrRgj6fBjdTlf"
    "kNUEsDBDMAAQBjADRCdV0AAAAAMAAAALgLAAAFAAsAYi50eHQBmQcAAgBBRQMIAGvFfelxR5AgdC6uSKLe9diXMtclC5+0XcHQuYk2HuX66HLCIAV3iFpE"
    "FcrxzroCq1BLAQI/AzMAAQBjADRCdV0AAAAALQAAABEAAAAEAC8AAAAAAAAAIICkgQAAAABhLm1kCgAgAAAAAAABABgAHc/xxZB53QEAAAAAAAAAAAAAAA"
    "AAAAAAAZkHAAIAQUUDAABQSwECPwMzAAEAYwA0QnVdAAAAADAAAAC4CwAABQAvAAAAAAAAACCApIFaAAAAYi50eHQKACAAAAAAAAEAGABda/LFkHndAQAA"
    "AAAAAAAAAAAAAAAAAAABmQcAAgBBRQMIAFBLBQYAAAAAAgACAMMAAAC4AAAAAAA="
)
"""Made by 7-Zip: AES-256, the password is geheim."""
DEFLATE64 = base64.b64decode(
    "UEsDBAoAAAAAADRCdV0vAibXEQAAABEAAAAEAAAAYS5tZFRoZSBzZWNyZXQgcGFnZS4KUEsDBBUAAAAJADRCdV3nF+6YGgAAALgLAAAFAAAAYi50eHTlwQ"
    "ENAAAAwqDaxjfHB4zH4/F4PB6Px+OVHFBLAQI/AwoAAAAAADRCdV0vAibXEQAAABEAAAAEACQAAAAAAAAAIICkgQAAAABhLm1kCgAgAAAAAAABABgAHc/x"
    "xZB53QEAAAAAAAAAAAAAAAAAAAAAUEsBAj8DFQAAAAkANEJ1XecX7pgaAAAAuAsAAAUAJAAAAAAAAAAggKSBMwAAAGIudHh0CgAgAAAAAAABABgAXWvyxZ"
    "B53QEAAAAAAAAAAAAAAAAAAAAAUEsFBgAAAAACAAIArQAAAHAAAAAAAA=="
)
"""Made by 7-Zip: one member stored, one with Deflate64."""


class TestProtected:
    def test_a_zip_with_aes(self) -> None:
        with pytest.raises(ReadError, match=r"protected by a password; name .* reading\.passwords"):
            opened(AES, "a.zip")
        with pytest.raises(ReadError, match="none of those"):
            opened(AES, "a.zip", passwords=("wrong",))
        assert contents(opened(AES, "a.zip", passwords=("wrong", "geheim"))) == {
            "a.md": b"The secret page.\n",
            "b.txt": b"x" * 3_000,
        }

    def test_one_protected_member_costs_itself(self) -> None:
        packed = bytearray(zipped({"a.md": b"open", "b.md": b"closed" * 5}))
        for at in (packed.rindex(b"PK\x03\x04") + 6, packed.rindex(b"PK\x01\x02") + 8):
            packed[at] |= 1
        found = opened(bytes(packed), "a.zip")
        assert "protected by a password" in problems(found)["b.md"]
        assert contents(found)["a.md"] == b"open"

    @pytest.mark.parametrize("names_too", [False, True])
    def test_a_7z(self, names_too: bool) -> None:
        import py7zr

        file = io.BytesIO()
        filters = [{"id": py7zr.FILTER_COPY}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}]
        with py7zr.SevenZipFile(file, "w", password="geheim", filters=filters, header_encryption=names_too) as archive:
            archive.writestr(b"secret", "a.md")
        packed = file.getvalue()
        for passwords in ((), ("wrong",)):
            with pytest.raises(ReadError, match="protected by a password"):
                opened(packed, "a.7z", passwords=passwords)
        assert contents(opened(packed, "a.7z", passwords=("wrong", "geheim"))) == {"a.md": b"secret"}

    def test_deflate64(self) -> None:
        assert contents(opened(DEFLATE64, "a.zip")) == {"a.md": b"The secret page.\n", "b.txt": b"x" * 3_000}


class TestContainers:
    @pytest.mark.parametrize(
        ("name", "media_type", "content"),
        [
            ("a.docx", UNKNOWN, zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"})),
            ("no-name", UNKNOWN, zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"})),
            ("a.epub", UNKNOWN, zipped({"mimetype": b"application/epub+zip"}, zipfile.ZIP_STORED)),
            ("a.zip", UNKNOWN, zipped({"mimetype": b"application/vnd.oasis.opendocument.text"}, zipfile.ZIP_STORED)),
            ("a.jar", UNKNOWN, zipped({"A.class": b""})),
            ("a.whl", UNKNOWN, zipped({"a.py": b""})),
            ("a.odt", UNKNOWN, zipped({"content.xml": b""})),
            ("x", "application/epub+zip", zipped({"a": b""})),
            ("a.zip", UNKNOWN, b"%PDF-1.7 a document under a wrong name"),
            ("a.zip", UNKNOWN, b""),
            ("a.md", UNKNOWN, b"# A page"),
            ("a.bin", UNKNOWN, b"BZh is not all of it"),
            ("a.tgz.txt", UNKNOWN, b"text"),
        ],
    )
    def test_documents_are_none(self, name: str, media_type: str, content: bytes) -> None:
        assert not is_container(content, name, media_type)

    @pytest.mark.parametrize(
        ("name", "media_type", "content"),
        [
            ("a", UNKNOWN, zipped({"a.md": b""})),
            ("a", "text/plain", gzip.compress(b"x")),
            ("https://host/get?id=5", "application/zip", zipped({"a.md": b""})),
            ("a.zip", UNKNOWN, b"PK\x03\x04"),
            ("a.zip", UNKNOWN, b"\x00\x01 damaged at its beginning"),
            ("a.tar", UNKNOWN, tarred({"a.md": b""})),
            ("a.zip", UNKNOWN, zipped({"docs/word/[Content_Types].xml": b"<x/>"})),
            ("a.eml", UNKNOWN, b"From: a@example.org\nSubject: x\n\ntext"),
            ("a.zip", UNKNOWN, zipped({})),
        ],
    )
    def test_containers_are(self, name: str, media_type: str, content: bytes) -> None:
        assert is_container(content, name, media_type)

    def test_a_document_in_an_archive_stays_whole(self) -> None:
        docx = zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"})
        assert contents(opened(zipped({"a.docx": docx}), "a.zip")) == {"a.docx": docx}

    def test_a_document_that_only_its_directory_shows_is_one_member_without_a_path(self) -> None:
        docx = zipped([("word/media/a.png", os.urandom(HEAD_BYTES)), ("[Content_Types].xml", b"<x/>")])
        (found,) = opened(docx, "a.zip")
        assert (found.path, found.content) == ("", docx)
        assert found.media_type.endswith("wordprocessingml.document")

    def test_a_mail_is_itself_and_its_attachments(self) -> None:
        from email.message import EmailMessage

        mail = EmailMessage()
        mail["From"], mail["Subject"] = "a@example.org", "Attached"
        mail.set_content("The text of the mail.\n")
        mail.add_attachment(b"# A page\n", maintype="text", subtype="markdown", filename="../page.md")
        mail.add_attachment(zipped({"in.md": b"inner"}), maintype="application", subtype="zip", filename="a.zip")
        content = mail.as_bytes()
        found = opened(content, "a.eml", "message/rfc822")
        assert contents(found) == {"": content, "page.md": b"# A page\n", "a.zip!/in.md": b"inner"}
        assert found[0].media_type == "message/rfc822"
        assert contents(opened(zipped({"a.eml": content}), "b.zip")).keys() == {
            "a.eml", "a.eml!/page.md", "a.eml!/a.zip!/in.md",
        }  # fmt: skip


def test_a_worker_unpacks_what_the_stage_unpacks(tmp_path: Path) -> None:
    content = zipped({"a.md": b"text", "in.zip": zipped({"b.md": os.urandom(300_000)}), "large.md": b"x" * 600_000})
    packed, cut = tmp_path / "packed", tmp_path / "cut"
    packed.write_bytes(content)
    cut.write_bytes(content[:-30])
    with WorkerPool(folder=tmp_path / "workers", memory_mb=64) as pool:

        def unpacked(path: Path) -> list[Member]:
            return list(pool.unpack(path, name="a.zip", settings=ArchiveSettings(), max_member_bytes=500_000))

        assert unpacked(packed) == opened(content, "a.zip", most=500_000)
        with pytest.raises(ReadError, match="damaged"):
            unpacked(cut)
        half = pool.unpack(packed, name="a.zip", settings=ArchiveSettings(), max_member_bytes=500_000)
        next(half)
        half.close()
        assert len(unpacked(packed)) == 3
