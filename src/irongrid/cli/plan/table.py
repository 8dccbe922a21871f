"""The report on a terminal: a table of the best few, the step as a bar, and why."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from irongrid.cli.plan import words
from irongrid.cli.plan.report import Report
from irongrid.cli.screen import Screen
from irongrid.cli.wording import cells
from irongrid.domain.curve import ScalingCurve
from irongrid.planner.answer import PricedPlan
from irongrid.planner.matrix import CommunicationMatrix
from irongrid.planner.why import AT_A_GLANCE
from irongrid.units import format_bytes

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

BAR_CELLS, LINE_CELLS = 60, 78
# A smaller share of the step is not worth a cell of the bar.
LEAST = 0.0005
# One colour and one letter for each part of a step, so that it reads without colours too.
LOOKS = {
    "compute": ("blue", "█"), "tp": ("yellow", "t"), "cp": ("bright_yellow", "c"),
    "ep": ("magenta", "e"), "pp": ("cyan", "p"), "dp": ("red", "d"), "bubble": ("white", "·"),
    "optimizer": ("green", "o"), "offload": ("bright_magenta", "f"),
    "overhead": ("bright_black", "+"),
}  # fmt: skip


def show(screen: Screen, report: Report) -> None:
    """The best few plans, the chosen one's step, and the reasons."""
    best = report.answer.plans[0]
    screen.say(report.title, style="bold")
    screen.say(report.where)
    screen.say()
    screen.say(plans_table(report.answer.plans))
    besides = words.extras(best.plan)
    if besides:
        screen.say(f"* with {besides}")
    screen.say()
    for line in step_lines(best):
        screen.say(line)
    if len(best.stage_memory) > 1:
        screen.say(words.stages_memory(best))
    screen.say()
    for sentence in best.why[:AT_A_GLANCE]:
        screen.say(sentence)
    runs = ", ".join(best.plan.runnable_by)
    screen.say(f"Runs on {runs}." if runs else "No runtime that is known here runs it yet.")


def plans_table(plans: tuple[PricedPlan, ...]) -> "Table":
    """Plans best first, the chosen one marked, in 80 columns."""
    sizes_differ = len({priced.devices for priced in plans}) > 1
    pools_differ = len({priced.pool for priced in plans}) > 1
    table = _table(gap=1 if pools_differ else 2)
    table.add_column("", no_wrap=True)
    for name in ["pool"] if pools_differ else []:
        table.add_column(name, no_wrap=True)
    table.add_column("degrees", no_wrap=True)
    table.add_column("mb", justify="right", no_wrap=True)
    table.add_column("schedule", no_wrap=True)
    for name in (["devices"] if sizes_differ else []) + ["step", "MFU", "GiB p95", "$/step"]:
        table.add_column(name, justify="right", no_wrap=True)
    for number, priced in enumerate(plans):
        size = [f"{priced.devices:,}"] if sizes_differ else []
        table.add_row(
            "*" if number == 0 else "",
            *([priced.pool] if pools_differ else []),
            words.degrees(priced.plan),
            words.micro_batch(priced.plan),
            words.schedule(priced.plan),
            *size,
            words.seconds(priced.step_time_s),
            f"{100 * priced.mfu:.1f}%",
            words.gib(priced.peak_memory_bytes_p95),
            words.money(priced.usd_per_step),
            style="bold" if number == 0 else None,
        )
    return table


