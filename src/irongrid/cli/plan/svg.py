"""Small pieces of SVG: text in, text out. Lengths are in the drawing's units, y downwards."""

from collections.abc import Iterable
from html import escape
from math import floor, log10


def drawing(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """A whole drawing that scales with the page; `label` says in words what it shows."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def box(x: float, y: float, width: float, height: float, css: str, hint: str = "") -> str:
    """A rectangle; `hint` appears under the pointer."""
    title = f"<title>{escape(hint)}</title>" if hint else ""
    size = f'width="{max(0.0, width):.2f}" height="{height:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} class="{css}">{title}</rect>'


def boxes(places: Iterable[tuple[float, float, float, float]], css: str) -> str:
    """Many rectangles of one class, written as one path to keep the page small."""
    moves = "".join(
        f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z" for x, y, width, height in places
    )
    return f'<path d="{moves}" class="{css}"/>' if moves else ""


def dot(x: float, y: float, radius: float, css: str, hint: str = "") -> str:
    """A filled circle."""
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:g}" class="{css}">{title}</circle>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" class="{css}"/>'


def path(points: Iterable[tuple[float, float]], css: str) -> str:
    """A line through points."""
    return f'<polyline points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}" class="{css}"/>'


def text(x: float, y: float, words: str, *, anchor: str = "start", css: str = "") -> str:
    """One line of text; `y` is its baseline."""
    look = f' class="{css}"' if css else ""
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}"{look}>{escape(words)}</text>'


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values from low to high, roughly as many as asked for."""
    if high <= low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** floor(log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough * 0.999)
    first = floor(low / step + 0.999_999)
    last = floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def legend(x: float, y: float, entries: Iterable[tuple[str, str]], room: float) -> tuple[str, int]:
    """Squares with words, wrapped at `room`; and how many rows that took."""
    parts, at, row = [], x, 0
    for css, words in entries:
        width = 30 + 5.9 * len(words)
        if at > x and at + width > x + room:
            at, row = x, row + 1
        parts.append(box(at, y + 18 * row, 10, 10, css))
        parts.append(text(at + 14, y + 18 * row + 9, words, css="small"))
        at += width
    return "".join(parts), row + 1
