"""The catalog: the YAML file that names the libraries, read into validated settings.

What belongs here: reading the file, merging `defaults`, saying everything that is wrong with it at once, the JSON
Schema, and the one place that makes and splits partition keys. What does not: what a setting means, its default and its
range (`settings`), and whether a source is there.

`yaml` only cuts the file into events. From these a tree of nodes is made in which every node knows its path and its
line, with bounds on depth and size, since a catalog may come from anywhere. Words are understood as in YAML 1.2, except
that what other readers of YAML take for something else (`no`, `010`, `12:30`, `2024-01-01`) is never guessed at. Each
library's tree is merged with that of `defaults`; a value keeps its place through the merge, so that a wrong default is
reported once, where it stands.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dataflow_assets.catalog_schema import SECTIONS, allowed, schema_at
from dataflow_assets.errors import CatalogError, ConfigurationError
from dataflow_assets.settings import LIBRARY_NAME, LibrarySettings
from dataflow_assets.source_settings import FilesSource, SourceSettings, known_kinds, settings_class

MAX_BYTES = 4_000_000
"""A larger file is no catalog: it is room for 20,000 libraries."""
MAX_DEPTH = 16
"""Deepest nesting; settings need five levels. The parser takes quadratic time on deeper ones."""
MAX_NODES = 500_000
"""Most values, aliases and defaults written out."""
MAX_PARTITIONS = 100_000
"""Dagster's pages and daemons slow down long before."""
MAX_PROBLEMS = 200
"""More are counted, not listed."""

NAME_RULE = "a name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or a digit"

_SAMPLE = "libraries: {handbook: {source: {path: docs}}}"

_Loc: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The libraries of one catalog file."""

    path: Path
    """The file, absolute."""
    folder: Path
    """What relative paths of sources are relative to."""
    libraries: Mapping[str, LibrarySettings]
    """By name, in the file's order, with the defaults applied; those of the inbox last, by name."""
    notes: tuple[str, ...] = ()
    """What a person should know though it keeps nothing from working, such as folders of the inbox that are no libraries."""

    def library(self, name: str) -> LibrarySettings:
        """Give the settings of a library.

        Raises:
            ConfigurationError: The catalog names no such library; the message lists those it does name.
        """
        try:
            return self.libraries[name]
        except KeyError:
            pass
        known = list(self.libraries)
        listed = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise ConfigurationError(
            f"There is no library {_quoted(name)} in {_text_of(self.path)}; "
            + (f"it names {listed}{_did_you_mean(name, known)}." if known else "it names none yet.")
        )

    def partition_keys(self, name: str) -> tuple[str, ...]:
        """Give the partition keys of a library: its name, or one per bucket.

        Raises:
            ConfigurationError: The catalog names no such library.
        """
        buckets = self.library(name).buckets
        return tuple(partition_of(name, bucket, buckets) for bucket in range(buckets))

    def all_partition_keys(self) -> tuple[str, ...]:
        """Give the partition keys of all libraries, in the file's order."""
        return tuple(key for name in self.libraries for key in self.partition_keys(name))


def partition_of(library: str, bucket: int, buckets: int) -> str:
    """Make the partition key of a library's bucket.

    Args:
        library: The library's name.
        bucket: The bucket, from 0.
        buckets: How many buckets the library has, 1 to 1,000.

    Returns:
        The name alone where there is one bucket, else `name.000` to `name.NNN`.

    Raises:
        ValueError: A name that cannot be one, or a bucket that is not there.
    """
    if not _is_name(library):
        raise ValueError(f"{_quoted(library)} is no library: {NAME_RULE}")
    if not 0 <= bucket < buckets <= 1000:
        raise ValueError(f"library {library} has no bucket {bucket} of {buckets}: buckets count from 0, up to 1,000")
    return library if buckets == 1 else f"{library}.{bucket:03}"


