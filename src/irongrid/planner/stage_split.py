"""Stages of unequal depth: how many blocks each stage gets where an even split is not the best.

The last stage also computes the output layer, which for a small model with a large vocabulary takes
as long as several blocks. Llama 3 405B was trained with fewer layers at both ends for balance
(arXiv:2407.21783, section 3.3.2, 2024-07).
"""

import numpy as np

from irongrid.cost.flops import forward_flops_per_token
from irongrid.cost.inputs import work_of
from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.planner.table import Table, join, take

# The slowest stage must get so much faster that another split is worth a candidate of its own.
_WORTH = 0.98


def stage_layers(layers: int, pp: int, last: int) -> tuple[int, ...]:
    """Blocks of each stage, of which the last one has `last`.

    Others differ by one at most: stages before the fullest ones are relieved first, as they keep
    more micro-batches, and so is the end beside the output layer.
    """
    blocks, left_over = divmod(layers, pp)
    if last < blocks:
        blocks, left_over = divmod(layers - last, pp - 1)
        return (*(blocks,) * (pp - 1 - left_over), *(blocks + 1,) * left_over, last)
    fewer = pp - left_over if left_over else 0
    # The last stage is relieved first: its output layer weighs more than an embedding.
    behind = -(-fewer // 2)
    most = blocks + (left_over > 0)
    return (*(blocks,) * (fewer - behind), *(most,) * (pp - fewer), *(blocks,) * behind)


def with_relieved_ends(table: Table, model: ModelShape, training: Training) -> Table:
    """The families, and those again whose last stage is worth relieving, with fewer blocks there.

    Args:
        table: has `blocks`, of the fullest stage, and `last_blocks`.
    """
    head = head_blocks(model, training)
    better = {
        pp: split
        for pp in np.unique(table["pp"][table["virtual_stages"] == 1]).tolist()
        if (split := relieved(model.layers, pp, head))
    }
    which = np.isin(table["pp"], list(better)) & (table["virtual_stages"] == 1)
    if not which.any():
        return table
    again = take(table, which)
    splits = np.array([better[pp] for pp in again["pp"].tolist()], dtype=np.int64)
    again |= {
        "blocks": splits[:, 0],
        "last_blocks": splits[:, 1],
        "short_ends": np.zeros(len(splits), dtype=np.int64),
    }
    return join([table, again])


def with_split(table: Table, split: tuple[int, ...]) -> Table:
    """The families of so many stages, each once, with these blocks on each stage.

    Args:
        table: families of `len(split)` stages.
    """
    # Pieces of a stage are equally long.
    whole = np.gcd.reduce(split) % np.maximum(table["virtual_stages"], 1) == 0
    once = table["last_blocks"] >= sum(split) // len(split)
    table = take(table, whole & once)
    blocks = np.ones_like(table["pp"])
    return table | {
        "blocks": max(split) * blocks,
        "last_blocks": split[-1] * blocks,
        "short_ends": 0 * blocks,
    }


def head_blocks(model: ModelShape, training: Training) -> float:
    """What the last stage computes besides its blocks, in blocks."""
    work = work_of(model, training)
    whole = float(forward_flops_per_token(work))
    head = 2.0 * model.vocab * model.hidden * (1 + model.prediction_layers)
    block = (whole - head) / (model.layers + model.prediction_layers)
    return head / block + model.prediction_layers


def relieved(layers: int, pp: int, head: float) -> tuple[int, int] | None:
    """Blocks of the fullest and of the last stage that make the slowest stage fastest.

    None where that is the even split, or hardly better.

    Args:
        head: the output layer, in blocks.
    """
    even = -(-layers // pp)
    slowest = max(even, layers // pp + head)
    best: tuple[int, int] | None = None
    for most in range(even, even + 1 + int(np.ceil(head))) if pp > 1 else ():
        last = max(1, layers - (pp - 1) * most)
        is_new = last < layers // pp and -(-(layers - last) // (pp - 1)) == most
        if is_new and max(most, last + head) < slowest * (_WORTH if best is None else 1.0):
            best, slowest = (most, last), max(most, last + head)
    return best
