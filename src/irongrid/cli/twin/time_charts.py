"""What was held and what waited over time, and who held which node when."""

from collections.abc import Mapping, Sequence

from irongrid.cli.plan import svg
from irongrid.cli.plan.charts import labelled
from irongrid.cli.twin.axes import Clock
from irongrid.twin.recorder import Seen, Stretch
from irongrid.twin.runs import Run
from irongrid.twin.shapes import held, shades, waiting

WIDTH, LEFT, RIGHT = 920.0, 76.0, 14.0
_HELD_HEIGHT, _WAITING_HEIGHT, _GAP = 150.0, 90.0, 26.0
# Beyond so many nodes single stretches are too thin to be seen.
_NODES_DRAWN = 64
_SHADES = 6
_GANTT_HEIGHT = 320.0
SIDES = ("one", "two")


def over_time(sides: Sequence[Seen], name: str = "the fleet has") -> str:
    """Devices held and devices that waiting jobs asked for, for one run or two.

    Args:
        name: what the line is called at as many devices as there are.
    """
    clock = Clock(LEFT, WIDTH - LEFT - RIGHT, max(seen.end_s for seen in sides))
    in_use = [(seen, held(seen)) for seen in sides]
    asked = [(seen, waiting(seen)) for seen in sides]
    capacities = [float(sum(seen.node_devices)) for seen in sides]
    top = 18.0
    foot = top + _HELD_HEIGHT
    out = [svg.text(LEFT, 11, "devices held", css="small")]
    out += _band(clock, top, _HELD_HEIGHT, in_use, max(capacities))
    for number, capacity in enumerate(dict.fromkeys(capacities)):
        y = foot - _HELD_HEIGHT * capacity / max(capacities)
        out.append(svg.line(LEFT, y, WIDTH - RIGHT, y, "limit"))
        words = f"{name} {capacity:,.0f}"
        at = WIDTH - RIGHT - 4 - 150 * number
        out.append(svg.text(at, y - 4, words, anchor="end", css="small limit-name"))
    low = foot + _GAP
    out.append(svg.text(LEFT, low - 7, "devices that waiting jobs asked for", css="small"))
    most = max(4.0, *(max(values) for _, values in asked))
    out += _band(clock, low, _WAITING_HEIGHT, asked, most)
    out += clock.grid(low + _WAITING_HEIGHT, low + _WAITING_HEIGHT)
    return svg.drawing(WIDTH, low + _WAITING_HEIGHT + 34, out, "Devices held and waited for")


def _band(
    clock: Clock,
    top: float,
    height: float,
    series: Sequence[tuple[Seen, Sequence[float]]],
    most: float,
) -> list[str]:
    """One chart of amounts over time: an area for the first, a line for the second."""
    foot = top + height
    out = []
    for tick, words in labelled(svg.ticks(0, most, 3)):
        y = foot - height * tick / most
        out.append(svg.line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        out.append(svg.text(LEFT - 6, y + 4, words, anchor="end", css="small"))
    for (seen, values), side in zip(series, SIDES, strict=False):
        points = _steps(clock, seen, values, foot, height / most)
        if side == "one":
            area = [(points[0][0], foot), *points, (points[-1][0], foot)]
            out.append(svg.path(area, "area-one"))
        out.append(svg.path(points, f"line-{side}"))
    return out


def _steps(
    clock: Clock, seen: Seen, values: Sequence[float], foot: float, scale: float
) -> list[tuple[float, float]]:
    points = []
    for at, value in enumerate(values):
        y = foot - scale * value
        points.append((clock.x(at * seen.bin_s), y))
        points.append((clock.x(min((at + 1) * seen.bin_s, seen.end_s)), y))
    return points


def gantt(run: Run, colours: Mapping[str, str]) -> tuple[str, str]:
    """Who held which node when, and in words how to read it.

    Args:
        colours: a class for each team that has one of its own.
    """
    seen = run.seen
    if seen.stretches is not None and len(seen.node_ids) <= _NODES_DRAWN:
        return _single(run, seen.stretches, colours), (
            "A row is a node, and its height all of the node's devices. Colours are teams."
        )
    rows = len(seen.held)
    per = "a node" if seen.nodes_per_row == 1 else f"{seen.nodes_per_row} nodes"
    return _shaded(seen), (
        f"There were too many jobs to draw each: {rows} rows of {per}, the darker the more of its "
        "devices were held."
    )


def _row_height(rows: int) -> float:
    return min(56.0, max(9.0, _GANTT_HEIGHT / rows))


def _single(run: Run, stretches: Sequence[Stretch], colours: Mapping[str, str]) -> str:
    seen = run.seen
    height = _row_height(len(seen.node_ids))
    clock = Clock(LEFT, WIDTH - LEFT - RIGHT, seen.end_s)
    foot = height * len(seen.node_ids) + 4
    teams = dict(zip(run.ids, run.teams, strict=True))
    places: dict[str, list[tuple[float, float, float, float]]] = {}
    for stretch in stretches:
        lane = (height - 2) / seen.node_devices[stretch.node]
        x, y = clock.x(stretch.from_s), height * stretch.node + 2
        width = max(0.4, clock.x(stretch.to_s) - x)
        width -= min(0.6, width / 4)  # Neighbours of one team stay two jobs.
        mine = places.setdefault(colours.get(teams[stretch.job], "team-other"), [])
        for first, count in _together(stretch.devices):
            mine.append((x, y + lane * first, width, lane * count - min(0.8, lane / 4)))
    out = clock.grid(0, foot)
    for node, name in enumerate(seen.node_ids):
        y = height * node
        out.append(svg.line(LEFT, y + height, WIDTH - RIGHT, y + height, "grid"))
        if height > 9 or node % 2 == 0:
            label = svg.text(LEFT - 6, y + height / 2 + 4, name[:12], anchor="end", css="small")
            out.append(label)
    out += [svg.boxes(boxes, css) for css, boxes in sorted(places.items())]
    return svg.drawing(WIDTH, foot + 34, out, "Who held which node when")


def _together(devices: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of neighbours: the first device and how many."""
    out: list[tuple[int, int]] = []
    for device in sorted(devices):
        if out and sum(out[-1]) == device:
            out[-1] = out[-1][0], out[-1][1] + 1
        else:
            out.append((device, 1))
    return out


def _shaded(seen: Seen) -> str:
    """Rows of nodes over time, shaded by the share of their devices that was held."""
    lines = shades(seen, _SHADES)
    height = _row_height(len(lines))
    clock = Clock(LEFT, WIDTH - LEFT - RIGHT, seen.end_s)
    foot = height * len(lines) + 4
    places: dict[int, list[tuple[float, float, float, float]]] = {}
    for row, line in enumerate(lines):
        for from_s, to_s, level in line:
            x = clock.x(from_s)
            box = (x, height * row + 1, clock.x(to_s) - x, height - 1)
            places.setdefault(level, []).append(box)
    out = clock.grid(0, foot)
    for row in range(0, len(lines), max(1, len(lines) // 16)):
        name = seen.node_ids[row * seen.nodes_per_row]
        y = height * row + height / 2 + 4
        out.append(svg.text(LEFT - 6, y, name[:12], anchor="end", css="small"))
    out += [svg.boxes(boxes, f"shade-{level}") for level, boxes in sorted(places.items())]
    entries = [
        (f"shade-{level}", f"up to {100 * level // _SHADES}%") for level in range(1, _SHADES + 1)
    ]
    legend, _ = svg.legend(LEFT, foot + 36, entries, WIDTH - LEFT)
    return svg.drawing(WIDTH, foot + 52, [*out, legend], "Share of each node's devices held")