def split_partition(key: str) -> tuple[str, int | None]:
    """Take a partition key apart; a library's name has no dot, so there is one way.

    Returns:
        The library's name, and the bucket, None where the library has one.

    Raises:
        ConfigurationError: The text is no partition key.
    """
    name, dot, bucket = key.partition(".")
    if not _is_name(name) or (dot and not re.fullmatch("[0-9]{3}", bucket)):
        raise ConfigurationError(
            f"{_quoted(key)} is no partition: allowed is a library's name, or name.000 to name.999 for a bucket of "
            f"one; {NAME_RULE}."
        )
    return name, int(bucket) if dot else None


def load_catalog(path: Path) -> Catalog:
    """Read a catalog file.

    Args:
        path: The file, YAML or JSON.

    Raises:
        CatalogError: The file cannot be read, or has problems; it says all of them, each with line, place and remedy.
    """
    absolute = Path(os.path.abspath(path))
    reading = _Reading(_text_of(path), absolute.parent)
    text = reading.text(path)
    libraries = reading.libraries(text)
    reading.raise_problems()
    return Catalog(absolute, absolute.parent, MappingProxyType(libraries), tuple(reading.notes))


def inbox_folders(base: Path, inbox: str) -> tuple[dict[str, str], list[str]]:
    """Look what lies in an inbox.

    Args:
        base: The catalog's folder.
        inbox: The inbox, relative to it or absolute.

    Returns:
        Library -> the name of its folder, by name; and sentences on what cannot be a library.
    """
    try:
        with os.scandir(base / inbox) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".").lower()
        return {}, [f"The inbox {_shown(inbox)} cannot be read: {reason}. Create it, or correct the catalog's inbox."]
    folders: dict[str, str] = {}
    notes = []
    for name in names:
        if name.startswith("."):
            continue
        library = name if _is_name(name) else re.sub(r"[^a-z0-9_-]+", "-", name[:200].lower()).strip("-_")[:64]
        if not _is_name(library) or _UNSAYABLE.search(name) or library in folders:
            taken = f"; {library} is taken" if library in folders else ""
            notes.append(f"The folder {_shown(name)} of the inbox is no library: {NAME_RULE}{taken}. Rename it.")
        else:
            folders[library] = name
    return folders, notes


@dataclass(slots=True)
class _Node:
    """A value of the file, with its place."""

    value: Any
    """A dict or a list of nodes; else what the word says."""
    path: str
    line: int
    raw: str = ""
    """The word as written."""


@dataclass(frozen=True, slots=True)
class _Unclear:
    """A bare word that readers of YAML understand in different ways; no setting accepts it."""

    kind: str


class _BrokenError(Exception):
    """The file cannot be read on; the problem is noted."""


