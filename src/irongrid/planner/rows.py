"""Between rows of a table and plans: the columns that cost reads, and one row as a plan."""

from dataclasses import replace

import numpy as np

from irongrid.cost.columns import Layout
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.runtime import runnable_by
from irongrid.domain.training import Training
from irongrid.planner.space import SHARES, WORDS
from irongrid.planner.stage_split import stage_layers
from irongrid.planner.table import Table


def layout(table: Table) -> Layout:
    """The table's candidates as the columns of `cost`."""
    return Layout(
        tp=table["tp"],
        pp=table["pp"],
        dp_replicate=table["dp"] // table["dp_shard"],
        dp_shard=table["dp_shard"],
        cp=table["cp"],
        ep=table["ep"],
        micro_batch=table["micro_batch"],
        grad_accum=table["grad_accum"],
        virtual_stages=table["virtual_stages"],
        schedule=table["schedule"],
        zero=table["zero"],
        recompute=table["recompute"],
        recompute_share=np.where(table["recompute"] > 0, table["recompute_share"] / SHARES, 1.0),
        offload=table["offload"],
        offload_tier=table["offload_tier"],
        sequence_parallel=table["sequence_parallel"],
        context=table["context"],
        compression=table["compression"],
        short_ends=table["short_ends"],
        most_blocks=table["blocks"],
        last_blocks=table["last_blocks"],
    )


def plan_of(
    table: Table, row: int, model: ModelShape, training: Training, split: tuple[int, ...] = ()
) -> ParallelPlan:
    """One candidate as a plan.

    Args:
        split: blocks of each stage where they are fixed.
    """
    cell = {name: int(values[row]) for name, values in table.items()}
    word = {name: WORDS[name][cell[name]] for name in WORDS}
    blocks = split or stage_layers(model.layers, cell["pp"], cell["last_blocks"])
    share = cell["recompute_share"]
    partly = word["recompute"] != "none" and share < SHARES
    plan = ParallelPlan(
        world_size=cell["devices"],
        pp=cell["pp"],
        dp_replicate=cell["dp"] // cell["dp_shard"],
        dp_shard=cell["dp_shard"],
        cp=cell["cp"],
        tp=cell["tp"],
        ep=cell["ep"],
        micro_batch=cell["micro_batch"],
        grad_accum=cell["grad_accum"],
        virtual_stages=cell["virtual_stages"],
        stage_layers=blocks,
        recompute_layers=tuple(-(-n * share // SHARES) for n in blocks) if partly else (),
        precision=training.precision,
        sequence_parallel=bool(cell["sequence_parallel"]),
        schedule=word["schedule"],
        zero=word["zero"],
        recompute=word["recompute"],
        offload=word["offload"],
        offload_tier=word["offload_tier"],
        context=word["context"],
        compression=word["compression"],
    )
    return replace(plan, runnable_by=runnable_by(plan))