def step_lines(best: PricedPlan) -> Iterator["Text"]:
    """The chosen plan's figures, and its step as one bar with the parts below."""
    from rich.text import Text

    yield Text(
        f"a step takes {words.seconds(best.step_time_s)}, "
        f"9 of 10 runs under {words.seconds(best.step_time_s_p90)}; "
        f"{words.number(best.tokens_per_s)} tokens/s"
    )
    figures = (
        words.energy(best.energy_j_per_step),
        words.money(best.usd_per_step),
        f"{words.carbon(best.co2_g_per_step)} CO2e" if best.co2_g_per_step is not None else "-",
    )
    spent = ", ".join(text for text in figures if text != "-")
    many = f"{best.devices:,} devices" if best.devices > 1 else "1 device"
    yield Text(f"on {many} it takes {spent}")
    named = [(name, best.parts_s.get(name, 0.0)) for name in words.PARTS]
    shown = [(name, part_s) for name, part_s in named if part_s >= LEAST * best.step_time_s]
    bar = Text()
    widths = cells([part_s for _, part_s in shown], BAR_CELLS)
    for (name, _), width in zip(shown, widths, strict=True):
        colour, letter = LOOKS[name]
        bar.append(letter * width, style=colour)
    yield bar
    yield from _legend([(name, part_s / best.step_time_s) for name, part_s in shown])


def _legend(shares: list[tuple[str, float]]) -> Iterator["Text"]:
    """What the bar's letters mean, largest first, in lines that nothing breaks."""
    from rich.text import Text

    line = Text()
    for name, share in sorted(shares, key=lambda pair: -pair[1]):
        colour, letter = LOOKS[name]
        words_of_it = f" {words.PARTS[name]} {_percent(share)}   "
        if len(line) + len(words_of_it) > LINE_CELLS:
            yield line
            line = Text()
        line.append(letter, style=colour)
        line.append(words_of_it)
    yield line


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"


def show_front(screen: Screen, plans: tuple[PricedPlan, ...]) -> None:
    """Plans of which none beats another in every figure."""
    table = _table()
    for name in ("degrees", "mb", "devices", "step", "$/step", "energy", "CO2e"):
        table.add_column(name, no_wrap=True, justify="left" if name == "degrees" else "right")
    for priced in plans:
        table.add_row(
            words.degrees(priced.plan),
            words.micro_batch(priced.plan),
            f"{priced.devices:,}",
            words.seconds(priced.step_time_s),
            words.money(priced.usd_per_step),
            words.energy(priced.energy_j_per_step),
            words.carbon(priced.co2_g_per_step),
        )
    screen.say()
    screen.say("none of these is beaten in time, money, energy and carbon at once", style="bold")
    screen.say(table)


def show_curve(screen: Screen, curve: ScalingCurve) -> None:
    """Speed by size, with the efficiency against the smallest size of its type."""
    table = _table()
    for name in ("device", "count", f"{curve.unit_of_work}/s", "step", "GiB", "efficiency"):
        table.add_column(name, no_wrap=True, justify="left" if name == "device" else "right")
    first: dict[str, float] = {}
    for point in curve.points:
        each = point.work_per_s_p50 / point.devices
        alone = first.setdefault(point.device_type, each)
        table.add_row(
            point.device_type,
            f"{point.devices:,}",
            words.number(point.work_per_s_p50),
            words.seconds(point.step_time_s),
            words.gib(point.memory_bytes),
            f"{100 * each / alone:.0f}%",
        )
    screen.say()
    screen.say("speed by size; efficiency is against the smallest of its type", style="bold")
    screen.say(table)


def show_matrix(screen: Screen, matrix: CommunicationMatrix) -> None:
    """Who sends how much to whom in one step, the most first."""
    table = _table()
    for name in ("axis", "collective", "ranks", "groups", "sent by a rank", "calls", "within", ""):
        numeric = name in ("ranks", "groups", "sent by a rank", "calls")
        table.add_column(name, no_wrap=True, justify="right" if numeric else "left")
    for flow in sorted(matrix.flows, key=lambda flow: -flow.bytes_per_rank):
        table.add_row(
            flow.axis,
            flow.collective,
            f"{flow.ranks:,}",
            f"{flow.groups:,}",
            format_bytes(flow.bytes_per_rank),
            f"{flow.calls:,}",
            flow.level,
            flow.criticality,
        )
    screen.say()
    screen.say("what one rank sends in one step", style="bold")
    screen.say(table if matrix.flows else "nothing: one device does it all")


def _table(gap: int = 2) -> "Table":
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
