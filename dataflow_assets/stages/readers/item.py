"""What every reader is given and gives back.

What belongs here: the two records that stand between `stages.read` and the readers. What does not: anything that acts
on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from dataflow_assets.records import Finding, Section
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.readers.decoding import Decoded, decode


@dataclass(frozen=True)
class Item:
    """The bytes of one document and what is known of them before they are read."""

    content: bytes
    name: str
    """The last part of its path, which may carry hints: `index.html.ko.euc-kr`."""
    media_type: str
    encoding: str | None = None
    """The encoding that the catalog, or the source, names."""
    settings: ReadingSettings = field(default_factory=ReadingSettings)
    """What the catalog says of the library's documents."""
    passwords: tuple[str, ...] = ()
    """Passwords that may open it."""

    @cached_property
    def decoded(self) -> Decoded:
        """The bytes as characters, decoded once however many readers try; raises ReadError for binary data."""
        return decode(self.content, name=self.name, media_type=self.media_type, encoding=self.encoding)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader made of an item."""

    text: str
    markup: str
    """`text`, `markdown`, `rst`, or `messages` for texts of several people in Markdown."""
    title: str | None = None
    """The title that the document gives itself; None where it gives none."""
    language: str | None = None
    """The language that the document names, as it names it."""
    tags: tuple[str, ...] = ()
    """Keywords that the document gives itself outside its front matter."""
    front_matter: Mapping[str, Any] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    """Pages or messages, as spans of `text`."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`authors`, `date` and the like; `pages`, how many there are; `pages_without_text`, their numbers.

    Where a model is to read those (`reading.vision`), two more, which are taken out when it has: `no_text`, the reason for a
    rejection if nothing comes of it; and `unreadable`, page -> how many characters at its beginning are no writing."""
    findings: tuple[Finding, ...] = ()


ReaderFunction: TypeAlias = Callable[[Item], Reading]
