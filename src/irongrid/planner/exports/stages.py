"""Which blocks of the model each stage holds, and each of its virtual pieces."""

from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan

# The second piece of a stage runs back towards the first stage, in a V.
V_SCHEDULES = frozenset({"zbv", "dualpipev"})


def split(count: int, parts: int) -> tuple[int, ...]:
    """Parts that differ by one at most, the larger ones first."""
    return tuple(count // parts + (part < count % parts) for part in range(parts))


def stage_layers(plan: ParallelPlan, model: ModelShape) -> tuple[int, ...]:
    """Blocks of each stage, first to last."""
    return plan.stage_layers or split(model.layers, plan.pp)


def pieces_per_stage(plan: ParallelPlan) -> int:
    """Virtual pieces of one stage."""
    return 2 if plan.schedule in V_SCHEDULES else plan.virtual_stages


def pieces(plan: ParallelPlan, model: ModelShape) -> tuple[int, ...]:
    """Blocks of each piece in the order of the model.

    Looping schedules deal pieces out to stages round by round; V schedules go down and come back.
    """
    each = [split(layers, pieces_per_stage(plan)) for layers in stage_layers(plan, model)]
    rounds = [list(column) for column in zip(*each, strict=True)]
    if plan.schedule in V_SCHEDULES:
        rounds[1].reverse()
    return tuple(layers for column in rounds for layers in column)


def even(plan: ParallelPlan, model: ModelShape) -> bool:
    """Whether all pieces are of one depth."""
    return len(set(pieces(plan, model))) == 1
