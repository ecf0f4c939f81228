"""The JSON Schema of the catalog, and what a place of it allows, in words.

What belongs here: everything that is made from the settings' own schemas. What does not: reading a catalog (`catalog`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_origin

from pydantic import BaseModel

from dataflow_assets.settings import LIBRARY_NAME, LibrarySettings
from dataflow_assets.source_settings import SourceSettings, known_kinds, settings_class

SECTIONS = frozenset(
    name
    for name, field in LibrarySettings.model_fields.items()
    if get_origin(field.annotation) is dict
    or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
)
"""Settings of a library that are sections: one that is named and left empty counts as left out."""


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of the catalog file, made from the settings.

    It says what can be said of one value; that settings go together, that an encoding is known and the like is for
    `load_catalog` to say.
    """
    library = LibrarySettings.model_json_schema()
    definitions: dict[str, Any] = library.pop("$defs")
    definitions.pop("SourceSettings", None)
    kinds = {kind: found for kind in known_kinds() if (found := settings_class(kind)) is not None}
    for found in kinds.values():
        one = found.model_json_schema()
        definitions |= one.pop("$defs", {})
        definitions[found.__name__] = one
    for name, section in library["properties"].items():
        if "$ref" in section and name != "source":
            default = {"default": section["default"]} if "default" in section else {}
            library["properties"][name] = {"anyOf": [{"$ref": section["$ref"]}, {"type": "null"}], **default}
        elif name in SECTIONS and name != "source":
            section["type"] = [section["type"], "null"]
    # A source may lie in the defaults in part or whole, so what a library itself must say depends on them.
    required = {name: definition.pop("required", []) for name, definition in definitions.items()}
    library["properties"]["source"] = {
        "description": "Where the documents come from; `type` says what kind of source it is, `files` if left out.",
        "type": ["object", "null"],
        "properties": {"type": {"enum": list(kinds)}},
        "allOf": [_of_kind(kind, {"$ref": f"#/$defs/{found.__name__}"}) for kind, found in kinds.items()],
    }
    whole = {
        "type": "object",
        "allOf": [
            _of_kind(kind, {"required": [name for name in required[found.__name__] if name != "type"]})
            for kind, found in kinds.items()
        ],
    }
    library.pop("required")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Catalog",
        "description": "The libraries of documents, and their settings.",
        "type": "object",
        "additionalProperties": False,
        "required": ["libraries"],
        "properties": {
            "defaults": {
                "description": "Settings of all libraries; a library's own win, key by key.",
                "anyOf": [{"$ref": "#/$defs/LibrarySettings"}, {"type": "null"}],
            },
            "inbox": {
                "description": "A folder: each folder dropped into it is a library, with the defaults.",
                "type": ["string", "null"],
                "minLength": 1,
            },
            "libraries": {
                "description": "The libraries by name.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": LIBRARY_NAME},
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/LibrarySettings"}, {"type": "null"}]},
            },
        },
        "if": {
            "required": ["defaults"],
            "properties": {"defaults": {"type": "object", "required": ["source"], "properties": {"source": whole}}},
        },
        "else": {
            "properties": {
                "libraries": {
                    "additionalProperties": {"type": "object", "required": ["source"], "properties": {"source": whole}}
                }
            }
        },
        "$defs": {**definitions, "LibrarySettings": library},
    }


def _of_kind(kind: str, then: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {"properties": {"type": {"const": kind}}}
    if kind != "files":
        named["required"] = ["type"]
    return {"if": named, "then": dict(then)}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def schema_at(loc: Sequence[int | str], source: type[SourceSettings]) -> dict[str, Any]:
    """Give the JSON Schema of a place of a library's settings, references and null alternatives resolved.

    Args:
        loc: Keys and indices that lead to it.
        source: The settings of the library's kind of source.
    """
    root = _schema(LibrarySettings)
    if loc[:1] and loc[0] == "source":
        root, loc = _schema(source), loc[1:]
    at = root
    for piece in loc:
        if isinstance(piece, int):
            at = _resolved(at["items"], root)
        else:
            at = _resolved(at["properties"][piece] if "properties" in at else at["additionalProperties"], root)
    below = at.get("additionalProperties")
    return {**at, "additionalProperties": _resolved(below, root)} if isinstance(below, dict) else at


def _resolved(schema: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
        if len(branches) > 1:
            return {"anyOf": branches}
        schema = {**branches[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return schema


def allowed(schema: Mapping[str, Any]) -> str:
    """Say what a JSON Schema allows."""
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        return f"allowed {'are' if len(choices) > 1 else 'is'} {', '.join(map(str, choices))}"
    if "anyOf" in schema:
        return "allowed is a text, a number, true or false"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return f"allowed is a {'whole ' if kind == 'integer' else ''}number{_range(schema)}"
    if kind == "boolean":
        return "allowed are true, false"
    if kind == "array":
        of = schema.get("items", {}).get("enum")
        return f"allowed is a list of {'one or more ' if schema.get('minItems') else ''}{'/'.join(map(str, of)) if of else 'texts'}"
    if kind == "object":
        if "properties" in schema:
            return f"allowed is a set of keys: {', '.join(schema['properties'])}"
        below = schema["additionalProperties"]
        if "properties" in below:
            return f"allowed is a set of names, each with keys: {', '.join(below['properties'])}"
        return f"allowed is a set of names, and for each {allowed(below).partition(' ')[2].partition(' ')[2]}"
    pattern = f" of the form {schema['pattern']}" if "pattern" in schema else ""
    return f"allowed is a text{pattern}{' that is not empty' if schema.get('minLength') else ''}"


def _range(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    said = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = " and ".join(f"{word} {schema[key]}" for key, word in said.items() if key in schema)
    return f" {limits}" if limits else ""
