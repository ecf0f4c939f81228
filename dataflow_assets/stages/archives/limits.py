"""What an archive may become, counted while it is read.

What belongs here: the one count that an archive shares with all archives in it, the record of a member as it lies in an
archive, and the sentences about what is wrong. What does not: formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from dataflow_assets.errors import ReadError
from dataflow_assets.source_settings import ArchiveSettings

_BLOCK = 1 << 20
_RATIO_FROM = 10_000_000
"""Below so many bytes a ratio says nothing: a page of blanks packs well."""


class LimitBroken(ReadError):
    """The outermost archive, with all archives in it, is more than the catalog allows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as it lies in one archive."""

    name: str | None
    """As the archive names it; None where it is the container itself, such as a mail."""
    content: bytes | None = None
    problem: str | None = None
    """Why it cannot be had: the end of a sentence that begins with its name."""
    media_type: str = ""
    """What it is said to be; its name decides if empty."""


class Readable(Protocol):
    """Something that gives bytes."""

    def read(self, size: int, /) -> bytes:
        """Give at most so many bytes; none at the end."""


@dataclass(slots=True)
class Limits:
    """The limits of one archive and of all archives in it, and how far they are used."""

    name: str
    """The outermost archive, for sentences."""
    settings: ArchiveSettings
    max_member_bytes: int
    packed: int
    """Size of the outermost archive."""
    passwords: tuple[str, ...] = field(default=(), repr=False)
    members: int = 0
    unpacked: int = 0

    def count_member(self) -> None:
        """Count a member; raises LimitBroken."""
        self.members += 1
        if self.members > self.settings.max_members:
            raise LimitBroken(
                f"{self.name} has more than {self.settings.max_members:,} members, which is all that "
                "source.archives.max_members allows. Raise it, or exclude the file."
            )

    def count_bytes(self, count: int) -> None:
        """Count bytes that came out; raises LimitBroken."""
        self.unpacked += count
        if self.unpacked > self.settings.max_bytes:
            raise LimitBroken(
                f"{self.name} unpacks to more than {self.settings.max_bytes:,} bytes, which is all that "
                "source.archives.max_bytes allows. Raise it, or exclude the file."
            )
        if self.unpacked > _RATIO_FROM and self.unpacked > self.settings.max_ratio * self.packed:
            raise LimitBroken(
                f"{self.name} unpacks to more than {self.settings.max_ratio:g} times its {self.packed:,} bytes, as files do "
                "that are made to fill disks. Raise source.archives.max_ratio, or exclude the file."
            )

    def read_member(self, stream: Readable, *, counted: bool = False) -> bytes | None:
        """Read a member whole; None where it is larger than a document may be.

        Args:
            stream: Where it comes from.
            counted: Whether the stream counts its bytes itself.
        """
        blocks, size = [], 0
        while block := stream.read(min(_BLOCK, self.max_member_bytes + 1 - size)):
            size += len(block)
            if not counted:
                self.count_bytes(len(block))
            if size > self.max_member_bytes:
                return None
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def too_large(self, size: int | None = None) -> str:
        """Say that a member is too large; its size may be what a header says."""
        many = f"{size:,} bytes, more" if size is not None and size > self.max_member_bytes else "more bytes"
        return f"has {many} than the {self.max_member_bytes:,} that source.max_bytes allows. Raise it, or exclude the file."


def damaged(name: str, why: str) -> ReadError:
    """Say that an archive is damaged."""
    return ReadError(f"{name} is damaged: {why}. Get the file anew, or exclude it.")


def protected(name: str, tried: bool) -> ReadError:
    """Say that an archive is protected."""
    return ReadError(f"{name} {protection(tried)}")


def protection(tried: bool) -> str:
    """Say of something that it is protected."""
    return (
        "is protected by a password, and none of those that are given opens it; correct reading.passwords."
        if tried
        else "is protected by a password; name the environment variable that holds it in reading.passwords."
    )
