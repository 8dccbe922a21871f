"""pydantic's errors as findings in our own words."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from irongrid.spec.fields import NOT_YET, OTHER_WORDS, SECTIONS
from irongrid.spec.findings import Finding, Path, field_name, kind

# `difflib` compares every pair of letters, so a hostile document must not make it work for long.
_MAX_GUESSES = 20


def translate(
    errors: Iterable[Any], document: Mapping[str, Any]
) -> tuple[list[Finding], set[Path]]:
    """Findings for the errors of `Job`, and the fields that a misspelt name seems to mean."""
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
                if path not in NOT_YET and guesses < _MAX_GUESSES:
                    guesses += 1
                    known = _nearest(path)
                if known is not None:
                    meant.add(known)
                findings.append(_unknown(path, known))
            case "model_type":
                findings.append(_not_a_section(path, document))
            case other:
                raise AssertionError(f"{field_name(path)}: no words for pydantic's {other}")
    return findings, meant


def _unknown(path: Path, known: Path | None) -> Finding:
    if path in NOT_YET:
        return Finding(path, "is not supported yet", NOT_YET[path])
    if path[-1] == "<<":
        return Finding(path, "merge keys (<<) are not supported", "Write the fields out")
    if known is None:
        fields = ", ".join(SECTIONS[path[:-1]].model_fields)
        return Finding(path, "is not a known field", f"Remove it; known here: {fields}")
    if known[:-1] == path[:-1]:
        return Finding(path, "is not a known field", f"Did you mean `{known[-1]}`?")
    return Finding(path, "does not belong here", f"Did you mean `{field_name(known)}`?")


def _nearest(path: Path) -> Path | None:
    """The known field that an unknown one seems to mean: here, elsewhere, or in other tools."""
    *section, name = path
    if not isinstance(name, str) or len(name) > 40:
        return None
    here = tuple(section)
    if name.lower() in OTHER_WORDS:
        return OTHER_WORDS[name.lower()]
    for other, fields in SECTIONS.items():
        if name in fields.model_fields:
            return (*other, name)
    near = get_close_matches(name.lower(), SECTIONS[here].model_fields, n=1)
    return (*here, near[0]) if near else None


def _not_a_section(path: Path, document: Mapping[str, Any]) -> Finding:
    value: Any = document
    for part in path:
        value = value[part]
    example = SECTIONS[path].example
    return Finding(
        path,
        f"expected a mapping, got {kind(value)}",
        f"Write `{path[-1]}: {example}`, or one field per line, indented",
    )
