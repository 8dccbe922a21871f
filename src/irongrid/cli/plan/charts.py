"""The page's charts that compare plans: parts as stacked bars, figures as points, a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irongrid.cli.plan import svg

WIDTH = 920.0
LEFT = 190.0
RIGHT = 90.0
ROW = 34.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of parts that add up to its length.

    Attributes:
        mark: a value that is marked on the bar, such as its p95 or p90.
        tail: words behind the bar.
    """

    name: str
    parts: Mapping[str, float]
    mark: float
    tail: str
    is_chosen: bool = False


def stacked(
    bars: Sequence[Bar],
    *,
    label: str,
    unit: str,
    scale: float,
    css: str,
    words: Mapping[str, str],
    limit: float | None = None,
    limit_name: str = "",
) -> str:
    """Bars of parts on one axis, each with its mark, and a limit for all where there is one.

    Args:
        scale: what one unit of the axis is in the parts' own unit.
        css: prefix of the parts' classes, which are `{css}-{part}`.
        words: what the legend calls the parts.
    """
    most = max([*(max(bar.mark, sum(bar.parts.values())) for bar in bars), limit or 0.0, 1e-30])
    most *= 1.04
    names = [name for name in bars[0].parts if any(bar.parts.get(name, 0.0) > 0 for bar in bars)]
    legend, rows = svg.legend(
        LEFT, 0, [(f"{css}-{name}", words[name]) for name in names], WIDTH - LEFT
    )
    top = 18.0 * rows + 26
    foot = top + ROW * len(bars)
    room = WIDTH - LEFT - RIGHT
    out = [legend]
    for tick in svg.ticks(0, most / scale, 6):
        x = LEFT + room * tick * scale / most
        out.append(svg.line(x, top - 4, x, foot, "grid"))
        out.append(svg.text(x, foot + 16, f"{tick:g}", anchor="middle", css="small"))
    out.append(svg.text(WIDTH - RIGHT + 8, foot + 16, unit, css="small"))
    for number, bar in enumerate(bars):
        y = top + ROW * number + 4
        weight = "strong" if bar.is_chosen else ""
        out.append(svg.text(LEFT - 10, y + 15, bar.name, anchor="end", css=weight))
        x = LEFT
        for name in names:
            width = room * bar.parts.get(name, 0.0) / most
            hint = f"{words[name]}: {bar.parts.get(name, 0.0) / scale:.3g} {unit}"
            out.append(svg.box(x, y, width, ROW - 12, f"{css}-{name}", hint))
            x += width
        x = LEFT + room * bar.mark / most
        out.append(svg.line(x, y - 3, x, y + ROW - 9, "mark"))
        out.append(svg.text(x + 6, y + 15, bar.tail, css="small"))
    if limit is not None:
        x = LEFT + room * limit / most
        out.append(svg.line(x, top - 8, x, foot, "limit"))
        out.append(svg.text(x + 4, top - 8, limit_name, anchor="end", css="small limit-name"))
    return svg.drawing(WIDTH, foot + 24, out, label)


@dataclass(frozen=True, slots=True)
class Point:
    """One plan (or size) in a chart of two figures."""

    x: float
    y: float
    name: str
    is_chosen: bool = False


def scatter(points: Sequence[Point], *, x_name: str, y_name: str, joined: bool = True) -> str:
    """Points from lower left to upper right; for a front, where less of both is better."""
    width, height, left, foot = 440.0, 300.0, 62.0, 44.0
    low_x, high_x = _span([point.x for point in points])
    low_y, high_y = _span([point.y for point in points])

    def place(point: Point) -> tuple[float, float]:
        x = left + (width - left - 16) * (point.x - low_x) / (high_x - low_x)
        return x, 14 + (height - foot - 14) * (1 - (point.y - low_y) / (high_y - low_y))

    out = []
    for tick in svg.ticks(low_x, high_x, 5):
        x, _ = place(Point(tick, low_y, ""))
        out.append(svg.line(x, 14, x, height - foot, "grid"))
        out.append(svg.text(x, height - foot + 16, short(tick), anchor="middle", css="small"))
    for tick in svg.ticks(low_y, high_y, 5):
        _, y = place(Point(low_x, tick, ""))
        out.append(svg.line(left, y, width - 16, y, "grid"))
        out.append(svg.text(left - 6, y + 4, short(tick), anchor="end", css="small"))
    out.append(svg.text((left + width) / 2, height - 8, x_name, anchor="middle", css="small"))
    turned = f'<g transform="rotate(-90 12 {height / 2 - 16:g})">'
    middle = svg.text(12, height / 2 - 16, y_name, anchor="middle", css="small")
    out.append(f"{turned}{middle}</g>")
    ordered = sorted(points, key=lambda point: (point.x, -point.y))
    if joined and len(points) > 1:
        out.append(svg.path([place(point) for point in ordered], "front"))
    for point in ordered:
        x, y = place(point)
        css, radius = ("chosen", 6.0) if point.is_chosen else ("other", 4.5)
        out.append(svg.dot(x, y, radius, css, f"{point.name}: {short(point.x)}, {short(point.y)}"))
    out += _names(ordered, place, width)
    return svg.drawing(width, height, out, f"{y_name} over {x_name}")


def _names(points: Sequence[Point], place: object, width: float) -> list[str]:
    """Words beside the points, those left out that would cover another's."""
    assert callable(place)
    out: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for point in sorted(points, key=lambda point: not point.is_chosen):
        x, y = place(point)
        length = 6.1 * len(point.name)
        anchor, start = ("start", x + 9) if x + 9 + length < width else ("end", x - 9 - length)
        if any(abs(y - row) < 13 and start < end and begin < start + length
               for begin, end, row in taken):  # fmt: skip
            continue
        taken.append((start, start + length, y))
        at = x + 9 if anchor == "start" else x - 9
        out.append(svg.text(at, y - 7, point.name, anchor=anchor, css="small"))
    return out


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The range of an axis: the values with some air, never empty."""
    low, high = min(values), max(values)
    air = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    return max(0.0, low - air) if low >= 0 else low - air, high + air


def short(value: float) -> str:
    """A number for an axis: three digits and a letter for thousands and more."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"
