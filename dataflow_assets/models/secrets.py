"""Keys, and how they are kept out of everything that is said.

What belongs here: reading a key from its variable, and taking keys out of texts that services, proxies and clients hand back,
before a person, a log or a table sees them. What does not: which service wants which key (its adapter knows).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

SHOWN_CHARACTERS = 300
"""Of what a service says, so much is shown."""
SHORTEST_SECRET = 6
"""A value below this length is no key, and taking it out would make texts unreadable."""

_SECRET_NAMES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|HEADERS)\Z")
_SECRET_FILES = ("VOYAGE_API_KEY_PATH",)
_SECRET_FORMS = re.compile(
    r"\bsk-[A-Za-z0-9_-]{6,}"
    r"|\b(?:pa|al)-[A-Za-z0-9_-]{16,}"
    r"|\bAIza[A-Za-z0-9_-]{16,}"
    r"|(?i:(?<=bearer )(?=[a-z]*(?:[0-9_~+/=-]|\.\w))[^\s\"',;}]+|(?<=x-api-key: )[^\s\"',;}]+)"
    r"|(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}(?=@)"
)
"""Keys by their looks: Anthropic's and OpenAI's, Voyage's and Atlas's, Google's, what stands in headers and in URLs."""


def key_from(names: Sequence[str]) -> str | None:
    """Read a key from the first of some environment variables that is set and not empty.

    Returns:
        The key without the white space around it, which files and shells leave there.
    """
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


def fault_of(key: str) -> str | None:
    """Say why a key cannot be one, without showing it: it travels in a header, which takes visible ASCII only."""
    if all("!" <= character <= "~" for character in key):
        return None
    return "contains characters that no key has (a space, a line break, a quotation mark of a word processor)"


def redacted(text: str) -> str:
    """Take keys out of a text: the values of the variables that hold some, and what looks like one."""
    for secret in _known_secrets():
        text = text.replace(secret, "[key]")
    return _SECRET_FORMS.sub("[key]", text)


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Make what a service said fit to be shown: one line, no keys, no control characters, not too long."""
    line = " ".join(redacted(text).split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line[: limit + 1]).rstrip(". ")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _known_secrets() -> list[str]:
    values: set[str] = set()
    for name, value in os.environ.items():
        if _SECRET_NAMES.search(name.upper()):
            # Of headers, which stand one a line as `name: value`, the values are secret.
            lines = (
                [line.partition(":")[2] for line in value.split("\n")] if name.upper().endswith("HEADERS") else [value]
            )
            values.update(line.strip() for line in lines)
    for name in _SECRET_FILES:
        if path := os.environ.get(name):
            values.add(read_key_file(path) or "")
    return sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)


def read_key_file(path: str) -> str | None:
    """Read a key from a file; None where it cannot be read or holds none."""
    try:
        with Path(path).open("rb") as file:
            return file.read(10_000).decode("utf-8").strip() or None
    except (OSError, ValueError):
        return None
