"""A folder of logs of conversations.

What belongs here: turning a file's bytes into the form in which a conversation is a document. What does not: walking the
folder and opening files safely (`files`), and what a log says (`stages.transcripts`).

A log is understood where it is fetched and not where it is read, since what a document is depends on it: a file is one, or
holds several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dataflow_assets.errors import ItemRefused, ReadError
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.source_settings import TranscriptsSource as TranscriptsSettings
from dataflow_assets.sources.base import Context, Fetched, Item
from dataflow_assets.sources.files import FilesSource
from dataflow_assets.stages.transcript_formats import ClaudeCode, Fields
from dataflow_assets.stages.transcript_lines import Interpreter
from dataflow_assets.stages.transcripts import FORM_VERSION, ONE, SEVERAL, conversations, written


class TranscriptsSource(FilesSource):
    """Lists log files as `FilesSource` does and fetches them as conversations.

    Args:
        settings: Folder, patterns, and how a line is understood.
        context: Its base is the folder that a relative path starts from.
    """

    def __init__(self, settings: TranscriptsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._settings = settings
        self._by_name = settings.fields is not None and settings.fields.conversation is not None
        self._mark = fingerprint_of(FORM_VERSION, settings.format, settings.fields, settings.content)

    def list(self) -> Iterator[Item]:
        """List the files that the patterns take; a fingerprint covers how their lines are understood too.

        Raises:
            SourceUnavailable: The folder, or one below it that the patterns lead into, cannot be read.
        """
        for item in super().list():
            yield replace(item, media_type=ONE, fingerprint=f"{item.fingerprint}-{self._mark}")

    def fetch(self, item: Item) -> Fetched:
        """Read a file as one conversation, or as several.

        A log whose conversations are named line by line is of several also while it holds one, so that a document keeps its
        name when a second conversation begins.

        Raises:
            FetchFailed: It is not there, may not be read, or a folder stands in its place.
            ItemRefused: It is not a regular file below the folder, larger than allowed, or has too many lines.
        """
        content = super().fetch(item).content
        try:
            found = conversations(
                content if isinstance(content, bytes) else content.read_bytes(),
                self._interpreter(),
                by_name=self._by_name,
            )
        except ReadError as error:
            raise ItemRefused(f"{item.uri}: {error}") from error
        several = len(found) > 1 or (self._by_name and bool(found[0].messages))
        return Fetched(written(found), SEVERAL if several else ONE)

    def takes_member(self, path: str) -> bool:
        """Take every conversation of a file that is taken: patterns are about files."""
        return True

    def _interpreter(self) -> Interpreter:
        if self._settings.fields is not None:
            expressions = self._settings.fields.model_dump(exclude_none=True)
            return Fields(expressions)
        return ClaudeCode(self._settings.content)
