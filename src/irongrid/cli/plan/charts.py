"""The page's charts that compare plans: parts as stacked bars, figures as points, a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log10

from irongrid.cli.plan import svg

WIDTH = 920.0
LEFT = 190.0
RIGHT = 90.0
# Height of a row, of many rows together, and the least at which each row's name can be read.
ROW, ROWS, NAMED_ROW = 34.0, 640.0, 13.0
# Figures whose largest is so many times the smallest are drawn by powers of ten.
POWERS_FROM = 8.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of parts that add up to its length.

    Attributes:
        mark: a value that is marked on the bar, such as its p95 or p90.
        limit: what the bar must stay under; None where nothing bounds it.
    """

    name: str
    parts: Mapping[str, float]
    mark: float
    is_chosen: bool = False
    limit: float | None = None


def stacked(
    bars: Sequence[Bar],
    *,
    label: str,
    unit: str,
    scale: float,
    css: str,
    words: Mapping[str, str],
    mark_name: str,
    limit_name: str = "",
) -> str:
    """Bars of parts on one axis, each with its mark and its limit where it has one.

    Args:
        scale: what one unit of the axis is in the parts' own unit.
        css: prefix of the parts' classes, which are `{css}-{part}`.
        words: what the legend calls the parts.
    """
    most = max(*(_longest(bar) for bar in bars), 1e-30) * 1.04
    names = [name for name in bars[0].parts if any(bar.parts.get(name, 0.0) > 0 for bar in bars)]
    entries = [(f"{css}-{name}", words[name]) for name in names]
    legend, rows = svg.legend(LEFT, 0, [*entries, ("key", f"line: {mark_name}")], WIDTH - LEFT)
    top, row = 18.0 * rows + 26, min(ROW, ROWS / len(bars))
    foot = top + row * len(bars)
    room = WIDTH - LEFT - RIGHT
    out = [legend]
    for tick in svg.ticks(0, most / scale, 6):
        x = LEFT + room * tick * scale / most
        out.append(svg.line(x, top - 4, x, foot, "grid"))
        out.append(svg.text(x, foot + 16, f"{tick:g}", anchor="middle", css="small"))
    out.append(svg.text(WIDTH - RIGHT + 24, foot + 16, unit, css="small"))
    every = max(1, ceil(NAMED_ROW / row))
    for number, bar in enumerate(bars):
        y = top + row * number
        if number % every == 0:
            css_name = "strong" if bar.is_chosen else ""
            out.append(svg.text(LEFT - 10, y + row / 2 + 2, bar.name, anchor="end", css=css_name))
        x = LEFT
        for name in names:
            width = room * bar.parts.get(name, 0.0) / most
            hint = f"{words[name]}: {bar.parts.get(name, 0.0) / scale:.3g} {unit}"
            out.append(svg.box(x, y + 0.12 * row, width, 0.65 * row, f"{css}-{name}", hint))
            x += width
        x = LEFT + room * bar.mark / most
        out.append(svg.line(x, y, x, y + 0.9 * row, "mark"))
        if bar.limit is not None:
            x = LEFT + room * bar.limit / most
            out.append(svg.line(x, y - (8 if number == 0 else 0), x, y + row, "limit"))
    if bars[0].limit is not None:
        x = LEFT + room * bars[0].limit / most
        out.append(svg.text(x - 6, top - 4, limit_name, anchor="end", css="small limit-name"))
    return svg.drawing(WIDTH, foot + 24, out, label)


