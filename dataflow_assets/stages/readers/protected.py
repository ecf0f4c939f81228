"""Office documents that are protected by a password are opened with it.

What belongs here: telling that a document is encrypted, in the old formats and in Open XML, and trying the passwords that the
catalog names. What does not: PDF, whose parser takes passwords itself, and reading what comes out.

Parsers take an encrypted document for a damaged one, or its noise for text; a person should be told which it is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from dataflow_assets.errors import ReadError

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BUILT_IN = "VelvetSweatshop"
"""What Excel encrypts with where a person asked for a document that is only protected from changes."""


def without_protection(content: bytes, passwords: Sequence[str], what: str) -> bytes:
    """Decrypt a document.

    Args:
        content: Its bytes; those of a document that is not encrypted come back as they are.
        passwords: Passwords that may open it.
        what: What to call it in sentences: `presentation`.

    Raises:
        ReadError: It is encrypted, and no password opens it.
    """
    if not content.startswith(_OLE):
        return content
    document = _encrypted(content)
    if document is None:
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise ReadError(f"The {what} is protected by a password, and damaged besides; replace the file.")
        return content
    for password in (*passwords, _BUILT_IN):
        if (opened := _opened(document, password)) is not None:
            return opened
    tried = f"none of the {len(passwords)} given opens it" if passwords else "none is given"
    raise ReadError(
        f"The {what} is protected by a password, and {tried}; name the environment variable that holds it in "
        "reading.passwords."
    )


def _encrypted(content: bytes) -> Any:
    """Give the document as something to decrypt; None where it is not encrypted, or where that cannot be told."""
    import msoffcrypto

    try:
        document = msoffcrypto.OfficeFile(io.BytesIO(content))
        return document if document.is_encrypted() else None
    except (
        Exception
    ):  # the library raises whatever a damaged container makes it stumble over; parsers say it is damaged
        return None


def _opened(document: Any, password: str) -> bytes | None:
    opened = io.BytesIO()
    try:
        try:
            document.load_key(password=password, verify_password=True)
        except TypeError:  # the old formats always verify
            document.load_key(password=password)
        document.decrypt(opened)
    except Exception:  # a wrong password is one of many errors here; none leaves anything to read
        return None
    return opened.getvalue()
