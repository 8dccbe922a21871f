"""Kinds of values that a field can have: one check in plain words beside one JSON Schema.

Each kind is a `Kind` for use inside `Annotated`. pydantic runs its check and `schema` publishes its
schema, so both come from one place. A check returns the value that the code computes
with (bytes, seconds, a range) or raises `wrong`. No check changes the meaning of what was written:
text is never read as a number, nor a boolean as 0 or 1.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from irongrid.spec.findings import Path, kind, one_of, quoted, shown
from irongrid.units import parse_bytes, parse_duration_s

MAX_TEXT_BYTES = 64 * 1024
MAX_PATH_CHARS = 1024
MAX_COUNT = 16_384
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


class Count(NamedTuple):
    """Sizes that a gang may have."""

    least: int
    most: int


class Accelerator(NamedTuple):
    """A device type, and how many where that is written with it (`H100:8`)."""

    device_type: str
    devices: int | None


class Every(NamedTuple):
    """When to checkpoint; with both None the recipe works it out."""

    steps: int | None
    seconds: float | None


def whole(least: int, most: int) -> Kind:
    """A whole number in a range. `1e3` is one, `1.5`, `"8"` and `true` are not."""
    expected = f"expected a whole number from {least} to {most}"

    def check(value: object) -> int:
        number = _whole(value)
        if number is not None and least <= number <= most:
            return number
        raise wrong(Wrong(f"{expected}, got {shown(value)}", _number_fix(value, least, most)))

    return Kind(check, {"type": "integer", "minimum": least, "maximum": most})


def number(least: float, most: float, *, above: bool = False) -> Kind:
    """A number in a range; with `above` the lower bound itself is left out."""
    expected = f"expected a number {'above' if above else 'from'} {least:g} "
    expected += f"and at most {most:g}" if above else f"to {most:g}"

    def check(value: object) -> float:
        # Compared before it becomes a float: a JSON integer may be too large for one.
        if type(value) in (int, float) and _within(value, least, most, above):
            return float(value)  # type: ignore[arg-type]
        raise wrong(Wrong(f"{expected}, got {shown(value)}", _number_fix(value, least, most)))

    lower = "exclusiveMinimum" if above else "minimum"
    return Kind(check, {"type": "number", lower: least, "maximum": most})


def choice(*words: str) -> Kind:
    """One of a few words."""
    known = one_of([f"`{word}`" for word in words])

    def check(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        near = get_close_matches(value[:40], words, n=1) if isinstance(value, str) else []
        fix = f"Did you mean `{near[0]}`?" if near else f"Write {known}"
        raise wrong(Wrong(f"expected {known}, got {shown(value)}", fix))

    return Kind(check, {"enum": list(words)})


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
                    "and begin with a letter or digit",
                )
            )
        if value in _RESERVED_NAMES:
            raise wrong(Wrong(f"{quoted(value)} is a word of the command line", "Use another name"))
        return value

    schema = {"type": "string", "pattern": f"^{_NAME}$", "not": {"enum": [*_RESERVED_NAMES]}}
    return Kind(check, schema)


def path() -> Kind:
    """A path of a file or folder, as text."""

    def check(value: object) -> str:
        problem = _path_problem(value)
        if problem is None:
            return str(value)
        raise wrong(problem)

    return Kind(check, _PATH_SCHEMA)


def data_paths() -> Kind:
    """One path pattern, a list of them, or the word `stdlib`."""
    most = 256

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            problem = _path_problem(value)
            if problem is not None:
                raise wrong(problem)
            return (str(value),)
        if not 1 <= len(value) <= most:
            size = f"{len(value)} entries" if value else "an empty list"
            raise wrong(Wrong(f"expected 1 to {most} paths, got {size}", "List the text files"))
        found = [_item_path(index, item) for index, item in enumerate(value)]
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise wrong(*problems)
        return tuple(value)

    items = {**_PATH_SCHEMA, "not": {"const": "stdlib"}}
    many = {"type": "array", "minItems": 1, "maxItems": most, "items": items}
    return Kind(check, {"anyOf": [_PATH_SCHEMA, many]})


_PATH_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_PATH_CHARS, "pattern": "^[^$]"}


def _path_problem(value: object) -> Wrong | None:
    if not isinstance(value, str) or not value:
        return Wrong(f"expected a path, got {shown(value)}", "Write a path as text")
    if len(value) > MAX_PATH_CHARS:
        return Wrong(f"the path is longer than {MAX_PATH_CHARS} characters", "Use a shorter path")
    if value.startswith("$"):
        return Wrong("variables are not replaced in paths", "Write the path itself, or `~/...`")
    return None


def _item_path(index: int, item: object) -> Wrong | None:
    if item == "stdlib":
        fix = "Write `path: stdlib`, or ./stdlib for a folder of that name"
        return Wrong("the word stdlib stands alone, not in a list", fix, (index,))
    problem = _path_problem(item)
    return problem._replace(path=(index,)) if problem else None


_DEVICE_TYPE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def accelerator() -> Kind:
    """`any`, a device type, or a device type with a count."""
    pattern = re.compile(rf"({_DEVICE_TYPE})(?::([1-9][0-9]{{0,5}}))?")

    def check(value: object) -> Accelerator:
        match = pattern.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise wrong(
                Wrong(
                    f"expected a device type, got {shown(value)}",
                    "Write `any`, `cpu`, a type such as `H100`, or `H100:8` for eight of them",
                )
            )
        count = int(match[2]) if match[2] else None
        if count is not None and count > MAX_COUNT:
            raise wrong(Wrong(f"asks for {count} devices", f"Use at most {MAX_COUNT}"))
        return Accelerator(match[1], count)

    pattern_text = rf"^{_DEVICE_TYPE}(:{_up_to_16384()})?$"
    return Kind(check, {"type": "string", "pattern": pattern_text})


def count() -> Kind:
    """How many devices: a whole number, or a range `1..8`."""
    pattern = re.compile(r"([1-9][0-9]{0,5})\.\.([1-9][0-9]{0,5})")
    expected = f"expected a whole number from 1 to {MAX_COUNT} or a range such as 1..8"

    def check(value: object) -> Count:
        exact = _whole(value)
        if exact is not None and 1 <= exact <= MAX_COUNT:
            return Count(exact, exact)
        match = pattern.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            fix = _number_fix(value, 1, MAX_COUNT)
            raise wrong(Wrong(f"{expected}, got {shown(value)}", fix))
        least, most = int(match[1]), int(match[2])
        if max(least, most) > MAX_COUNT:
            raise wrong(Wrong(f"the range goes beyond {MAX_COUNT}", "Use a smaller range"))
        if least > most:
            raise wrong(
                Wrong(f"the range {least}..{most} runs backwards", f"Write {most}..{least}")
            )
        return Count(least, most)

    text = {"type": "string", "pattern": rf"^{_up_to_16384()}\.\.{_up_to_16384()}$"}
    exactly = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
    return Kind(check, {"anyOf": [exactly, text]})


def _up_to_16384() -> str:
    """A pattern for 1 to MAX_COUNT, as a JSON Schema has no numbers inside text."""
    return r"([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4])"


_SIZE = r"[0-9]+(\.[0-9]+)? *([KkMmGgTt][Ii]?[Bb]|[Bb])"


def size_bytes(least: int, most: int) -> Kind:
    """An amount of memory as text with its unit; the check returns bytes."""
    pattern = re.compile(_SIZE)

    def check(value: object) -> int:
        if not isinstance(value, str) or len(value) > 32 or pattern.fullmatch(value) is None:
            unit = isinstance(value, int | float) and not isinstance(value, bool)
            fix = "Say the unit, such as 4GiB or 500MB" if unit else "Write a size such as 4GiB"
            raise wrong(Wrong(f"expected a size with its unit, got {shown(value)}", fix))
        amount = parse_bytes(value)
        if not least <= amount <= most:
            bounds = f"from {least // 2**20}MiB to {most // 2**40}TiB"
            raise wrong(Wrong(f"{quoted(value)} is out of bounds", f"Use a size {bounds}"))
        return amount

    return Kind(check, {"type": "string", "maxLength": 32, "pattern": f"^{_SIZE}$"})


_DURATION = r"([0-9]+(\.[0-9]+)? *(ms|s|min|m|h|d) *)+"


def _duration_s(value: str, least_s: float, most_s: float) -> float:
    duration_s = parse_duration_s(value)
    if not least_s <= duration_s <= most_s:
        bounds = f"from {least_s:g}s to {most_s / 86400:g}d"
        raise wrong(Wrong(f"{quoted(value)} is out of bounds", f"Use a time {bounds}"))
    return duration_s


def duration_s(least_s: float, most_s: float) -> Kind:
    """A length of time as text with its unit; the check returns seconds."""
    pattern = re.compile(_DURATION)

    def check(value: object) -> float:
        if not isinstance(value, str) or len(value) > 32 or pattern.fullmatch(value) is None:
            unit = isinstance(value, int | float) and not isinstance(value, bool)
            fix = "Say the unit, such as 90s or 12h" if unit else "Write a time such as 90s or 12h"
            raise wrong(Wrong(f"expected a time with its unit, got {shown(value)}", fix))
        return _duration_s(value, least_s, most_s)

    return Kind(check, {"type": "string", "maxLength": 32, "pattern": f"^{_DURATION}$"})


def every(least_s: float, most_s: float) -> Kind:
    """`auto`, a number of steps, or a time."""
    pattern = re.compile(_DURATION)
    expected = f"expected `auto`, a number of steps from 1 to {MAX_STEPS}, or a time such as 10m"

    def check(value: object) -> Every:
        if value == "auto":
            return Every(None, None)
        steps = _whole(value)
        if steps is not None and 1 <= steps <= MAX_STEPS:
            return Every(steps, None)
        if isinstance(value, str) and len(value) <= 32 and pattern.fullmatch(value):
            return Every(None, _duration_s(value, least_s, most_s))
        fix = "Write `auto`, 50 for every 50 steps, or 10m for every ten minutes"
        raise wrong(Wrong(f"{expected}, got {shown(value)}", fix))

    text = {"type": "string", "maxLength": 32, "pattern": f"^{_DURATION}$"}
    steps = {"type": "integer", "minimum": 1, "maximum": MAX_STEPS}
    return Kind(check, {"anyOf": [{"const": "auto"}, steps, text]})


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


def _whole(value: object) -> int | None:
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
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return "Write a number"
    if value < least:
        return f"Use {least:g} or more"
    if value > most:
        return f"Use at most {most:.15g}"
    return "Write a number without a fraction"
