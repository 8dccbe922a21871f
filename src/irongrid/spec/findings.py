"""Findings become a report: one line per problem, in plain words, ordered by line.

A finding names its place as a path into the document. Only here does a path become a field name
and a line number, and only here is text from the file made fit to print.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from irongrid.errors import Problem, SpecError

Path = tuple[str | int, ...]

MAX_PROBLEMS = 100
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong at a place of the document.

    Attributes:
        problem: what is wrong; a clause without a full stop.
        fix: what to do about it; a sentence without a full stop, or a question.
        line: where, when that is not the line of the field itself.
    """

    path: Path
    problem: str
    fix: str
    line: int | None = None


def report(findings: Iterable[Finding], source: str, lines: Mapping[Path, int]) -> SpecError:
    """The error to raise: every finding as a problem, in the order of the file."""
    problems = [
        Problem(
            source=source,
            line=line_of(finding, lines),
            field=field_name(finding.path),
            problem=finding.problem,
            fix=finding.fix if finding.fix.endswith("?") else f"{finding.fix}.",
        )
        for finding in findings
    ]
    problems.sort(key=lambda problem: problem.line or 0)
    if len(problems) > MAX_PROBLEMS:
        more = Problem(
            source=source,
            field="",
            problem=f"there are {len(problems) - MAX_PROBLEMS} more problems",
            fix="Fix those above first.",
        )
        problems = [*problems[:MAX_PROBLEMS], more]
    return SpecError(problems)


def line_of(finding: Finding, lines: Mapping[Path, int]) -> int | None:
    """The line of a finding: its own, its field's, or that of the nearest section around it."""
    if finding.line is not None or not lines:
        return finding.line
    path = finding.path
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def field_name(path: Path) -> str:
    """A path as people write it: `retries.on[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _plain(part) else quoted(part))
    return text


def quoted(text: str) -> str:
    """Text from a file in quotes: bounded, on one line, without a terminal's control codes."""
    cut = text[:_SHOWN_CHARS]
    return json.dumps(cut, ensure_ascii=not cut.isprintable()) + (
        "..." if len(text) > _SHOWN_CHARS else ""
    )


def shown(value: object) -> str:
    """A value from a file, as a report may name it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a number of over 19 digits"
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "NaN" if math.isnan(value) else "a number too large to hold"
    if isinstance(value, str):
        return f"the text {quoted(value)}" if value else "an empty text"
    return kind(value)


def kind(value: object) -> str:
    """What sort of value it is, without the value: for what may be secret."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "nothing" if value is None else "a value that JSON does not know"


def one_of(words: Iterable[str]) -> str:
    """Words as a sentence lists them: `a, b or c`."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def _plain(name: str) -> bool:
    return len(name) <= _SHOWN_CHARS and name.isascii() and name.replace("-", "_").isidentifier()