class _Reading:
    """One reading of one file, with the problems found so far."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file = file
        self.folder = folder
        self.notes: list[str] = []
        self.problems: dict[str, int] = {}
        self.nodes = 0
        self.anchors: dict[str, _Node] = {}

    # -- problems

    def note(self, line: int, sentence: str) -> None:
        place = f"{self.file}, line {line}: " if line else f"{self.file}: "
        self.problems.setdefault(place + sentence, line)

    def stop(self, line: int, sentence: str) -> _BrokenError:
        self.note(line, sentence)
        return _BrokenError()

    def raise_problems(self) -> None:
        if not self.problems:
            return
        found = [sentence for sentence, _ in sorted(self.problems.items(), key=lambda item: item[1])]
        if len(found) > MAX_PROBLEMS:
            more = len(found) - MAX_PROBLEMS
            found = [*found[:MAX_PROBLEMS], f"{self.file}: {more} more problems; mend these first"]
        raise CatalogError(found)

    # -- from the file to a text

    def text(self, path: Path) -> str:
        try:
            return self._decoded(self._bytes(path))
        except _BrokenError:
            self.raise_problems()
            raise

    def _bytes(self, path: Path) -> bytes:
        make = f"make one that says, for example, {_SAMPLE}"
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                raise self.stop(0, "this is a folder; name the catalog file in it (DATAFLOW_CATALOG)")
            if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever
                raise self.stop(0, "this is not a regular file; the catalog must be one")
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise self.stop(0, f"there is no such file; {make}, or name another file with DATAFLOW_CATALOG") from None
        except ValueError:
            raise self.stop(0, "this is no name of a file; set DATAFLOW_CATALOG to the catalog's path") from None
        except OSError as error:
            raise self.stop(
                0, f"the catalog cannot be read ({error.strerror}); check the path and its rights"
            ) from None
        if len(data) > MAX_BYTES:
            raise self.stop(0, f"the file is larger than {MAX_BYTES:,} bytes; a catalog is not: is it the right file?")
        if not data.strip():
            raise self.stop(0, f"the file is empty; name at least one library, for example {_SAMPLE}")
        return data

    def _decoded(self, data: bytes) -> str:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data:
            raise self.stop(0, "the file is not UTF-8 text (it may be UTF-16 or binary); save it as UTF-8")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self.stop(line, f"the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8") from None
        if bad := _UNPRINTABLE.search(text):
            line = text.count("\n", 0, bad.start()) + 1
            raise self.stop(
                line, f"the character U+{ord(bad[0]):04X} may not stand in YAML; delete it, or write it as an escape"
            )
        if text.lstrip().startswith("{"):
            text = _ESCAPES.sub(_joined_surrogates, text)
        return text

    # -- from a text to nodes

    def libraries(self, text: str) -> dict[str, LibrarySettings]:
        try:
            return self._libraries(self._root(text))
        except _BrokenError:
            return {}

    def _root(self, text: str) -> _Node:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        try:
            next(events)
            event = next(events)
            if isinstance(event, yaml.StreamEndEvent):
                raise self.stop(0, f"the file holds only comments; name at least one library, for example {_SAMPLE}")
            root = self._node(events, next(events), "", 0)
            next(events)
            event = next(events)
            if not isinstance(event, yaml.StreamEndEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise self.stop(line, "a second document begins (---); a catalog is one: join the two")
        except yaml.MarkedYAMLError as error:
            raise self.stop(_mark(error)[0] + 1, _syntax(error, text)) from None
        except yaml.YAMLError:
            raise self.stop(0, "this is not YAML; check the file's text") from None
        return root

    def _node(self, events: Iterator[Any], event: Any, path: str, depth: int) -> _Node:
        line = event.start_mark.line + 1
        self._count(1, line)
        if depth > MAX_DEPTH:
            raise self.stop(line, f"values are nested more than {MAX_DEPTH} deep; no setting is")
        if isinstance(event, yaml.AliasEvent):
            return self._copied(self._anchored(str(event.anchor), line), path)
        if event.tag not in (None, "!"):
            self.note(line, f"{path or 'the catalog'} has the tag {_quoted(event.tag)}; leave the tag out")
        node = _Node(None, path, line)
        if isinstance(event, yaml.ScalarEvent):
            node.raw = event.value
            node.value = _understood(event.value) if event.implicit[0] else event.value
            if bad := _UNSAYABLE.search(event.value):
                self.note(line, f"{path} holds the character U+{ord(bad[0]):04X}, which no setting can hold; delete it")
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                node.value.append(self._node(events, item, f"{path}[{len(node.value)}]", depth + 1))
        else:
            node.value = {}
            while not isinstance(key := next(events), yaml.MappingEndEvent):
                name = self._key(key, path, node.value)
                child = self._node(events, next(events), _below(path, "?" if name is None else name), depth + 1)
                if name is not None and name not in node.value:
                    node.value[name] = child
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _key(self, event: Any, path: str, siblings: Mapping[str, _Node]) -> str | None:
        """Give a key's text; None for one that was noted as wrong and whose value is passed over."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise self.stop(line, f"a key begins with *; put it in quotes: {_quoted(f'*{event.anchor}')}")
        if not isinstance(event, yaml.ScalarEvent):
            raise self.stop(line, f"a key of {path or 'the catalog'} is a list or a set of keys; a key is a plain word")
        name = str(event.value)
        place = _below(path, name)
        if event.implicit[0]:
            if name == "<<":
                self.note(line, f"{place} is a merge key, which is not supported; put what libraries share in defaults")
                return None
            if not isinstance(meant := _understood(name), str):
                self.note(line, f"{place} is read by YAML as {_kind(meant)}, not as a name; put the name in quotes")
        if name in siblings:
            self.note(line, f"{place} is given twice (first on line {siblings[name].line}); keep one of them")
        return name

    def _anchored(self, anchor: str, line: int) -> _Node:
        if anchor not in self.anchors:
            raise self.stop(
                line,
                f"*{_shown(anchor)} refers to nothing that stands complete above it (&{_shown(anchor)}); "
                "a text that begins with * must stand in quotes",
            )
        return self.anchors[anchor]

    def _copied(self, node: _Node, path: str) -> _Node:
        """Write an alias out, so that every value has one path; `_count` bounds what aliases of aliases make."""
        self._count(1, node.line)
        value = node.value
        if isinstance(value, dict):
            value = {name: self._copied(child, _below(path, name)) for name, child in value.items()}
        elif isinstance(value, list):
            value = [self._copied(child, f"{path}[{index}]") for index, child in enumerate(value)]
        return _Node(value, path, node.line, node.raw)

    def _count(self, nodes: int, line: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self.stop(
                line,
                f"the catalog, its aliases written out, holds more than {MAX_NODES:,} values; split it into several",
            )

    # -- from nodes to settings

    def _libraries(self, root: _Node) -> dict[str, LibrarySettings]:
        if not isinstance(root.value, dict):
            raise self.stop(
                root.line, f"the catalog is {_found(root)}; allowed is a set of keys, for example {_SAMPLE}"
            )
        for name, node in root.value.items():
            if name not in ("defaults", "inbox", "libraries"):
                self.note(node.line, _unknown(node, name, ["defaults", "inbox", "libraries"]))
        if "libraries" not in root.value and "inbox" not in root.value:
            self.note(0, f"libraries is missing; name at least one library, for example {_SAMPLE}")
        defaults = self._section(root, "defaults", "a set of keys such as chunking: {max_tokens: 500}")
        if defaults:
            # Alone, defaults need not be whole: what is missing, and what does not go together, shows in a library.
            self._settings(defaults, defaults, partial=True)
        named = self._section(root, "libraries", "names of libraries with their settings")
        found: dict[str, LibrarySettings] = {}
        for name, own in named.value.items() if named else ():
            if not _is_name(name):
                self.note(own.line, f"{own.path} is not a name for a library: {NAME_RULE}{_better_name(name)}")
            if own.value is None:
                own.value = {}
            if not isinstance(own.value, dict):
                self.note(
                    own.line, f"{own.path} is {_found(own)}; allowed is a set of keys, at least source: {{path: ...}}"
                )
                continue
            if defaults:
                self._count(_size(defaults), own.line)
            if settings := self._settings(_merged(defaults, own) if defaults else own, own):
                found[name] = settings
        self._add_inbox(root, defaults, found)
        partitions = sum(settings.buckets for settings in found.values())
        if partitions > MAX_PARTITIONS:
            self.note(
                0, f"libraries and their buckets make {partitions:,} partitions; allowed are at most {MAX_PARTITIONS:,}"
            )
        return found

    def _add_inbox(self, root: _Node, defaults: _Node | None, found: dict[str, LibrarySettings]) -> None:
        """Make a library of each folder in the inbox that no entry names."""
        node = root.value.get("inbox")
        if node is None or node.value is None:
            return
        if not isinstance(node.value, str) or not node.value or node.value.startswith("~"):
            self.note(node.line, f"inbox is {_found(node)}; allowed is a folder, written out")
            return
        folders, notes = inbox_folders(self.folder, node.value)
        self.notes += notes
        for name, folder in folders.items():
            if name in found:
                self.notes.append(
                    f"The folder {_shown(folder)} of the inbox is not a library of its own: the catalog names one {name}."
                )
                continue
            source = _Node(
                {"path": _Node(f"{node.value.rstrip('/')}/{folder}", f"{name}.source.path", node.line)},
                f"{name}.source",
                node.line,
            )
            own = _Node({"source": source}, f"inbox.{name}", node.line)
            if settings := self._settings(_merged(defaults, own) if defaults else own, own):
                found[name] = settings

    def _section(self, root: _Node, name: str, allowed: str) -> _Node | None:
        node: _Node | None = root.value.get(name)
        if node is None or node.value is None:
            return None
        if not isinstance(node.value, dict):
            self.note(node.line, f"{name} is {_found(node)}; allowed is {allowed}")
            return None
        return node

    def _settings(self, node: _Node, own: _Node, *, partial: bool = False) -> LibrarySettings | None:
        plain, sound = _plain(node), True
        source = node.value.get("source")
        kind: type[SourceSettings] = FilesSource
        if source is not None and isinstance(source.value, dict):
            found = self._kind_of(source)
            if found is None:
                sound = False
            else:
                kind = found
                try:
                    plain["source"] = kind.model_validate(plain["source"])
                except ValidationError as error:
                    sound = False
                    for details in error.errors(include_url=False):
                        details["loc"] = ("source", *details["loc"])
                        self._translate(details, node, own, kind, partial)
            if not sound:
                plain["source"] = FilesSource(path=".")  # stands in, so that the rest is looked at too
        try:
            settings = LibrarySettings.model_validate(plain)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self._translate(details, node, own, kind, partial)
            return None
        return settings if sound else None

    def _kind_of(self, source: _Node) -> type[SourceSettings] | None:
        named = source.value.get("type")
        if named is None:
            return FilesSource
        found = settings_class(named.value)
        if found is None:
            known = known_kinds()
            close = _did_you_mean(named.value, known) if isinstance(named.value, str) else ""
            self.note(named.line, f"{named.path} is {_found(named)}; allowed are {', '.join(known)}{close}")
        return found

    def _translate(
        self, error: ErrorDetails, node: _Node, own: _Node, source: type[SourceSettings], partial: bool
    ) -> None:
        """Say in the catalog's words what pydantic found at a place of the merged tree."""
        kind, loc, context = error["type"], error["loc"], error.get("ctx", {})
        if kind == "missing":
            if not partial:
                place, near = own.path, node
                for piece in loc:
                    place = _below(place, str(piece))
                    near = near.value.get(piece, near)
                line = near.line if near.path.startswith(own.path + ".") else own.line
                self.note(line, f"{place} is missing; {_REMEDIES.get(loc) or _remedy(loc, source)}")
            return
        # By this last piece pydantic says that a name is wrong; what is wrong may also be called so.
        last = loc[-1:] == ("[key]",) and kind != "extra_forbidden"
        names = schema_at(loc[:-2], source).get("propertyNames") if last else None
        at, passed = node, 0
        for piece in loc[:-1] if kind == "extra_forbidden" or names else loc:
            if not (
                piece in at.value
                if isinstance(at.value, dict)
                else isinstance(at.value, list) and piece in range(len(at.value))
            ):
                break  # pydantic names the alternatives of a value too
            at, passed = at.value[piece], passed + 1
        if not names and kind != "extra_forbidden":
            loc = loc[:passed]
        if names:
            self.note(at.line, f"{at.path} is not a name; {allowed({'type': 'string', **names})}")
        elif kind == "extra_forbidden":
            name = str(loc[-1])
            self.note(
                at.value[name].line, _unknown(at.value[name], name, list(schema_at(loc[:-1], source)["properties"]))
            )
        elif kind == "conflict":
            if not partial:
                first, *_ = fields = context["fields"]
                present = [at.value[field] for field in fields if field in at.value]
                if not present:
                    self.note(at.line, f"{at.path} lacks {' and '.join(fields)}; allowed is {context['allowed']}")
                    return
                blamed = next((field for field in present if field.path.startswith(own.path + ".")), present[0])
                said = f"{blamed.path} is {_found(blamed)}"
                if first not in at.value:
                    default = schema_at(loc, source)["properties"][first].get("default")
                    said += f", which does not go with {first}, {default} where it is left out"
                elif blamed is not at.value[first]:
                    said += f", which does not go with {first}"
                there = "" if blamed is at.value.get(first) else " there"
                self.note(blamed.line, f"{said}; allowed{there} is {context['allowed']}")
        elif kind == "unusable":
            self.note(at.line, f"{at.path} is {_found(at)}; allowed is {context['allowed']}")
        else:
            self.note(
                at.line,
                f"{at.path} is {_found(at)}; {allowed(schema_at(loc, source))}{_hint(at, schema_at(loc, source))}",
            )


_REMEDIES: dict[_Loc, str] = {
    ("source",): "say where the documents are, for example source: {path: docs}",
    ("source", "path"): "name the folder of the documents, relative to the catalog file",
}


def _remedy(loc: _Loc, source: type[SourceSettings]) -> str:
    described = str(schema_at(loc, source).get("description", ""))
    return f"add it: {described[:1].lower()}{described[1:].rstrip('.')}" if described else "add it"


_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNSAYABLE = re.compile(r"[\x00\ud800-\udfff]")
_ESCAPES = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_NULL = re.compile(r"~|null|Null|NULL|")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_DECIMAL = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_OTHER_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0[0-9]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9]*)?)"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].{0,40})?")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SECRET = re.compile(
    r"(?:(?:sk|pk|pa|rk|ghp|gho|ghs|github_pat|glpat|xox[a-z]|hf)[-_]|AKIA|ASIA|AIza|eyJ)[-_A-Za-z0-9].{6,}"
    r"|(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+=-]{20,}",
    re.DOTALL,
)


