"""Sections of a file format: classes of fields, and checking a document against them."""

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from irongrid.spec.findings import Finding, Path
from irongrid.spec.values import Kind, job_name

ANY = "*"


class Section(BaseModel):
    """Fields that stand together.

    Attributes:
        example: how to write the section, for reports.
        required: fields without which the section means nothing.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True
    )
    example: ClassVar[str] = ""
    required: ClassVar[tuple[str, ...]] = ()

    def has(self, name: str) -> bool:
        """Whether the file gives this field."""
        return name in self.model_fields_set

    def given(self) -> dict[str, Any]:
        """The fields that the file gives."""
        return {name: getattr(self, name) for name in self.model_fields_set}


SectionT = TypeVar("SectionT", bound=Section)


def about(text: str, example: Any) -> Any:
    """A field that need not be given, its meaning, and one value that it may have."""
    return Field(default=None, description=text, examples=[example])


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a format has, and what people write instead.

    Attributes:
        sections: by place; `*` stands for a name of the user's own, or an index.
        not_yet: fields that nothing acts on yet, and what to do instead.
        other_words: what people write who come from other tools, and the field that they mean.
    """

    sections: Mapping[Path, type[Section]]
    not_yet: Mapping[Path, str] = field(default_factory=dict)
    other_words: Mapping[str, Path] = field(default_factory=dict)

    def place(self, path: Path) -> Path:
        """A path of a document as the grammar has it: own names and indexes become `*`."""
        known: Path = ()
        for part in path:
            free = (*known, ANY) in self.sections and (*known, part) not in self.sections
            known = (*known, ANY if free else part)
        return known

    def at(self, path: Path) -> type[Section]:
        """The section at a place of a document."""
        return self.sections[self.place(path)]

    def concrete(self, place: Path, near: Path) -> Path:
        """A place of the grammar as a path of the document, where `near` has the names for it."""
        known = self.place(near)
        parts = []
        for index, part in enumerate(place):
            same = index < len(near) and known[: index + 1] == place[: index + 1]
            parts.append(near[index] if same else "NAME" if part == ANY else part)
        return tuple(parts)


def walk(section: type[Section], path: Path = ()) -> Iterator[tuple[Path, type[Section]]]:
    """Every section of a format with its place."""
    yield path, section
    for name, info in section.model_fields.items():
        kind = info.annotation
        if get_origin(kind) in (dict, list):
            yield from walk(get_args(kind)[-1], (*path, name, ANY))
        elif isinstance(kind, type) and issubclass(kind, Section):
            yield from walk(kind, (*path, name))


def section_schema(grammar: Grammar, place: Path, defaults: Mapping[Path, Any]) -> dict[str, Any]:
    """The JSON Schema of the section at a place of the grammar, and of those inside."""
    section = grammar.sections[place]
    schema: dict[str, Any] = {"type": "object", "description": section.__doc__, "properties": {}}
    for name, info in section.model_fields.items():
        where = (*place, name)
        kind = next((item for item in info.metadata if isinstance(item, Kind)), None)
        if kind is not None:
            said = {"description": info.description, "examples": info.examples}
            default = {"default": defaults[where]} if where in defaults else {}
            schema["properties"][name] = {**said, **kind.schema, **default}
        elif where in grammar.sections:
            schema["properties"][name] = section_schema(grammar, where, defaults)
        else:
            inner = section_schema(grammar, (*where, ANY), defaults)
            many = get_origin(info.annotation) is list
            around = {"type": "array", "items": inner} if many else _by_name(inner)
            schema["properties"][name] = {"description": info.description, **around}
    if section.required:
        schema["required"] = list(section.required)
    return schema | {"additionalProperties": False}


def _by_name(inner: dict[str, Any]) -> dict[str, Any]:
    names = dict(job_name().schema)
    return {"type": "object", "propertyNames": names, "additionalProperties": inner}


def titled(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A whole format's schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:irongrid:v1:{name}",
        "title": f"Irongrid {name}",
        **schema,
    }


def without(document: Mapping[str, Any], paths: set[Path]) -> dict[str, Any]:
    """A copy of a document without the values at these paths."""
    rest = deepcopy(dict(document))
    # Later items of a list first, so that the others keep their index.
    for path in sorted(paths, key=repr, reverse=True):
        section: Any = rest
        for part in path[:-1]:
            section = section[part]
        del section[path[-1]]
    return rest


def beneath(path: Path, places: set[Path]) -> bool:
    """Whether a path is one of these places or inside one."""
    return any(path[:length] in places for length in range(len(path) + 1))


def missing(section: Section, path: Path, known: Collection[Path]) -> Iterator[Finding]:
    """Findings for required fields that are not there, here and in the sections inside.

    Args:
        known: places that need no further word, as the file gives something there that is wrong.
    """
    for name in section.required:
        where = (*path, name)
        if not section.has(name) and where not in known:
            yield Finding(where, "is required", f"Add `{name}: {_example(section, name)}`")
    for name in type(section).model_fields:
        if not section.has(name):
            continue
        for part, inner in _inner(getattr(section, name)):
            yield from missing(inner, (*path, name, *part), known)


def _inner(value: object) -> Iterator[tuple[Path, Section]]:
    if isinstance(value, Section):
        yield (), value
    elif isinstance(value, dict):
        yield from (((name,), item) for name, item in value.items() if isinstance(item, Section))
    elif isinstance(value, list):
        yield from (((at,), item) for at, item in enumerate(value) if isinstance(item, Section))


def _example(section: Section, name: str) -> str:
    info = type(section).model_fields[name]
    kind = info.annotation
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.example
    return str(info.examples[0]) if info.examples else "..."
