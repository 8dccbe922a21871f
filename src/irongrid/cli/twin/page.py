"""`--html`: a run, or two, as one self-contained page without scripts and without a network."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from irongrid.cli.plan import svg
from irongrid.cli.twin.differences import differences, sentences
from irongrid.cli.twin.figures import FIGURES
from irongrid.cli.twin.html import listed, page, section, table, tiles
from irongrid.cli.twin.spread_charts import bars, spread
from irongrid.cli.twin.time_charts import gantt, over_time
from irongrid.twin.runs import Run
from irongrid.twin.shapes import distribution, evenness
from irongrid.twin.trials import OWN_CLUSTER
from irongrid.units import format_duration

COLOURED = 7
_TEAMS_SHOWN = 12
_RULES = {
    "restart_s": "seconds of a restart, by devices",
    "first_start_s": "seconds of a first start",
    "recorded_avg_queue_s": "seconds of mean wait in the record",
    "invariants": "invariants of the state looked at",
    "history_jobs": "jobs before the window, for forecasts",
    "history_files": "earlier workloads, for forecasts",
}
_TILES = (
    ("avg_jct_s", "mean completion"), ("p99_jct_s", "p99 completion"), ("avg_queue_s", "mean wait"),
    ("utilisation", "of devices held"), ("gpu_hours", "device-hours"),
    ("preemptions_per_job", "preemptions a job"), ("held_usd", "for what was held"),
    ("fleet_usd", "for the whole fleet"), ("energy_kwh", "kWh"), ("carbon_kg", "kg CO2e"),
)  # fmt: skip


def run_page(run: Run) -> str:
    """The page of one run."""
    figures = run.figures
    colours = _colours([run])
    about = (
        f"{figures['jobs']:,} jobs on {figures['rules']['nodes']:,} nodes with "
        f"{sum(run.seen.node_devices):,} devices, policy {figures['policy']}"
    )
    return page(run.name, about, _run_sections(run, colours))


def compare_page(runs: tuple[Run, Run], found: Mapping[str, Any]) -> str:
    """The page of two runs side by side."""
    first, second = runs
    about = f"A is {first.name}, B is {second.name}"
    return page("Two runs side by side", about, _compare_sections(first, second, found))


def _run_sections(run: Run, colours: Mapping[str, str]) -> Iterator[str]:
    yield section("In figures", _tiles(run))
    yield section("Held and waited for", over_time([run.seen]))
    yield section("Who held what", *_gantt(run, colours))
    yield section("How long jobs took", _spreads([run]))
    yield section("Who got what", *_teams([run]))
    if run.fleet is not None:
        yield section("Money and energy", *_bill(run))
    yield section("What this rests on", _rules(run.figures), _caveat(run.figures))


def _compare_sections(first: Run, second: Run, found: Mapping[str, Any]) -> Iterator[str]:
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(found["paired"]))
    yield section("In figures", _both(first, second), said)
    key = '<p><span class="key-one">A</span> and <span class="key-two">B</span>.</p>'
    yield section("Held and waited for", key, over_time([first.seen, second.seen]))
    yield section("How long jobs took", key, _spreads([first, second]))
    yield section("Who got what", key, *_teams([first, second]))
    colours = _colours([first, second])
    for side, run in (("A", first), ("B", second)):
        yield section(f"Who held what in {side}", *_gantt(run, colours))
    assumed = found.get("assumptions")
    rest = listed(assumed) if assumed else _caveat(first.figures)
    yield section("What this rests on", rest, _rules(first.figures, second.figures))


def _tiles(run: Run) -> str:
    by_key = {figure.key: figure for figure in FIGURES}
    return tiles(
        [
            (by_key[key].text(run.figures), name)
            for key, name in _TILES
            if run.figures.get(key) is not None
        ]
    )


def _colours(runs: Sequence[Run]) -> dict[str, str]:
    """Classes for the teams with the most work."""
    hours: dict[str, float] = {}
    for run in runs:
        for row in run.figures["teams"]:
            hours[row["team"]] = hours.get(row["team"], 0.0) + row["device_hours"]
    ordered = sorted(hours, key=lambda team: (-hours[team], team))
    return {team: f"team-{at}" for at, team in enumerate(ordered[:COLOURED])}


def _gantt(run: Run, colours: Mapping[str, str]) -> tuple[str, str]:
    picture, words = gantt(run, colours)
    legend = ""
    if "Colours are teams" in words:
        entries = [(css, team[:24]) for team, css in colours.items()]
        if len(set(run.teams)) > len(colours):
            entries.append(("team-other", "others"))
        parts, rows = svg.legend(0, 2, entries, 920)
        legend = svg.drawing(920, 18.0 * rows, [parts], "Colours of the teams")
    return f"<p>{escape(words)}</p>{legend}", picture


def _spreads(runs: Sequence[Run]) -> str:
    jct = spread([distribution(run.jct_s) for run in runs], "completion time")
    wait = spread([distribution(run.queue_s) for run in runs], "wait")
    return f'<div class="pair">{jct}{wait}</div>'


def _teams(runs: Sequence[Run]) -> tuple[str, str, str]:
    sides = [{row["team"]: row for row in run.figures["teams"]} for run in runs]
    shown = [row["team"] for row in runs[0].figures["teams"][:_TEAMS_SHOWN]]
    shown = [team for team in shown if all(team in side for side in sides)]
    if not shown:
        return "<p>The two have no team in common.</p>", "", ""
    rows = [(team, [side[team]["avg_queue_s"] for side in sides]) for team in shown]
    cells = []
    for team in shown:
        row = sides[0][team]
        cells.append(
            [team, f"{row['jobs']:,}", f"{row['device_hours']:,.0f}"]
            + [format_duration(side[team]["avg_jct_s"]) for side in sides]
            + [format_duration(side[team]["p99_queue_s"]) for side in sides]
            + [f"{side[team]['mean_slowdown']:,.1f}" for side in sides]
        )
    marks = [""] if len(runs) == 1 else [" A", " B"]
    names = ["team", "jobs", "device-hours"]
    names += [f"{name}{mark}" for name in ("mean JCT", "p99 wait", "slowdown") for mark in marks]
    return _evenness(runs), f"<p>Mean wait:</p>{bars(rows, 'Mean wait')}", table(names, cells)


def _evenness(runs: Sequence[Run]) -> str:
    out, count = [], 0
    for run, mark in zip(runs, ("A", "B"), strict=False):
        values = [row["mean_slowdown"] for row in run.figures["teams"]]
        index, count = evenness(values), len(values)
        out.append(f"{index:.2f}" if len(runs) == 1 else f"{index:.2f} in {mark}")
    said = f"Evenness of the {count} teams' mean slowdowns (Jain's index, 1 is equal): "
    return f"<p>{escape(said + ', '.join(out))}.</p>"


def _bill(run: Run) -> tuple[str, str]:
    assert run.fleet is not None, "there is something to bill"
    wanted = [figure for figure in FIGURES if figure.key in
              ("held_usd", "fleet_usd", "energy_kwh", "carbon_kg")]  # fmt: skip
    cells = [[figure.name, figure.text(run.figures)] for figure in wanted]
    note = (
        "From the fleet file's prices and watts, between the first submit and the last end. A held "
        "device draws what a computing one draws on average, whether or not its job used it."
    )
    return table(["", run.fleet.name], cells), f"<p>{escape(note)}</p>"


def _both(first: Run, second: Run) -> str:
    body = []
    for figure in FIGURES:
        row = differences(figure, first, second)
        if row is not None:
            texts, style = row
            css = {"green": " better", "red": " worse"}.get(style, "")
            cells = "".join(f'<td class="figure{css}">{escape(text)}</td>' for text in texts)
            body.append(f"<tr><td>{escape(figure.name)}</td>{cells}</tr>")
    head = "<th></th>" + "".join(
        f'<th class="figure">{name}</th>' for name in ("A", "B", "B &minus; A", "B / A")
    )
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def _rules(*runs: Mapping[str, Any]) -> str:
    """The rules in force; a side by side where they differ."""
    sides = [
        {"workload": figures["dataset"], "policy": figures["policy"], **figures["rules"]}
        for figures in runs
    ]
    rows = []
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [_said(side[name]) if name in side else "-" for side in sides]
        if len(set(values)) == 1:
            cell = escape(values[0])
        else:
            cell = f"{escape(values[0])} in A, {escape(values[1])} in B"
        words = _RULES.get(name, name.replace("_", " "))
        rows.append(f"<tr><td>{escape(words)}</td><td>{cell}</td></tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {part}" for name, part in value.items())
    return str(value)


def _caveat(figures: Mapping[str, Any]) -> str:
    lasts = (
        "A job's speed is the one that was measured for its application on the devices that it "
        "gets."
        if figures["dataset"] in OWN_CLUSTER
        else "A job takes as long as the workload says, on whatever devices it gets."
    )
    return (
        f"<p>The decisions are those of the real control plane on virtual time. {lasts} People "
        "hand in the same jobs at the same moments, however long they wait.</p>"
    )