def _longest(bar: Bar) -> float:
    """How far a bar's row reaches."""
    return max(bar.mark, sum(bar.parts.values()), bar.limit or 0.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One plan (or size) in a chart of two figures."""

    x: float
    y: float
    name: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a figure lies on an axis: in proportion, or by powers where it spans some of them."""

    low: float
    high: float
    powers: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> "Axis":
        """The axis that shows these values with some air around them."""
        low, high = min(values), max(values)
        if low > 0 and high / low > POWERS_FROM:
            air = (high / low) ** 0.08
            return cls(log10(low / air), log10(high * air), True)
        air = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
        return cls(max(0.0, low - air) if low >= 0 else low - air, high + air, False)

    def share(self, value: float) -> float:
        """The value's place, 0 to 1."""
        at = log10(value) if self.powers else value
        return (at - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values that are worth a line."""
        if not self.powers:
            return svg.ticks(self.low, self.high, 5)
        tens = range(int(self.low) - 1, int(self.high) + 2)
        few = self.high - self.low > 2.5
        marks = [10.0**ten * unit for ten in tens for unit in ((1,) if few else (1, 2, 5))]
        return [mark for mark in marks if self.low <= log10(mark) <= self.high]


def scatter(points: Sequence[Point], *, x_name: str, y_name: str) -> str:
    """Two figures of several plans, joined in the order of the first."""
    width, height, left, foot = 440.0, 300.0, 62.0, 44.0
    across, upwards = Axis.of([p.x for p in points]), Axis.of([p.y for p in points])

    def x_of(value: float) -> float:
        return left + (width - left - 16) * across.share(value)

    def y_of(value: float) -> float:
        return 14 + (height - foot - 14) * (1 - upwards.share(value))

    out = []
    for tick, words in labelled(across.ticks()):
        x = x_of(tick)
        out.append(svg.line(x, 14, x, height - foot, "grid"))
        out.append(svg.text(x, height - foot + 16, words, anchor="middle", css="small"))
    for tick, words in labelled(upwards.ticks()):
        y = y_of(tick)
        out.append(svg.line(left, y, width - 16, y, "grid"))
        out.append(svg.text(left - 6, y + 4, words, anchor="end", css="small"))
    out.append(svg.text((left + width) / 2, height - 8, x_name, anchor="middle", css="small"))
    middle = height / 2 - 16
    name = svg.text(12, middle, y_name, anchor="middle", css="small")
    out.append(f'<g transform="rotate(-90 12 {middle:g})">{name}</g>')
    ordered = sorted(points, key=lambda point: (point.x, -point.y))
    if len(points) > 1:
        out.append(svg.path([(x_of(p.x), y_of(p.y)) for p in ordered], "front"))
    for point in ordered:
        css, radius = ("chosen", 6.0) if point.is_chosen else ("other", 4.5)
        hint = f"{point.name}: {short(point.x)}, {short(point.y)}"
        out.append(svg.dot(x_of(point.x), y_of(point.y), radius, css, hint))
    out += _names([(x_of(p.x), y_of(p.y), p) for p in ordered], width)
    return svg.drawing(width, height, out, f"{y_name} over {x_name}")


def _names(places: Sequence[tuple[float, float, Point]], width: float) -> list[str]:
    """Words beside the points, those left out that would cover another's."""
    out: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for x, y, point in sorted(places, key=lambda place: not place[2].is_chosen):
        length = 5.9 * len(point.name)
        to_the_right = x + 9 + length < width
        start = x + 9 if to_the_right else x - 9 - length
        if any(
            abs(y - row) < 13 and start < end and begin < start + length
            for begin, end, row in taken
        ):
            continue
        taken.append((start, start + length, y))
        anchor, at = ("start", x + 9) if to_the_right else ("end", x - 9)
        out.append(svg.text(at, y - 7, point.name, anchor=anchor, css="small"))
    return out


def labelled(marks: Sequence[float]) -> list[tuple[float, str]]:
    """An axis' marks with their words, in as many digits as tell them apart."""
    words: list[str] = []
    for digits in range(3, 9):
        words = [short(mark, digits) for mark in marks]
        if len(set(words)) == len(set(marks)):
            break
    return list(zip(marks, words, strict=True))


def short(value: float, digits: int = 3) -> str:
    """A number for an axis: a few digits, and a letter for thousands and more."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.{digits}g}{letter}"
    return f"{value:.{digits}g}"
