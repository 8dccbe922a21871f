"""Classes of links by name, from `catalog/links.json`; and kinds of values for rates and times."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources

from irongrid.spec.findings import quoted, shown
from irongrid.spec.values import Kind, Wrong, wrong
from irongrid.units import parse_latency_s, parse_rate

_NUMBER = r"[0-9]+(\.[0-9]+)?"
_RATE = _NUMBER + " *(([KMGT]i?)?B|[KMGT]?bit)/s"
_BITS_OR_BYTES = re.compile(_NUMBER + " *[A-Za-z]*b(it|its|yte|ytes)?(ps|/s|/sec)?", re.IGNORECASE)
_LATENCY = _NUMBER + " *(ns|us|ms|s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkClass:
    """A class of links.

    Attributes:
        kind: what it is, for people.
        bytes_per_s: one direction, of one link; None where it depends on the device.
    """

    kind: str
    bytes_per_s: float | None
    latency_s: float


@cache
def link_classes() -> dict[str, LinkClass]:
    """Every class by its name."""
    text = resources.files("irongrid").joinpath("catalog/links.json").read_text("utf-8")
    return {
        name: LinkClass(
            kind=entry["kind"],
            bytes_per_s=parse_rate(entry["rate"]) if entry["rate"] else None,
            latency_s=parse_latency_s(entry["latency"]),
        )
        for name, entry in json.loads(text)["links"].items()
    }


def link_class() -> Kind:
    """A class of links by name."""

    def check(value: object) -> str:
        known = link_classes()
        if isinstance(value, str) and value in known:
            return value
        near = get_close_matches(value[:40].lower(), known, n=1) if isinstance(value, str) else []
        fix = f"Did you mean `{near[0]}`?" if near else "Give its rate and latency instead"
        raise wrong(Wrong(f"expected a class of links, got {shown(value)}", fix))

    return Kind(check, {"enum": list(link_classes())})


def rate(least: float, most: float) -> Kind:
    """A rate as text with its unit; the check returns bytes per second."""
    return _measured(_RATE, parse_rate, least, most, "a rate", ("400Gbit/s", "50GB/s"))


def latency_s(least: float, most: float) -> Kind:
    """A short time as text with its unit; the check returns seconds."""
    return _measured(_LATENCY, parse_latency_s, least, most, "a latency", ("5us", "40ms"))


def _measured(
    form: str,
    parse: Callable[[str], float],
    least: float,
    most: float,
    what: str,
    examples: tuple[str, str],
) -> Kind:
    pattern = re.compile(form)
    such = " or ".join(examples)

    def check(value: object) -> float:
        if not isinstance(value, str) or len(value) > 32 or pattern.fullmatch(value) is None:
            unit = isinstance(value, int | float) and not isinstance(value, bool)
            fix = f"Say the unit, such as {such}" if unit else f"Write {what} such as {such}"
            if isinstance(value, str) and _BITS_OR_BYTES.fullmatch(value[:40]):
                fix = f"Say whether it is bits or bytes, such as {such}"
            raise wrong(Wrong(f"expected {what} with its unit, got {shown(value)}", fix))
        amount = parse(value)
        if not least <= amount <= most:
            bounds = f"from {_written(least, what)} to {_written(most, what)}"
            raise wrong(Wrong(f"{quoted(value)} is out of bounds", f"Use {what} {bounds}"))
        return amount

    return Kind(check, {"type": "string", "maxLength": 32, "pattern": f"^{form}$"})


def _written(amount: float, what: str) -> str:
    units = (
        (("TB/s", 1e12), ("GB/s", 1e9), ("MB/s", 1e6), ("KB/s", 1e3))
        if what == "a rate"
        else (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))
    )
    unit, size = next((entry for entry in units if amount >= entry[1]), units[-1])
    return f"{amount / size:g}{unit}"
