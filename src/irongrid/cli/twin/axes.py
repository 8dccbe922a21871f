"""Axes of time for the pages of the twin."""

from dataclasses import dataclass

from irongrid.cli.plan import svg

_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
# Marks of an axis of lengths by powers: what people call them.
LENGTHS = (
    (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"), (600.0, "10 min"), (3600.0, "1 h"),
    (6 * 3600.0, "6 h"), (86400.0, "1 day"), (7 * 86400.0, "7 days"), (30 * 86400.0, "30 days"),
    (365 * 86400.0, "1 year"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clock:
    """Virtual time from left to right.

    Attributes:
        left, width: of the drawing's units.
        end_s: what lies at the right end.
    """

    left: float
    width: float
    end_s: float

    def x(self, at_s: float) -> float:
        """Where a moment lies."""
        return self.left + self.width * at_s / max(self.end_s, 1e-9)

    def grid(self, top: float, foot: float) -> list[str]:
        """Lines at round moments, and what they are called."""
        name, unit_s = next(
            (unit for unit in _UNITS if self.end_s >= 2 * unit[1]), ("seconds", 1.0)
        )
        out = []
        for tick in svg.ticks(0, self.end_s / unit_s, 8):
            x = self.x(tick * unit_s)
            out.append(svg.line(x, top, x, foot, "grid"))
            out.append(svg.text(x, foot + 15, f"{tick:g}", anchor="middle", css="small"))
        end = self.left + self.width
        out.append(svg.text(end, foot + 29, f"{name} from the start", anchor="end", css="small"))
        return out
