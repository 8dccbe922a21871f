"""JSON Schema from the message classes: what the codec takes and gives, word for word.

The codec, not pydantic, is what reads and writes the wire, so the schema follows the codec: no
conversions, no unknown fields, unions told apart by `kind`.
"""

import inspect
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from irongrid.domain.codec import to_json

Schema = dict[str, Any]
_PLAIN: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    Any: {},
}
_FIELD = re.compile(r"^ {4}(?=[a-z_, ]+:)", re.MULTILINE)


def components(roots: Iterable[type]) -> dict[str, Schema]:
    """Schemas of these classes and of every class that they hold, by name."""
    found: dict[str, Schema] = {}
    for root in roots:
        _of(root, found)
    return found


def reference(target: type) -> Schema:
    """How to point at a class in `components`."""
    return {"$ref": f"#/components/schemas/{target.__name__}"}


def _of(target: Any, found: dict[str, Schema]) -> Schema:
    origin = get_origin(target)
    if target in _PLAIN:
        return _PLAIN[target]
    if target is types.NoneType:
        return {"type": "null"}
    if origin in (Union, types.UnionType):
        return _union(get_args(target), found)
    if origin is tuple:
        return {"type": "array", "items": _of(get_args(target)[0], found)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _of(get_args(target)[1], found)}
    if hasattr(target, "__supertype__"):
        return _of(target.__supertype__, found)
    if isinstance(target, type) and issubclass(target, StrEnum):
        return {"type": "string", "enum": [member.value for member in target]}
    if is_dataclass(target) and isinstance(target, type):
        if target.__name__ not in found:
            found[target.__name__] = {}  # Breaks a cycle.
            found[target.__name__] = _class(target, found)
        return reference(target)
    raise TypeError(f"no schema for {target!r}")


def _union(members: tuple[Any, ...], found: dict[str, Schema]) -> Schema:
    options = [_of(member, found) for member in members]
    kinds = {
        member.kind: reference(member)["$ref"] for member in members if hasattr(member, "kind")
    }
    schema: Schema = {"oneOf" if len(kinds) == len(members) else "anyOf": options}
    if len(kinds) == len(members):
        schema["discriminator"] = {"propertyName": "kind", "mapping": kinds}
    return schema


def _class(target: type, found: dict[str, Schema]) -> Schema:
    hints = get_type_hints(target)
    summary, notes = _words(target)
    properties: dict[str, Schema] = {}
    required = []
    kind = getattr(target, "kind", None)
    if isinstance(kind, str):
        properties["kind"] = {"type": "string", "const": kind}
        required.append("kind")
    for field in fields(target):
        schema = _of(hints[field.name], found)
        if field.name in notes:
            schema = {**schema, "description": notes[field.name]}
        if field.default is not MISSING:
            schema = {**schema, "default": to_json(field.default)}
        elif field.default_factory is MISSING:
            required.append(field.name)
        properties[field.name] = schema
    return {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _words(target: type) -> tuple[str, dict[str, str]]:
    """The class's own text, and its `Attributes:` by field."""
    text = inspect.getdoc(target) or ""
    summary, _, listed = text.partition("Attributes:\n")
    notes: dict[str, str] = {}
    for entry in _FIELD.split("\n" + listed)[1:]:
        names, _, words = entry.partition(":")
        for name in names.split(","):
            notes[name.strip()] = " ".join(words.split())
    return summary.strip(), notes
