"""How completion times and waits are spread, and how evenly over teams."""

from collections.abc import Sequence
from math import log10

from irongrid.cli.plan import svg
from irongrid.cli.twin.axes import LENGTHS
from irongrid.cli.twin.time_charts import SIDES
from irongrid.twin.shapes import SHORTEST_S
from irongrid.units import format_duration


def spread(samples: Sequence[Sequence[tuple[float, float]]], name: str) -> str:
    """Share of jobs that took no longer, for one run or two; lengths by powers of ten.

    Args:
        samples: of each run, lengths of time with the share of jobs up to there.
    """
    width, height, left, foot, top = 440.0, 280.0, 46.0, 42.0, 12.0
    most = max(10.0, *(sample[-1][0] for sample in samples))
    reach = log10(most)

    def x_of(length_s: float) -> float:
        share = log10(max(length_s, SHORTEST_S)) / reach
        return left + (width - left - 14) * share

    def y_of(share: float) -> float:
        return top + (height - foot - top) * (1 - share)

    out = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = y_of(share)
        out.append(svg.line(left, y, width - 14, y, "grid"))
        out.append(svg.text(left - 6, y + 4, f"{100 * share:.0f}%", anchor="end", css="small"))
    end = -100.0
    for length_s, words in LENGTHS:
        if length_s <= most:
            x = x_of(length_s)
            out.append(svg.line(x, top, x, height - foot, "grid"))
            if x - end > 40:
                anchor = "middle" if x < width - 36 else "end"
                out.append(svg.text(x, height - foot + 16, words, anchor=anchor, css="small"))
                end = x
    middle = (left + width) / 2
    out.append(svg.text(middle, height - 8, f"jobs by {name}", anchor="middle", css="small"))
    for sample, side in zip(samples, SIDES, strict=False):
        out.append(svg.path([(x_of(s), y_of(share)) for s, share in sample],
                            f"line-{side}"))  # fmt: skip
    return svg.drawing(width, height, out, f"Share of jobs by {name}")


def bars(rows: Sequence[tuple[str, Sequence[float]]], name: str) -> str:
    """A length of time for each team, for one run or two."""
    width, left, right = 920.0, 170.0, 90.0
    most = max([*(value for _, values in rows for value in values), 1e-9])
    thick = 16.0 if len(rows[0][1]) == 1 else 13.0
    row_height = thick * len(rows[0][1]) + 9
    out = []
    for number, (team, values) in enumerate(rows):
        y = row_height * number + 4
        middle = y + thick * len(values) / 2 + 4
        out.append(svg.text(left - 10, middle, team[:24], anchor="end"))
        for at, (value, side) in enumerate(zip(values, SIDES, strict=False)):
            length = (width - left - right) * value / most
            place = y + thick * at
            out.append(svg.box(left, place, max(1.0, length), thick - 2, f"bar-{side}"))
            words = format_duration(value)
            out.append(svg.text(left + length + 6, place + thick - 3.5, words, css="small"))
    return svg.drawing(width, row_height * len(rows) + 6, out, f"{name} by team")
