"""`--html`: one self-contained page, without scripts and without anything from the network."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from irongrid.cli.plan import words
from irongrid.cli.plan.charts import Bar, Point, scatter, stacked
from irongrid.cli.plan.report import Report
from irongrid.cli.plan.steps import timeline
from irongrid.planner.answer import PricedPlan, StageMemory
from irongrid.planner.matrix import CommunicationMatrix
from irongrid.planner.stage_split import head_blocks
from irongrid.units import format_bytes, format_duration

BARS_MAX = 8


def page(report: Report) -> str:
    """The page's text."""
    style = files("irongrid.cli.plan").joinpath("page.css").read_text("utf-8")
    sections = "\n".join(_sections(report))
    title = escape(report.model_name)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: how to split it</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<p>{escape(report.title)}</p>\n"
        f"<p>{escape(report.where)}</p>\n{sections}\n</body>\n</html>\n"
    )


def _sections(report: Report) -> Iterator[str]:
    plans = report.answer.plans
    best = plans[0]
    yield _section("The plan", _figures(best), _why(best))
    picture, shown = timeline(best.plan, best.parts_s, head_blocks(report.model, report.training))
    about = "Drawn from the plan's own figures, in the order of its schedule: "
    yield _section("One step, stage by stage", picture, f"<p>{about}{escape(shown)}</p>")
    yield _section("Where the step's time goes", _times(plans))
    yield _section("Memory of the fullest device", _memory(report, plans))
    if len(best.stage_memory) > 1:
        note = "<p>Of each device of the stage; the plan's figure is that of the fullest.</p>"
        yield _section("Memory of each stage", _stages(report, best), note)
    if report.pareto:
        yield _section("What else could be had", _front(report))
    if report.curve is not None and len(report.curve.points) > 1:
        yield _section("On other sizes", _curve(report))
    if report.matrix is not None and report.matrix.flows:
        yield _section("What one rank sends in one step", _traffic(report.matrix))
    yield _section("The best few", _table(plans))
    yield _section("How sure this is", f"<p>{escape(_caveat(best))}</p>")


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _figures(best: PricedPlan) -> str:
    """The chosen plan's figures, large."""
    step = f"{words.seconds(best.step_time_s)}"
    figures = [
        ("a step", step, f"9 of 10 runs under {words.seconds(best.step_time_s_p90)}"),
        ("tokens each second", words.number(best.tokens_per_s), f"{best.devices:,} devices"),
        ("MFU", f"{100 * best.mfu:.1f}%", f"HFU {100 * best.hfu:.1f}%"),
        (
            "GiB at the peak",
            words.gib(best.peak_memory_bytes_p95),
            f"p95; {words.gib(best.peak_memory_bytes)} expected",
        ),
        ("a step's energy", words.energy(best.energy_j_per_step), ""),
        ("a step's price", words.money(best.usd_per_step), ""),
        ("a step's CO2e", words.carbon(best.co2_g_per_step), ""),
    ]
    tiles = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(more)}</small></div>"
        for name, value, more in figures
        if value != "-"
    )
    runs = ", ".join(best.plan.runnable_by) or "no runtime that is known here"
    return (
        f'<p class="plan">{escape(words.headline(best))}</p>\n<div class="figures">{tiles}</div>\n'
        f"<p>Runs on: {escape(runs)}.</p>"
    )


def _why(best: PricedPlan) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in best.why)


def _times(plans: Sequence[PricedPlan]) -> str:
    bars = [
        Bar(
            words.degrees(priced.plan),
            {name: priced.parts_s.get(name, 0.0) for name in words.PARTS},
            priced.step_time_s_p90,
            is_chosen=number == 0,
        )
        for number, priced in enumerate(plans[:BARS_MAX])
    ]
    milliseconds = plans[0].step_time_s < 0.5
    return stacked(
        bars,
        label="Parts of a step's time for the best few plans",
        unit="ms" if milliseconds else "s",
        scale=1e-3 if milliseconds else 1.0,
        css="step",
        words=words.PARTS,
        mark_name="p90",
    )


def _memory(report: Report, plans: Sequence[PricedPlan]) -> str:
    bars = [
        _memory_bar(report, words.degrees(priced.plan), priced.fullest, is_chosen=number == 0)
        for number, priced in enumerate(plans[:BARS_MAX])
    ]
    return _memory_bars(bars, "Peak memory by part for the best few plans, with the device's limit")


def _stages(report: Report, best: PricedPlan) -> str:
    """The chosen plan's memory, stage by stage."""
    several = len({stage.pool for stage in best.stage_memory}) > 1
    bars = [
        _memory_bar(
            report,
            f"stage {stage.stage}" + (f" on {stage.pool}" if several else ""),
            stage,
            is_chosen=stage is best.fullest,
        )
        for stage in best.stage_memory
    ]
    return _memory_bars(bars, "Peak memory by part for each stage, with its device's limit")


