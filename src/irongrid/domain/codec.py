"""Frozen dataclasses to JSON values and back, strictly.

Used for the log, the wire between server and workers, and state hashes. An unknown field, a missing
field or a value of another type is an error that names its path; nothing is converted silently.
Unions of dataclasses are told apart by the class variable `kind`.

Decoders are built once per type and cached, as a restart decodes every live job.
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from irongrid.errors import CodecError

T = TypeVar("T")
Decoder = Callable[[Any, str], Any]


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_json(value: Any) -> Any:
    """A JSON value (dict, list, str, int, float, bool, None) for a domain value."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    cls: Any = type(value)
    out = {name: to_json(getattr(value, name)) for name in _field_names(cls)}
    kind = getattr(cls, "kind", None)
    if isinstance(kind, str):
        out["kind"] = kind
    return out


def from_json(target: type[T], value: Any) -> T:
    """The domain value behind a JSON value.

    Raises:
        CodecError: with the path of the first part that does not fit.
    """
    return cast(T, decoder(cast(Any, target))(value, ""))


@cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


@cache
def decoder(target: Any) -> Decoder:
    """The cached decoder of a type: a dataclass, a union of them, or a plain type."""
    origin = get_origin(target)
    if target is Any:
        return _as_it_is
    if target in (int, str, bool, float):
        return _plain(target)
    if origin in (Union, types.UnionType):
        return _union(get_args(target))
    if origin in (tuple, list):
        return _sequence(decoder(get_args(target)[0]), origin)
    if origin in (dict, Mapping):
        return _mapping(decoder(get_args(target)[1]))
    if hasattr(target, "__supertype__"):  # NewType
        return decoder(target.__supertype__)
    if isinstance(target, type) and issubclass(target, StrEnum):
        return _enum(target)
    if is_dataclass(target):
        return _dataclass(cast(type, target))
    raise TypeError(f"no JSON form for {target!r}")


def _as_it_is(value: Any, path: str) -> Any:
    return value


def _plain(target: type) -> Decoder:
    def decode(value: Any, path: str) -> Any:
        if type(value) is target:
            return value
        if target is float and type(value) is int:
            return float(value)
        raise CodecError(path, f"expected {target.__name__}, got {type(value).__name__}")

    return decode


def _enum(target: type[StrEnum]) -> Decoder:
    members = {member.value: member for member in target}

    def decode(value: Any, path: str) -> Any:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise CodecError(path, f"expected one of {', '.join(members)}")
        return member

    return decode


def _sequence(item: Decoder, build: Callable[[list[Any]], Any]) -> Decoder:
    def decode(value: Any, path: str) -> Any:
        if not isinstance(value, list | tuple):
            raise CodecError(path, f"expected a list, got {type(value).__name__}")
        return build([item(part, f"{path}[{index}]") for index, part in enumerate(value)])

    return decode


def _mapping(item: Decoder) -> Decoder:
    def decode(value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            raise CodecError(path, f"expected an object, got {type(value).__name__}")
        return {key: item(part, f"{path}.{key}") for key, part in value.items()}

    return decode


def _union(members: tuple[Any, ...]) -> Decoder:
    rest = tuple(member for member in members if member is not types.NoneType)
    optional = len(rest) < len(members)
    by_kind: dict[str, Decoder] = {}
    if len(rest) > 1:
        for member in rest:
            by_kind[member.kind] = decoder(member)
    only = decoder(rest[0]) if len(rest) == 1 else None

    def decode(value: Any, path: str) -> Any:
        if value is None and optional:
            return None
        if only is not None:
            return only(value, path)
        kind = value.get("kind") if isinstance(value, dict) else None
        chosen = by_kind.get(kind) if isinstance(kind, str) else None
        if chosen is None:
            raise CodecError(path, f"expected an object whose kind is one of {', '.join(by_kind)}")
        return chosen(value, path)

    return decode


def _dataclass(target: type) -> Decoder:
    hints = get_type_hints(target)
    parts = [
        (
            field.name,
            decoder(hints[field.name]),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(target)
    ]
    names = {name for name, _, _ in parts}
    if isinstance(getattr(target, "kind", None), str):
        names.add("kind")

    def decode(value: Any, path: str) -> Any:
        if type(value) is target:
            return value
        if not isinstance(value, dict):
            raise CodecError(path, f"expected an object, got {type(value).__name__}")
        if not names.issuperset(value):
            unknown = ", ".join(sorted(set(value) - names))
            raise CodecError(path, f"unknown field {unknown}")
        known = {}
        for name, decode_field, required in parts:
            if name in value:
                known[name] = decode_field(value[name], f"{path}.{name}" if path else name)
            elif required:
                raise CodecError(path, f"field {name} is missing")
        return target(**known)

    return decode
