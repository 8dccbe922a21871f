"""Kinds of values that say how many, how much, how long and how often."""

import re
from typing import NamedTuple

from irongrid.spec.findings import quoted, shown
from irongrid.spec.values import MAX_STEPS, Kind, Wrong, as_whole, wrong
from irongrid.units import parse_bytes, parse_duration_s

MAX_COUNT = 16_384


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
        exact = as_whole(value)
        if exact is not None and 1 <= exact <= MAX_COUNT:
            return Count(exact, exact)
        match = pattern.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            fix = "Write a number such as 4, or a range such as 1..8"
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
        steps = as_whole(value)
        if steps is not None and 1 <= steps <= MAX_STEPS:
            return Every(steps, None)
        if isinstance(value, str) and len(value) <= 32 and pattern.fullmatch(value):
            return Every(None, _duration_s(value, least_s, most_s))
        fix = "Write `auto`, 50 for every 50 steps, or 10m for every ten minutes"
        raise wrong(Wrong(f"{expected}, got {shown(value)}", fix))

    text = {"type": "string", "maxLength": 32, "pattern": f"^{_DURATION}$"}
    steps = {"type": "integer", "minimum": 1, "maximum": MAX_STEPS}
    return Kind(check, {"anyOf": [{"const": "auto"}, steps, text]})