def _understood(word: str) -> Any:
    """Give what a bare word says: None, a bool, an int, a float, `_Unclear`, or the word itself."""
    if len(word) <= 5:
        if _NULL.fullmatch(word):
            return None
        if word in (lower := word.lower(), word.upper(), word.capitalize()) and lower in _WORDS:
            return _WORDS[lower]
    if len(word) > 64 or not word or word[0] not in "+-.0123456789":
        return word
    if _OTHER_NUMBER.fullmatch(word):
        return _Unclear("a number in another notation")
    if _WHOLE.fullmatch(word):
        return int(word.replace("_", ""))
    if _DECIMAL.fullmatch(word):
        return float(word.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return _Unclear("a date") if _DATE.fullmatch(word) else word


def _merged(base: _Node, own: _Node) -> _Node:
    """Lay a library's own settings over the defaults, key by key; every value keeps its place."""
    if own.value is None and isinstance(base.value, dict):
        return base
    if not isinstance(base.value, dict) or not isinstance(own.value, dict):
        return own
    value = dict(base.value)
    for name, child in own.value.items():
        below = value.get(name)
        if below is None or (
            name == "source" and _source_type(below) != _source_type(child) and child.value is not None
        ):
            value[name] = child
        else:
            value[name] = _merged(below, child)
    return _Node(value, own.path, own.line)


def _source_type(source: _Node) -> Any:
    if isinstance(source.value, dict) and "type" in source.value:
        return source.value["type"].value
    return "files"


def _plain(node: _Node, section: bool = True) -> Any:
    """Give the values without their places, lists as tuples, empty sections left out."""
    if isinstance(node.value, dict):
        return {
            name: _plain(child, section=False)
            for name, child in node.value.items()
            if not (section and child.value is None and name in SECTIONS)
        }
    if isinstance(node.value, list):
        return tuple(_plain(child, section=False) for child in node.value)
    return node.value


def _size(node: _Node) -> int:
    children = (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    )
    return 1 + sum(map(_size, children))


def _hint(node: _Node, schema: Mapping[str, Any]) -> str:
    """Guess what the person meant."""
    kind, choices = schema.get("type"), schema.get("enum", [schema["const"]] if "const" in schema else [])
    if isinstance(node.value, str):
        if choices:
            return _did_you_mean(node.value, list(map(str, choices)))
        if kind == "array" and node.value:
            return f": write [{_quoted(node.value)}]"
        if kind in ("integer", "number") and isinstance(_understood(node.value), int | float):
            return ": write the number without quotes"
    elif kind == "string" and not choices and not isinstance(node.value, dict | list | None):
        return _did_you_mean(node.raw, [str(schema.get("default", ""))]) or ": put it in quotes"
    elif kind == "string" and choices and isinstance(node.value, bool):
        return _did_you_mean(node.raw, list(map(str, choices)))
    elif kind in ("integer", "number") and isinstance(node.value, _Unclear):
        return ": write it as a plain decimal number"
    elif node.value is None:
        return ", or leave the key out"
    return ""


def _found(node: _Node) -> str:
    """Say what stands at a place, shortened, secrets hidden."""
    value = node.value
    if isinstance(value, dict):
        return "a set of keys"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "~, which YAML reads as nothing" if node.raw == "~" else "empty"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) and node.raw.lower() not in ("true", "false"):
        return f"{node.raw}, which YAML reads as {_kind(value)}"
    if isinstance(value, _Unclear):
        return f"{_shown(node.raw)}, which YAML may read as {value.kind}"
    return _shown(node.raw)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return value.kind if isinstance(value, _Unclear) else "a number"


