"""pydantic's errors as findings in our own words."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import ValidationError

from irongrid.spec.findings import Finding, Path, field_name, kind
from irongrid.spec.sections import Grammar, SectionT, without

# `difflib` compares every pair of letters, so a hostile document must not make it work for long.
_MAX_GUESSES = 20


def validated(
    section: type[SectionT], document: Mapping[str, Any], grammar: Grammar
) -> tuple[SectionT, list[Finding], set[Path]]:
    """The fields that are right, what is wrong with the others, and where."""
    try:
        return section.model_validate(dict(document)), [], set()
    except ValidationError as error:
        # Values may be secret: neither the report nor an exception's context may hold the input.
        errors = error.errors(include_url=False, include_input=False)
    findings, meant = translate(errors, document, grammar)
    wrong = {error["loc"] for error in errors}
    return section.model_validate(without(document, wrong)), findings, wrong | meant


def translate(
    errors: Iterable[Any], document: Mapping[str, Any], grammar: Grammar
) -> tuple[list[Finding], set[Path]]:
    """Findings for the errors of a document, and the fields that a misspelt name seems to mean."""
    findings: list[Finding] = []
    meant: set[Path] = set()
    guesses = 0
    for error in errors:
        path: Path = error["loc"]
        match error["type"]:
            case "wrong":
                for part in error["ctx"]["parts"]:
                    findings.append(Finding((*path, *part.path), part.problem, part.fix))
            case "extra_forbidden":
                known = None
                if path not in grammar.not_yet and guesses < _MAX_GUESSES:
                    guesses += 1
                    known = _nearest(path, grammar)
                if known is not None:
                    meant.add(known)
                findings.append(_unknown(path, known, grammar))
            case "model_type":
                findings.append(_not_a_section(path, document, grammar))
            case "dict_type" | "list_type":
                findings.append(_not_many(path, document, grammar))
            case other:
                raise AssertionError(f"{field_name(path)}: no words for pydantic's {other}")
    return findings, meant


def _unknown(path: Path, known: Path | None, grammar: Grammar) -> Finding:
    if path in grammar.not_yet:
        return Finding(path, "is not supported yet", grammar.not_yet[path])
    if path[-1] == "<<":
        return Finding(path, "merge keys (<<) are not supported", "Write the fields out")
    if known is None:
        fields = ", ".join(grammar.at(path[:-1]).model_fields)
        return Finding(path, "is not a known field", f"Remove it; known here: {fields}")
    if known[:-1] == path[:-1]:
        return Finding(path, "is not a known field", f"Did you mean `{known[-1]}`?")
    return Finding(path, "does not belong here", f"Did you mean `{field_name(known)}`?")


def _nearest(path: Path, grammar: Grammar) -> Path | None:
    """The known field that an unknown one seems to mean: here, elsewhere, or in other tools."""
    *section, name = path
    if not isinstance(name, str) or len(name) > 40:
        return None
    here = tuple(section)
    if name.lower() in grammar.other_words:
        return grammar.concrete(grammar.other_words[name.lower()], here)
    for other, fields in grammar.sections.items():
        if name in fields.model_fields:
            return grammar.concrete((*other, name), here)
    near = get_close_matches(name.lower(), grammar.at(here).model_fields, n=1)
    return (*here, near[0]) if near else None


def _not_a_section(path: Path, document: Mapping[str, Any], grammar: Grammar) -> Finding:
    example = grammar.at(path).example
    start = "-" if isinstance(path[-1], int) else f"{path[-1]}:"
    return Finding(
        path,
        f"expected a mapping, got {kind(_value(path, document))}",
        f"Write `{start} {example}`, or one field per line, indented",
    )


def _not_many(path: Path, document: Mapping[str, Any], grammar: Grammar) -> Finding:
    """A mapping of named sections, or a list of sections, that is neither."""
    info = grammar.at(path[:-1]).model_fields[str(path[-1])]
    wanted = "a list" if get_origin(info.annotation) is list else "a mapping by name"
    return Finding(
        path,
        f"expected {wanted}, got {kind(_value(path, document))}",
        f"Write `{path[-1]}: {info.examples[0] if info.examples else ''}`",
    )


def _value(path: Path, document: Mapping[str, Any]) -> object:
    value: Any = document
    for part in path:
        value = value[part]
    return value
