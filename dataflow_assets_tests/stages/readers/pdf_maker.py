"""PDF files made by hand, so that each test shows what is in its file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()  # the format's own, of 1994


def text_at(x: float, y: float, text: str, *, size: float = 11, font: str = "F1") -> str:
    """Write the operators that set one line of text."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /{font} {size} Tf 1 0 0 1 {x} {y} Tm ({escaped}) Tj ET"


def page_of(*lines: str | tuple[str, float], top: float = 760) -> str:
    """Write lines below each other; an empty one leaves space, a pair has its own size."""
    operators, y = [], top
    for line in lines:
        text, size = (line, 11.0) if isinstance(line, str) else line
        y -= 1.25 * size
        if text:
            operators.append(text_at(60, y, text, size=size))
    return "\n".join(operators)


def rc4(key: bytes, content: bytes) -> bytes:
    state, place = list(range(256)), 0
    for index in range(256):
        place = (place + state[index] + key[index % len(key)]) % 256
        state[index], state[place] = state[place], state[index]
    out, first, second = bytearray(), 0, 0
    for byte in content:
        first = (first + 1) % 256
        second = (second + state[first]) % 256
        state[first], state[second] = state[second], state[first]
        out.append(byte ^ state[(state[first] + state[second]) % 256])
    return bytes(out)


def pdf(
    pages: Sequence[str],
    *,
    info: str = "",
    password: str | None = None,
    annotations: Sequence[str] = (),
    fields: Sequence[str] = (),
    fonts: str = "",
    objects: Sequence[str] = (),
    image: tuple[int, int, bytes] | None = None,
) -> bytes:
    """Make a file.

    Args:
        pages: The operators of each page.
        info: Entries of the document's information.
        password: What opens it (RC4, 40 bits); the empty one opens by itself.
        annotations: Dictionaries of annotations of the first page.
        fields: Dictionaries of form fields, which are annotations of the first page too.
        fonts: More entries for the fonts that pages know; `F1` and `F2`, a bold one, are there.
        objects: Bodies of objects that `fonts` may refer to, from number 100 on.
        image: Width, height and gray pixels of the picture `Im1`.
    """
    identity = b"0123456789abcdef"
    bodies: dict[int, bytes] = {}
    key = b""
    if password is not None:
        user = (password.encode("latin-1") + _PADDING)[:32]
        owner = rc4(_md5(user)[:5], user)
        key = _md5(user + owner + (-4).to_bytes(4, "little", signed=True) + identity)[:5]
        checked = rc4(key, _PADDING)
        bodies[6] = f"<< /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{checked.hex()}> /P -4 >>".encode()

    def stream(number: int, entries: str, content: bytes) -> bytes:
        if key:
            own = _md5(key + number.to_bytes(3, "little") + b"\0\0")[:10]
            content = rc4(own, content)
        return f"<< {entries} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"

    kids = " ".join(f"{20 + 2 * index} 0 R" for index in range(len(pages)))
    form = ""
    first = [*annotations, *fields]
    if fields:
        listed = " ".join(f"{60 + len(annotations) + index} 0 R" for index in range(len(fields)))
        form = f"/AcroForm << /Fields [{listed}] /DA (/F1 10 Tf) /DR << /Font << /F1 3 0 R >> >> >>"
    bodies[1] = f"<< /Type /Catalog /Pages 2 0 R {form} >>".encode()
    bodies[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode()
    bodies[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    bodies[4] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"
    bodies[5] = f"<< {info} >>".encode("latin-1")
    pictures = ""
    if image is not None:
        width, height, pixels = image
        entries = (
            f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray "
            "/BitsPerComponent 8 /Filter /FlateDecode"
        )
        bodies[7] = stream(7, entries, zlib.compress(pixels))
        pictures = "/XObject << /Im1 7 0 R >>"
    for index, operators in enumerate(pages):
        number = 20 + 2 * index
        noted = " ".join(f"{60 + place} 0 R" for place in range(len(first))) if index == 0 else ""
        bodies[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R /Annots [{noted}] "
            f"/Resources << /Font << /F1 3 0 R /F2 4 0 R {fonts} >> {pictures} >> >>"
        ).encode()
        bodies[number + 1] = stream(number + 1, "", operators.encode("latin-1"))
    for place, annotation in enumerate(first):
        bodies[60 + place] = annotation.encode("latin-1")
    for place, body in enumerate(objects):
        bodies[100 + place] = body.encode("latin-1")
    out, offsets = bytearray(b"%PDF-1.7\n"), {}
    for number in sorted(bodies):
        offsets[number] = len(out)
        out += f"{number} 0 obj\n".encode() + bodies[number] + b"\nendobj\n"
    at = len(out)
    last = max(bodies) + 1
    out += f"xref\n0 {last}\n0000000000 65535 f \n".encode()
    for number in range(1, last):
        out += f"{offsets[number]:010d} 00000 n \n".encode() if number in offsets else b"0000000000 00000 f \n"
    secret = f"/Encrypt 6 0 R /ID [<{identity.hex()}> <{identity.hex()}>]" if key else ""
    out += f"trailer\n<< /Size {last} /Root 1 0 R /Info 5 0 R {secret} >>\nstartxref\n{at}\n%%EOF\n".encode()
    return bytes(out)
