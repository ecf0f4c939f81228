"""Makes Outlook messages for the tests: a compound file ([MS-CFB]) of properties ([MS-OXMSG])."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Mapping
from typing import TypeAlias

Tree: TypeAlias = Mapping[str, "bytes | Tree"]
_END, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
_SECTOR, _MINI, _CUTOFF = 512, 64, 4096


def compound(tree: Tree) -> bytes:
    """Write a compound file of version 3; siblings form a list, which readers take for a tree."""
    entries: list[tuple[str, int, bytes, int, int]] = []  # name, kind, content, next sibling, first child

    def add(name: str, node: bytes | Tree, kind: int) -> int:
        place = len(entries)
        entries.append((name, 2, node, _NONE, _NONE) if isinstance(node, bytes) else (name, kind, b"", _NONE, _NONE))
        if not isinstance(node, bytes):
            before = place
            for child in sorted(node, key=lambda each: (len(each), each.upper())):
                own = add(child, node[child], 1)
                old = entries[before]
                entries[before] = (*old[:4], own) if before == place else (*old[:3], own, old[4])
                before = own
        return place

    add("Root Entry", tree, 5)
    mini, mini_fat, starts = b"", [], {}
    large: list[tuple[int, bytes]] = []
    for place, (_, kind, content, _, _) in enumerate(entries):
        if kind == 2 and len(content) < _CUTOFF:
            count = -(-len(content) // _MINI)
            starts[place] = len(mini_fat) if count else _END
            mini_fat += [len(mini_fat) + step for step in range(1, count)] + [_END] * bool(count)
            mini += content.ljust(count * _MINI, b"\0")
        elif kind == 2:
            large.append((place, content))
    fat: list[int] = []
    sectors = b""

    def store(content: bytes) -> int:
        nonlocal sectors
        count = -(-len(content) // _SECTOR)
        first = len(fat) if count else _END
        fat.extend([len(fat) + step for step in range(1, count)] + [_END] * bool(count))
        sectors += content.ljust(count * _SECTOR, b"\0")
        return first

    for place, content in large:
        starts[place] = store(content)
    starts[0] = store(mini)
    padded = mini_fat + [_FREE] * (-len(mini_fat) % 128)
    mini_fat_start = store(struct.pack(f"<{len(padded)}I", *padded)) if mini_fat else _END
    directory = b""
    for place, (name, kind, content, sibling, child) in enumerate(entries):
        wide = name.encode("utf-16-le")
        size = len(mini) if place == 0 else len(content)
        directory += struct.pack(
            "<64sHBBIII16sIQQIQ", wide, len(wide) + 2, kind, 1, _NONE, sibling, child, b"", 0, 0, 0,
            starts.get(place, 0), size,
        )  # fmt: skip
    directory_start = store(directory)
    count = 1
    while count * 128 < len(fat) + count:
        count += 1
    fat_start = len(fat)
    table = fat + [0xFFFFFFFD] * count
    table += [_FREE] * (count * 128 - len(table))
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, count,
        directory_start, 0, _CUTOFF, mini_fat_start, len(padded) // 128, _END, 0,
        fat_start,
    )  # fmt: skip
    places = [fat_start + step for step in range(1, count)]
    header += struct.pack("<108I", *places, *[_FREE] * (108 - len(places)))
    return header + sectors + struct.pack(f"<{len(table)}I", *table)


def text(code: int, said: str) -> dict[str, bytes]:
    """A property of text."""
    return {f"__substg1.0_{code:04X}001F": said.encode("utf-16-le")}


def binary(code: int, content: bytes) -> dict[str, bytes]:
    """A property of bytes."""
    return {f"__substg1.0_{code:04X}0102": content}


def fixed(header: int, *properties: tuple[int, int, bytes]) -> dict[str, bytes]:
    """The properties of fixed length: type, code and value; a message's header has 32 bytes, an inner one's 24, else 8."""
    content = b"".join(struct.pack("<HHI8s", kind, code, 6, value.ljust(8, b"\0")) for kind, code, value in properties)
    return {"__properties_version1.0": b"\0" * header + content}


def time(code: int, when: dt.datetime) -> tuple[int, int, bytes]:
    """A time, as a property of fixed length."""
    ticks = int((when - dt.datetime(1601, 1, 1, tzinfo=dt.UTC)).total_seconds() * 10_000_000)
    return 0x0040, code, struct.pack("<Q", ticks)


def number(code: int, value: int) -> tuple[int, int, bytes]:
    """A number, as a property of fixed length."""
    return 0x0003, code, struct.pack("<i", value)


def recipient(name: str, address: str, kind: int) -> Tree:
    """A recipient: 1 is to, 2 cc, 3 bcc."""
    return {**fixed(8, number(0x0C15, kind)), **text(0x3001, name), **text(0x39FE, address)}


def attachment(name: str, content: bytes, media_type: str = "", cid: str = "") -> Tree:
    """A file that is attached."""
    return {
        **fixed(8, number(0x3705, 1)), **text(0x3707, name), **text(0x370E, media_type), **text(0x3712, cid),
        **binary(0x3701, content),
    }  # fmt: skip
