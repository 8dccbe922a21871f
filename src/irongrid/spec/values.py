"""Kinds of values that a field can have: one check in plain words beside one JSON Schema.

Each kind is a `Kind` for use inside `Annotated`. pydantic runs its check and `schema` publishes its
schema, so both come from one place. A check returns the value that the code computes
with (bytes, seconds, a range) or raises `wrong`. No check changes the meaning of what was written:
text is never read as a number, nor a boolean as 0 or 1.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from irongrid.spec.findings import Path, kind, one_of, quoted, shown

MAX_TEXT_BYTES = 64 * 1024
MAX_STEPS = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A check and the JSON Schema that says the same to editors and programs."""

    check: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)


class Wrong(NamedTuple):
    """What is wrong with a value, or with the part of it at `path`."""

    problem: str
    fix: str
    path: Path = ()


def wrong(*parts: Wrong) -> PydanticCustomError:
    """The error that a check raises; pydantic adds the field."""
    return PydanticCustomError("wrong", "wrong value", {"parts": parts})


def whole(least: int, most: int) -> Kind:
    """A whole number in a range. `1e3` is one, `1.5`, `"8"` and `true` are not."""
    expected = f"expected a whole number from {least} to {most}"

    def check(value: object) -> int:
        number = as_whole(value)
        if number is not None and least <= number <= most:
            return number
        raise wrong(Wrong(f"{expected}, got {shown(value)}", _number_fix(value, least, most)))

    return Kind(check, {"type": "integer", "minimum": least, "maximum": most})


def number(least: float, most: float, *, above: bool = False) -> Kind:
    """A number in a range; with `above` the lower bound itself is left out."""
    expected = f"expected a number {'above' if above else 'from'} {least:g} "
    expected += f"and at most {most:.15g}" if above else f"to {most:.15g}"

    def check(value: object) -> float:
        # Compared before it becomes a float: a JSON integer may be too large for one.
        if type(value) in (int, float) and _within(value, least, most, above):
            return float(value)  # type: ignore[arg-type]
        fix = (
            f"Use more than {least:g}"
            if above and value == least
            else _number_fix(value, least, most)
        )
        raise wrong(Wrong(f"{expected}, got {shown(value)}", fix))

    lower = "exclusiveMinimum" if above else "minimum"
    return Kind(check, {"type": "number", lower: least, "maximum": most})


def choice(*words: str, called: str = "") -> Kind:
    """One of a few words; `called` says what they are where they are too many to list."""
    known = one_of([f"`{word}`" for word in words])

    def check(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        guess = isinstance(value, str) and len(words) > 1
        near = get_close_matches(str(value)[:40], words, n=1) if guess else []
        fix = f"Did you mean `{near[0]}`?" if near else f"Write {known}"
        raise wrong(Wrong(f"expected {called or known}, got {shown(value)}", fix))

    return Kind(check, {"enum": list(words)})


def only(word: str) -> Kind:
    """The one word that is honoured so far of a field that will know more."""

    def check(value: object) -> str:
        if value == word:
            return word
        problem = f"anything but `{word}` is not supported yet"
        raise wrong(Wrong(problem, f"Write `{word}`, or remove the field"))

    return Kind(check, {"const": word})


def yes_or_no() -> Kind:
    """`true` or `false`."""

    def check(value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise wrong(Wrong(f"expected true or false, got {shown(value)}", "Write true or false"))

    return Kind(check, {"type": "boolean"})


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_RESERVED_NAMES = frozenset({"last"})


def job_name() -> Kind:
    """A name for lists and commands."""
    pattern = re.compile(_NAME)

    def check(value: object) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise wrong(
                Wrong(
                    f"expected a name, got {shown(value)}",
                    "Use 1 to 63 letters, digits, dots, dashes or underscores, "
                    "and begin with a letter or digit"
                    if isinstance(value, str)
                    else "Put the name in quotes",
                )
            )
        if value in _RESERVED_NAMES:
            raise wrong(Wrong(f"{quoted(value)} is a word of the command line", "Use another name"))
        return value

    schema = {"type": "string", "pattern": f"^{_NAME}$", "not": {"enum": [*_RESERVED_NAMES]}}
    return Kind(check, schema)


def is_name(text: str) -> bool:
    """Whether `job_name` accepts it."""
    return re.fullmatch(_NAME, text) is not None and text not in _RESERVED_NAMES


def words(*known: str) -> Kind:
    """A list of different words out of a few."""
    names = one_of([f"`{word}`" for word in known])

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            got = "an empty list" if value == [] else shown(value)
            raise wrong(Wrong(f"expected a list of {names}, got {got}", f"Write [{known[0]}]"))
        parts = [
            Wrong(f"expected {names}, got {shown(item)}", f"Write [{known[0]}]", (index,))
            for index, item in enumerate(value)
            if not (isinstance(item, str) and item in known)
        ]
        if not parts and len(set(value)) < len(value):
            parts = [Wrong("names a word twice", "Name each once")]
        if parts:
            raise wrong(*parts)
        return tuple(value)

    items = {"enum": list(known)}
    return Kind(check, {"type": "array", "minItems": 1, "uniqueItems": True, "items": items})


def command() -> Kind:
    """A command: text for the shell, or a list of arguments. It may hold secrets: never shown."""
    most = 1024

    def check(value: object) -> tuple[str, ...]:
        argv = ["/bin/sh", "-c", value] if isinstance(value, str) else value
        if not isinstance(argv, list) or not argv or (isinstance(value, str) and not value.strip()):
            got = "an empty one" if value in ("", []) or isinstance(value, str) else kind(value)
            fix = "Write `run: python train.py`, or a list of arguments"
            raise wrong(Wrong(f"expected a command, got {got}", fix))
        parts = [
            Wrong(f"expected text, got {kind(item)}", "Put the argument in quotes", (index,))
            for index, item in enumerate(argv)
            if not isinstance(item, str)
        ]
        if not parts and not argv[0]:
            parts = [Wrong("the program's name is empty", "Name a program first", (0,))]
        if len(argv) > most or _text_bytes(argv) > MAX_TEXT_BYTES:
            limits = f"at most {most} arguments and {MAX_TEXT_BYTES // 1024} KiB"
            parts.append(Wrong("the command is too long", f"Use {limits}, or put it in a script"))
        if parts:
            raise wrong(*parts)
        return tuple(argv)

    text = {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT_BYTES}
    many = {
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "prefixItems": [{"type": "string", "minLength": 1}],
        "items": {"type": "string"},
    }
    return Kind(check, {"anyOf": [text, many]})


def _text_bytes(items: Sequence[object]) -> int:
    return sum(len(item.encode()) + 1 for item in items if isinstance(item, str))


def as_whole(value: object) -> int | None:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return None


def _within(value: Any, least: float, most: float, above: bool) -> bool:
    return bool((least < value if above else least <= value) and value <= most)


def _number_fix(value: object, least: float, most: float) -> str:
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+", value[:40]):
        return "Write the number without quotes"
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "Write a number, in digits"
    if value < least:
        return f"Use {least:g} or more"
    if value > most:
        return f"Use at most {most:.15g}"
    return "Write a number without a fraction"
