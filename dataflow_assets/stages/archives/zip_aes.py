"""Zip members that are protected with AES, in the way of WinZip.

What belongs here: the extra field, the key and the decryption, as WinZip's note on AES encryption (AE-1, AE-2) tells of them.
What does not: the weak protection of old, which `zipfile` knows.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zipfile
from importlib import import_module

AES = 99
"""The method that stands where the real one lies in the extra field."""

_EXTRA_ID = 0x9901
_ROUNDS = 1000
_TAG = 10
_KEY_BYTES = {1: 16, 2: 24, 3: 32}


def method_within(info: zipfile.ZipInfo) -> tuple[int, int | None]:
    """Give the real method, and the checksum where there is one; raises ValueError."""
    version, _, method = _extra(info)
    return method, info.CRC if version == 1 else None


def decrypt(packed: bytes, info: zipfile.ZipInfo, password: str) -> bytes | None:
    """Decrypt a member; None where the password is wrong.

    Raises:
        ValueError: It is damaged.
    """
    from Cryptodome.Util import Counter

    cipher = import_module("Cryptodome.Cipher.AES")
    _, strength, _ = _extra(info)
    size = _KEY_BYTES[strength]
    salt, packed = packed[: size // 2], packed[size // 2 :]
    check, body, tag = packed[:2], packed[2:-_TAG], packed[-_TAG:]
    if len(packed) < 2 + _TAG:
        raise ValueError("its data ends too early")
    derived = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, _ROUNDS, 2 * size + 2)
    if not hmac.compare_digest(derived[2 * size :], check):
        return None
    if not hmac.compare_digest(hmac.new(derived[size : 2 * size], body, hashlib.sha1).digest()[:_TAG], tag):
        raise ValueError("its data was changed")
    counter = Counter.new(128, little_endian=True, initial_value=1)
    content: bytes = cipher.new(derived[:size], cipher.MODE_CTR, counter=counter).decrypt(body)
    return content


def _extra(info: zipfile.ZipInfo) -> tuple[int, int, int]:
    """Give version, strength and method."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == _EXTRA_ID and length >= 7 and len(extra) >= 11:
            version, strength, method = struct.unpack("<H2xBH", extra[4:11])
            if strength in _KEY_BYTES:
                return version, strength, method
        extra = extra[4 + length :]
    raise ValueError("what it says of its protection is broken")
