"""The page's drawing of one step: every stage's boxes over time, and what comes after them."""

from collections.abc import Mapping

from irongrid.cli.plan import svg
from irongrid.cli.plan.timeline import SPLIT_BACKWARD, V_SHAPED, Box, Pipeline, boxes
from irongrid.cli.plan.words import PARTS
from irongrid.domain.plan import ParallelPlan
from irongrid.units import format_duration

WIDTH, LEFT, RIGHT = 920.0, 74.0, 20.0
# More boxes than this are neither legible nor quick to draw; what is left out repeats the middle.
BOXES_MAX = 8000
LANE_PX, LANES_PX = 22.0, 640.0
NUMBER_PX = 15.0
# What a stage does between its boxes' two ends, and what every stage does at the end of the step.
WITHIN = ("compute", "tp", "cp", "ep", "offload")
AFTER = ("dp", "optimizer", "overhead")
KINDS = {"F": "forward", "B": "backward", "W": "backward for weights"}


def pipeline_of(
    plan: ParallelPlan, parts_s: Mapping[str, float], head_blocks: float = 0.0
) -> tuple[Pipeline, int]:
    """The pipeline to draw, and how many of the plan's micro-batches it leaves out.

    Args:
        head_blocks: what the output layer computes, in blocks.
    """
    chunks = 2 if plan.schedule in V_SHAPED else max(1, plan.virtual_stages)
    chunks = 1 if plan.pp == 1 else chunks
    split = plan.pp > 1 and plan.schedule in SPLIT_BACKWARD
    kinds = 3 if split else 2
    drawn = max(BOXES_MAX // (plan.pp * chunks * kinds), 2 * plan.pp if plan.pp > 1 else 1, 4)
    if plan.pp == 1:
        drawn = min(drawn, 32)
    drawn = min(plan.grad_accum, drawn)
    work_s = sum(parts_s.get(name, 0.0) for name in WITHIN) / max(1, plan.grad_accum * chunks)
    # A matrix product costs twice as much backward, once for each input; full recomputation
    # repeats the forward pass there.
    forward = work_s / (4 if plan.recompute == "full" else 3)
    back = work_s - forward
    lengths_s = {"F": forward, "B": back}
    if split:
        lengths_s |= {"B": back - forward, "W": forward}
    weights = _weights(plan, head_blocks)
    schedule = plan.schedule if plan.pp > 1 else "1f1b"
    return Pipeline(schedule, plan.pp, chunks, drawn, lengths_s, weights), plan.grad_accum - drawn


def _weights(plan: ParallelPlan, head_blocks: float) -> tuple[float, ...]:
    """How long each stage takes for a micro-batch, over the slowest one.

    Stages in several pools have the layers with which each pool's take as long as the other's.
    """
    blocks = [float(layers) for layers in plan.stage_layers]
    if plan.stage_pools:
        pools = list(zip(plan.stage_pools, blocks, strict=True))
        most = {name: max(n for other, n in pools if other == name) for name, _ in pools}
        return tuple(layers / most[name] for name, layers in pools)
    if plan.pp > 1 and blocks:
        # A V brings the model's two ends together on the first stage.
        blocks[0 if plan.schedule in V_SHAPED else -1] += head_blocks
    return tuple(layers / max(blocks) for layers in blocks)


def timeline(
    plan: ParallelPlan, parts_s: Mapping[str, float], head_blocks: float = 0.0
) -> tuple[str, str]:
    """The drawing, and a sentence on what it shows; the arguments are those of `pipeline_of`."""
    pipeline, left_out = pipeline_of(plan, parts_s, head_blocks)
    drawn = boxes(pipeline)
    end_s = max(item.end_s for item in drawn)
    after = [(name, parts_s.get(name, 0.0)) for name in AFTER if parts_s.get(name, 0.0) > 0]
    whole_s = end_s + sum(length for _, length in after)
    lane = min(LANE_PX, LANES_PX / pipeline.stages)
    legend, rows = _legend(pipeline, after)
    top, room = 10.0 + 18.0 * rows, WIDTH - LEFT - RIGHT
    foot = top + lane * pipeline.stages + 4
    px_per_s = room / max(whole_s, 1e-30)
    out = [legend]
    for tick in svg.ticks(0, whole_s, 8):
        x = LEFT + tick * px_per_s
        out.append(svg.line(x, top, x, foot, "grid"))
        out.append(svg.text(x, foot + 15, f"{tick:g} s", anchor="middle", css="small"))
    every = max(1, -(-pipeline.stages // 16)) if lane < 14 else 1
    for stage in range(0, pipeline.stages, every):
        y = top + lane * stage + lane / 2 + 4
        out.append(svg.text(LEFT - 8, y, f"stage {stage}", anchor="end", css="small"))
    out += _passes(drawn, px_per_s, top, lane)
    x = LEFT + end_s * px_per_s
    for name, length_s in after:
        width = length_s * px_per_s
        hint = f"{PARTS[name]}: {format_duration(length_s)}"
        out.append(svg.box(x, top, width, lane * pipeline.stages - 1, f"step-{name}", hint))
        x += width
    picture = svg.drawing(WIDTH, foot + 22, out, f"{plan.schedule} on {plan.pp} stages")
    return picture, _words(plan, pipeline, left_out)


def _legend(pipeline: Pipeline, after: list[tuple[str, float]]) -> tuple[str, int]:
    kinds = [kind for kind in KINDS if kind in pipeline.lengths_s]
    entries = [(f"pass-{kind}0", KINDS[kind]) for kind in kinds]
    if pipeline.chunks > 1:
        entries.append(("pass-F1", "paler: the stage's later pieces of the model"))
    entries += [(f"step-{name}", PARTS[name]) for name, _ in after]
    return svg.legend(LEFT, 2, entries, WIDTH - LEFT)


def _passes(drawn: list[Box], px_per_s: float, top: float, lane: float) -> list[str]:
    """The boxes, grouped by look, and micro-batch numbers where there is room for them."""
    looks: dict[str, list[tuple[float, float, float, float]]] = {}
    numbers = []
    height = max(1.0, lane - 2)
    for item in drawn:
        x, y = LEFT + item.start_s * px_per_s, top + lane * item.stage
        width = (item.end_s - item.start_s) * px_per_s
        gap = 0.6 if width > 3 else 0.0
        look = f"pass-{item.kind}{min(item.chunk, 1)}"
        looks.setdefault(look, []).append((x, y, max(0.2, width - gap), height))
        if width >= NUMBER_PX and height >= 12:
            middle = x + width / 2
            number = str(item.micro_batch)
            numbers.append(
                svg.text(middle, y + height / 2 + 4, number, anchor="middle", css="number")
            )
    return [*(svg.boxes(places, look) for look, places in looks.items()), *numbers]


def _words(plan: ParallelPlan, pipeline: Pipeline, left_out: int) -> str:
    shown = (
        f"{pipeline.micro_batches} of {plan.grad_accum}" if left_out else f"all {plan.grad_accum}"
    )
    words = f"{shown} micro-batches per rank"
    where = f" on {plan.replicas[0].pool}" if plan.replicas else ""
    words += f" of {plan.micro_batch} x sequence{where}, schedule {plan.schedule}"
    if pipeline.chunks > 1:
        words += f" with {pipeline.chunks} pieces of the model on each stage"
    if left_out:
        words += "; those left out repeat the middle"
    return words + "."
