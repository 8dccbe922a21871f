"""What a YAML text says, and on which line: the part of YAML 1.2 that our files need.

Plain scalars follow YAML's core schema, so `no` and `12h` are text. Anchors, aliases, tags and
directives are refused: they are how a small file becomes a large value or another type.

A hostile text costs at most a bounded amount of work. ruamel.yaml takes about 1 us for a character
and 30 us for a field, and time quadratic in the depth of brackets. So characters, values and depth
are all limited, the depth inside the scanner, before it looks ahead. `tests/spec/test_hostile.py`
holds the worst cases that we know under 100 ms, about twice what they took when it was written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.scanner import Scanner

from irongrid.spec.findings import Finding, Path
from irongrid.spec.syntax import explain_syntax

MAX_CHARS = 24 * 1024
MAX_DEPTH = 12
MAX_VALUES = 600
TOO_LARGE = Finding(
    (),
    f"the file is larger than {MAX_CHARS // 1024} KiB",
    "Move long scripts and lists to files of their own",
)
# A file full of aliases or doubled fields is not worth reading to its end.
_MAX_FINDINGS = 10

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*%")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip
# Longer numbers become infinite, and so are refused: `int` is quadratic in the digits.
_MAX_DIGITS = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says.

    Attributes:
        document: plain values, as JSON would have them.
        lines: the line on which each field or list item stands.
        findings: what is wrong with the YAML itself.
        broken: places whose value could not be read, so that nothing else is said about them.
    """

    document: object
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)


class Unreadable(Exception):
    """The text cannot be read further. Holds what was found up to here."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("unreadable YAML")
        self.findings = findings


def read_yaml(text: str) -> Reading:
    """The values in a text.

    Raises:
        Unreadable: it is no YAML, or too large, or too deep.
    """
    text = text.removeprefix("\ufeff")
    _check_characters(text)
    reader = _Reader()
    try:
        return reader.read(_events(text))
    except _TooDeep as deep:
        reader.findings.append(_too_deep(deep.line))
    except YAMLError as error:
        reader.findings.append(explain_syntax(error))
    except (ValueError, OverflowError):  # ruamel.yaml on an escape beyond Unicode: "\UFFFFFFFF"
        reader.findings.append(
            Finding(
                (), "a \\U escape names no character", "Write the character itself", reader.line
            )
        )
    raise Unreadable(reader.findings)


def _check_characters(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise Unreadable([TOO_LARGE])
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        what = f"character U+{ord(bad[0]):04X} is not allowed in YAML"
        raise Unreadable([Finding((), what, "Remove it, and save the file as UTF-8 text", line)])
    directive = _DIRECTIVE.match(text)
    if directive is not None:
        line = text.count("\n", 0, directive.end()) + 1
        fix = "Remove the line; the file is read as YAML 1.2"
        raise Unreadable([Finding((), "directives (lines with %) are not supported", fix, line)])


class _TooDeep(Exception):
    def __init__(self, line: int) -> None:
        super().__init__("too deep")
        self.line = line


class _BoundedScanner(Scanner):
    """Stops at a depth: every open flow collection makes each further token dearer to scan."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803
        if self.flow_level >= MAX_DEPTH:
            raise _TooDeep(self.reader.get_mark().line + 1)
        super().fetch_flow_collection_start(TokenClass, to_push)


def _events(text: str) -> Iterator[Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _BoundedScanner
    return iter(yaml.parse(text))


class _Reader:
    """Builds plain values from parser events, remembering lines."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.findings: list[Finding] = []
        self.broken: set[Path] = set()
        self.line = 1
        self._values = 0
        self._documents = 0

    def read(self, events: Iterator[Any]) -> Reading:
        document: object = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._unreadable(
                        _line(event),
                        "a second document begins here",
                        "Keep one document per file, without `---` lines between",
                    )
            elif isinstance(event, NodeEvent):
                document = self._value(event, events, ())
        return Reading(document, self.lines, self.findings, self.broken)

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> object:
        self.line = _line(event)
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._unreadable(
                self.line, f"there are more than {MAX_VALUES} values", "Shorten the file"
            )
        if len(path) > MAX_DEPTH:
            raise _TooDeep(self.line)
        self.lines.setdefault(path, self.line)
        if isinstance(event, AliasEvent):
            fix = "Write the value out, or put a text that begins with * in quotes"
            self._broken(path, "aliases (*) are not supported", fix)
            return None
        if event.anchor is not None:
            fix = "Remove it, or put a text that begins with & in quotes"
            self._broken(path, "anchors (&) are not supported", fix)
        elif event.ctag is not None:
            fix = "Remove it, or put a text that begins with ! in quotes"
            self._broken(path, "tags (!) are not supported", fix)
        if isinstance(event, ScalarEvent):
            return (
                _plain_scalar(event.value) if event.implicit[0] else _whole_characters(event.value)
            )
        if isinstance(event, SequenceStartEvent):
            return self._list(events, path)
        return self._mapping(events, path)

    def _list(self, events: Iterator[Any], path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(events), CollectionEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, object]:
        fields: dict[str, object] = {}
        while not isinstance(event := next(events), CollectionEndEvent):
            name = self._name(event, events, path)
            line = self.line
            where = (*path, name)
            first = self.lines.get(where)
            if name in fields:
                problem = f"is given twice, on lines {first} and {line}"
                self._find(Finding(where, problem, "Keep one of them", line))
            else:
                self.lines[where] = line
            value = self._value(next(events), events, where)
            fields.setdefault(name, value)
        return fields

    def _name(self, event: Any, events: Iterator[Any], path: Path) -> str:
        """The name of a field: its text as written, so that `on` or `1` is no other type."""
        if isinstance(event, ScalarEvent) and event.anchor is None and event.ctag is None:
            self.line = _line(event)
            return str(event.value)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            problem, fix = "a field has a list or a mapping as its name", "Use plain text as name"
        else:
            problem, fix = "a field's name begins with *, & or !", "Put the name in quotes"
        raise self._unreadable(_line(event), problem, fix)

    def _broken(self, path: Path, problem: str, fix: str) -> None:
        self.broken.add(path)
        self._find(Finding(path, problem, fix, self.line))

    def _find(self, finding: Finding) -> None:
        self.findings.append(finding)
        if len(self.findings) >= _MAX_FINDINGS:
            raise Unreadable(self.findings)

    def _unreadable(self, line: int, problem: str, fix: str) -> Unreadable:
        return Unreadable([*self.findings, Finding((), problem, fix, line)])


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _too_deep(line: int) -> Finding:
    fix = "A file needs 5 levels at most; remove the extra brackets or indentation"
    return Finding((), f"values are nested more than {MAX_DEPTH} levels deep", fix, line)


def _whole_characters(text: str) -> str:
    """Text in which two escapes of one character, as JSON writes those beyond 16 bits, are one."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _plain_scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _FLOAT.fullmatch(text) is None:
        return text
    if _INT.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    return float(text)
