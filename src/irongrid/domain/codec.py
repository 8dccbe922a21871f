"""Frozen dataclasses to JSON values and back, strictly.

Used for the log, the wire between server and workers, and state hashes. An unknown field, a missing
field or a value of another type is an error that names its path; nothing is converted silently.
Unions of dataclasses are told apart by the class variable `kind`.

Decoders are built once per type and cached, and an error's path is put together only when there is
one: a restart decodes every job.
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
Decoder = Callable[[Any], Any]
_ATOMS = frozenset({str, int, float, bool, types.NoneType})


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_json(value: Any) -> Any:
    """A JSON value (dict, list, str, int, float, bool, None) for a domain value."""
    cls: Any = type(value)
    if cls in _ATOMS:
        return value
    if cls is tuple or cls is list:
        return [to_json(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    names, kind = _form(cls)
    out = {name: to_json(getattr(value, name)) for name in names}
    if kind is not None:
        out["kind"] = kind
    return out


def from_json(target: type[T], value: Any) -> T:
    """The domain value behind a JSON value.

    Raises:
        CodecError: with the path of the first part that does not fit.
    """
    return cast(T, decoder(cast(Any, target))(value))


@cache
def _form(cls: Any) -> tuple[tuple[str, ...], str | None]:
    """A dataclass's field names, and its `kind` if it is a member of unions."""
    kind = getattr(cls, "kind", None)
    return tuple(field.name for field in fields(cls)), kind if isinstance(kind, str) else None


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


def _within(part: str, error: CodecError) -> CodecError:
    """The same error, seen from one level further out."""
    joint = "." if error.path and error.path[0] != "[" else ""
    return CodecError(f"{part}{joint}{error.path}", error.problem)


def _as_it_is(value: Any) -> Any:
    return value


def _plain(target: type) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is target:
            return value
        if target is float and type(value) is int:
            return float(value)
        raise CodecError("", f"expected {target.__name__}, got {type(value).__name__}")

    return decode


def _enum(target: type[StrEnum]) -> Decoder:
    members = {member.value: member for member in target}

    def decode(value: Any) -> Any:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise CodecError("", f"expected one of {', '.join(members)}")
        return member

    return decode


def _sequence(item: Decoder, build: Callable[[list[Any]], Any]) -> Decoder:
    def decode(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise CodecError("", f"expected a list, got {type(value).__name__}")
        out: list[Any] = []
        try:
            for part in value:
                out.append(item(part))
        except CodecError as error:
            raise _within(f"[{len(out)}]", error) from None
        return build(out)

    return decode


def _mapping(item: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise CodecError("", f"expected an object, got {type(value).__name__}")
        out = {}
        for key, part in value.items():
            try:
                out[key] = item(part)
            except CodecError as error:
                raise _within(str(key), error) from None
        return out

    return decode


def _union(members: tuple[Any, ...]) -> Decoder:
    rest = tuple(member for member in members if member is not types.NoneType)
    optional = len(rest) < len(members)
    by_kind: dict[str, Decoder] = {}
    if len(rest) > 1:
        for member in rest:
            by_kind[member.kind] = decoder(member)
    only = decoder(rest[0]) if len(rest) == 1 else None

    def decode(value: Any) -> Any:
        if value is None and optional:
            return None
        if only is not None:
            return only(value)
        if type(value) in classes:
            return value
        kind = value.get("kind") if isinstance(value, dict) else None
        chosen = by_kind.get(kind) if isinstance(kind, str) else None
        if chosen is None:
            raise CodecError("", f"expected an object whose kind is one of {', '.join(by_kind)}")
        return chosen(value)

    classes = frozenset(rest)
    return decode


def _dataclass(target: type) -> Decoder:
    hints = get_type_hints(target)
    parts = {field.name: decoder(hints[field.name]) for field in fields(target)}
    required = {
        field.name
        for field in fields(target)
        if field.default is MISSING and field.default_factory is MISSING
    }
    names, kind = _form(target)
    known_names = frozenset((*names, "kind")) if kind is not None else frozenset(names)

    def decode(value: Any) -> Any:
        if type(value) is target:
            return value
        if not isinstance(value, dict):
            raise CodecError("", f"expected an object, got {type(value).__name__}")
        if not known_names.issuperset(value):
            unknown = ", ".join(sorted(set(value) - known_names))
            raise CodecError("", f"unknown field {unknown}")
        if not required.issubset(value):
            missing = next(name for name in names if name in required and name not in value)
            raise CodecError("", f"field {missing} is missing")
        out = {}
        name = ""
        try:
            for name, part in value.items():
                if name in parts:
                    out[name] = parts[name](part)
        except CodecError as error:
            raise _within(name, error) from None
        return target(**out)

    return decode
