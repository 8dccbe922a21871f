"""Figures of a run in words: which there are, what they are called, and which way is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from irongrid.units import format_duration


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run.

    Attributes:
        key: its name in `--json`.
        better: -1 where less is better, 1 where more is, 0 where that depends.
    """

    key: str
    name: str
    words: Callable[[float], str]
    better: int = -1

    def of(self, figures: Mapping[str, Any]) -> float | None:
        """Its value; None where the run does not know it."""
        value = figures.get(self.key)
        return None if value is None else float(value)

    def text(self, figures: Mapping[str, Any]) -> str:
        """Its value for people."""
        value = self.of(figures)
        return "-" if value is None else self.words(value)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _few(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}%"


def _money(value: float) -> str:
    return f"${value:,.0f}" if value >= 100 else f"${value:,.2f}"


FIGURES = (
    Figure("jobs", "jobs", _count, 0),
    Figure("avg_jct_s", "completion time, mean", format_duration),
    Figure("median_jct_s", "completion time, median", format_duration),
    Figure("p99_jct_s", "completion time, p99", format_duration),
    Figure("makespan_s", "first submit to last end", format_duration),
    Figure("avg_queue_s", "wait, mean", format_duration),
    Figure("p99_queue_s", "wait, p99", format_duration),
    Figure("max_queue_s", "wait, longest", format_duration),
    Figure("mean_slowdown", "slowdown, mean", _few),
    Figure("utilisation", "utilisation", _share, 0),
    Figure("gpu_hours", "device-hours held", _few),
    Figure("restart_gpu_hours", "device-hours in restarts", _few),
    Figure("preemptions_per_job", "preemptions of a job", _few),
    Figure("held_usd", "price of what was held", _money),
    Figure("fleet_usd", "price of the whole fleet", _money),
    Figure("energy_kwh", "energy, kWh", _few),
    Figure("carbon_kg", "CO2e, kg", _few),
)