def _unknown(node: _Node, name: str, known: Sequence[str]) -> str:
    return f"{node.path} is not a known key; allowed are {', '.join(known)}{_did_you_mean(name, known)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word[:80].lower(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _better_name(name: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", name[:200].lower()).strip("-_")[:64]
    return f" (for example {better})" if _is_name(better) and not _SECRET.fullmatch(name) else ""


def _is_name(name: str) -> bool:
    return re.fullmatch(LIBRARY_NAME.rstrip("$"), name) is not None


def _below(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) and not _SECRET.fullmatch(name) else _quoted(name)
    return f"{path}.{shown}" if path else shown


def _quoted(text: str) -> str:
    return f"'{_shown(text)}'"


def _shown(text: str) -> str:
    """Give a text for a message: one line, short, and not more than four characters of what looks like a secret."""
    text = re.sub(r"(?<=://)[^/@\s]*@", "...@", text[:400])
    if _SECRET.fullmatch(text.strip()):
        return text.strip()[:4] + "..."
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:61])
    return plain if len(plain) <= 60 else plain[:40] + "..."


def _text_of(path: Path) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(path))


def _joined_surrogates(match: re.Match[str]) -> str:
    """JSON writes characters beyond U+FFFF as two escapes, which YAML does not know."""
    if match[1] is None:
        return match[0]
    return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00)