def _memory_bar(report: Report, name: str, stage: StageMemory, *, is_chosen: bool) -> Bar:
    return Bar(
        name,
        {part: float(stage.parts_bytes.get(part, 0)) for part in words.MEMORY_PARTS},
        float(stage.peak_memory_bytes_p95),
        is_chosen=is_chosen,
        limit=float(report.fleet.pool(stage.pool).accelerator.memory_bytes),
    )


def _memory_bars(bars: Sequence[Bar], label: str) -> str:
    limits = {bar.limit for bar in bars if bar.limit is not None}
    small = min(limits) < words.GIB
    has = f"the device has {words.gib(min(limits))} GiB"
    return stacked(
        bars,
        label=label,
        unit="MiB" if small else "GiB",
        scale=2**20 if small else words.GIB,
        css="memory",
        words={name: name for name in words.MEMORY_PARTS},
        mark_name="p95",
        limit_name=has if len(limits) == 1 else "dashed: what its device has",
    )


def _front(report: Report) -> str:
    """One chart for each figure that trades against time."""
    chosen = report.answer.plans[0].plan
    charts = []
    for name, figure in (
        ("dollars a step", "usd_per_step"),
        ("joules a step", "energy_j_per_step"),
        ("grams of CO2e a step", "co2_g_per_step"),
    ):
        points = [
            Point(
                priced.step_time_s,
                float(getattr(priced, figure)),
                f"{priced.devices:,}: {words.degrees(priced.plan)}",
                is_chosen=priced.plan == chosen,
            )
            for priced in report.pareto
            if getattr(priced, figure) is not None
        ]
        if points:
            charts.append(scatter(points, x_name="seconds a step", y_name=name))
    note = (
        "<p>Plans of which none is better in every figure: less of one costs more of another. "
        "The number before the degrees counts devices.</p>"
    )
    return f'<div class="pair">{"".join(charts)}</div>{note}'


def _curve(report: Report) -> str:
    """One chart for each type of device."""
    assert report.curve is not None
    best = report.answer.plans[0]
    chosen_type = report.pool_of(best).accelerator.name
    charts = []
    for kind in dict.fromkeys(point.device_type for point in report.curve.points):
        points = [
            Point(
                float(point.devices),
                point.work_per_s_p50,
                f"{point.devices:,}",
                is_chosen=(kind, point.devices) == (chosen_type, best.devices),
            )
            for point in report.curve.points
            if point.device_type == kind
        ]
        y_name = f"{report.curve.unit_of_work} a second"
        charts.append(scatter(points, x_name=f"{kind} devices", y_name=y_name))
    return f'<div class="pair">{"".join(charts)}</div>'


def _table(plans: Sequence[PricedPlan]) -> str:
    names = ("", "degrees", "micro-batch", "schedule", "sharding", "pool", "devices", "step",
             "p90", "MFU", "GiB p95", "$ a step", "energy", "besides")  # fmt: skip
    rows = []
    for number, priced in enumerate(plans):
        plan = priced.plan
        cells = (
            "chosen" if number == 0 else str(number + 1),
            words.degrees(plan),
            words.micro_batch(plan),
            words.schedule(plan),
            words.sharding(plan),
            priced.pool,
            f"{priced.devices:,}",
            words.seconds(priced.step_time_s),
            words.seconds(priced.step_time_s_p90),
            f"{100 * priced.mfu:.1f}%",
            words.gib(priced.peak_memory_bytes_p95),
            words.money(priced.usd_per_step),
            words.energy(priced.energy_j_per_step),
            words.extras(plan) or "-",
        )
        rows.append(_row(cells, css=' class="best"' if number == 0 else ""))
    return _rows(names, rows)


def _traffic(matrix: CommunicationMatrix) -> str:
    names = ("axis", "collective", "ranks of a group", "groups", "sent by a rank", "calls",
             "within one", "")  # fmt: skip
    flows = sorted(matrix.flows, key=lambda flow: -flow.bytes_per_rank)
    return _rows(
        names,
        [
            _row(
                (
                    words.PARTS.get(flow.axis, flow.axis),
                    flow.collective,
                    f"{flow.ranks:,}",
                    f"{flow.groups:,}",
                    format_bytes(flow.bytes_per_rank),
                    f"{flow.calls:,}",
                    flow.level,
                    flow.criticality,
                )
            )
            for flow in flows
        ],
    )


def _row(cells: Sequence[str], css: str = "") -> str:
    return f"<tr{css}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _rows(names: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _caveat(best: PricedPlan) -> str:
    spread = 100 * (best.step_time_s_p90 / best.step_time_s - 1)
    return (
        "These are estimates from formulas whose coefficients were fitted on published runs, not "
        f"measurements. For this plan 9 of 10 runs should stay within {spread:.0f}% of the step "
        f"time shown ({format_duration(best.step_time_s)}), and 19 of 20 within the p95 of memory. "
        "MFU counts the operations that the model needs, HFU also those done again, both over the "
        "dense peak of the devices in the plan's precision."
    )
