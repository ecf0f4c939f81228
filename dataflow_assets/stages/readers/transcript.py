"""Conversations: a document that is nothing but messages.

What belongs here: the text of a conversation, where each message stands in it, and what is known of it. What does not: logs
and how they are understood (`stages.transcripts`), which is decided where the source is, since one log may hold several
documents.

The text is the messages' own texts, to the character, with an empty line between them. Who speaks stands in the sections
and not in the text, so that a message is found, corrected and embedded as it was said.
"""

from __future__ import annotations

from dataflow_assets.records import Finding, Section
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.transcripts import read

_BETWEEN = "\n\n"


def read_transcript(item: Item) -> Reading:
    """Read one conversation in the form of `stages.transcripts`."""
    conversation = read(item.content)
    sections = []
    position = 0
    for message in conversation.messages:
        end = position + len(message.text)
        sections.append(Section(position, end, None, message.role, message.time, message.id, message.reply_to))
        position = end + len(_BETWEEN)
    return Reading(
        text=_BETWEEN.join(message.text for message in conversation.messages),
        markup="messages",
        title=conversation.title,
        front_matter={"doc_type": "message"},
        sections=tuple(sections),
        metadata=conversation.metadata,
        findings=tuple(
            Finding(
                "transcript_line", "warning", trouble.says, "text", trouble.value,
                "Look at that line of the log; what could be read of it and all other lines are taken.",
            )
            for trouble in conversation.troubles
        ),
    )  # fmt: skip