def _mark(error: yaml.MarkedYAMLError) -> tuple[int, int]:
    mark = error.problem_mark or error.context_mark
    return (mark.line, mark.column) if mark else (0, 0)


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """Say what is likely meant by an error of the parser, and what to do."""
    row, column = _mark(error)
    lines = text.split("\n")
    line = lines[row] if row < len(lines) else ""
    at = line[column : column + 1]
    problem, context = error.problem or "", error.context or ""
    if at == "\t" or re.match(r" *\t", line):
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "alias" in context or (at == "*" and "start any token" in problem):
        return 'a value begins with *; put it in quotes, for example "**/*.md"'
    if "anchor" in context or "tag" in context:
        return "a value begins with & or !; put it in quotes"
    if "escape" in problem or "hexdecimal" in problem or "escape" in context:
        return (
            "a backslash in double quotes begins an escape, and this one is not known; use single quotes, or / in paths"
        )
    if "start any token" in problem:
        return f"a value may not begin with {_shown(at)}; put it in quotes"
    if "mapping values" in problem:
        return "a colon stands where none can: check the indentation, and put a text that holds ': ' in quotes"
    if "end of stream" in problem and "quoted" in context:
        return "a quote is opened and not closed"
    if "expected ',' or" in problem or "node content" in problem or "flow" in context:
        return "a bracket is opened and not closed, or a comma or value is missing"
    if "could not find expected ':'" in problem:
        return "a key without a colon; write key: value"
    if "duplicate anchor" in problem:
        return "an anchor (&name) is given twice"
    return f"this is not YAML ({_shown(problem or context)}); check the indentation of this line and the one before"
