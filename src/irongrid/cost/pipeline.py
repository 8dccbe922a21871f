"""Time of a pipeline of stages: how many micro-batches fill it, and what its ends cost.

1F1B idles for (p - 1) micro-batches, interleaving divides that by the pieces of a stage; the
zero-bubble schedules fill most of it with weight gradients.
Sources: Narayanan et al., arXiv:2104.04473; Qi et al., arXiv:2401.10241 and 2405.15362;
DeepSeek-V3, arXiv:2412.19437, table 2.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Column, Layout, Work
from irongrid.cost.words import look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Seconds of one micro-batch, forward and backward.

    Attributes:
        slowest_s: on the slowest stage.
        sum_s: over all stages.
    """

    slowest_s: Column
    sum_s: Column


def stages_of(work: Work, layout: Layout, block_s: Column, head_s: Column) -> Stages:
    """Stages of equal blocks; the last one has the output layer as well.

    With `short_ends` the first and the last stage have one block less than the others, unless the
    layout says how many there are.
    """
    deep = np.asarray(layout.pp, float)
    short = np.where(deep > 1, layout.short_ends, 0)
    even = (np.asarray(work.layers, float) + 2 * short) / deep
    most = np.where(np.asarray(layout.most_blocks) > 0, layout.most_blocks, even)
    pieces = np.maximum(np.asarray(layout.virtual_stages, float), 1)
    whole = np.ceil(most / pieces - 1e-9) * pieces
    full = np.where(deep > 1, np.minimum(whole, most * 1.5), most)
    ends = np.where(np.asarray(layout.last_blocks) > 0, layout.last_blocks, even - short)
    last = np.minimum(ends, full) * block_s + head_s
    return Stages(
        slowest_s=np.maximum(full * block_s, last),
        sum_s=work.layers * np.asarray(block_s) + head_s,
    )


def bubble_s(stages: Stages, layout: Layout, c: Coefficients) -> Column:
    """Seconds that the slowest stage waits while the pipeline fills and drains."""
    factor = look_up(c.bubble, layout.schedule) / np.maximum(layout.virtual_stages, 1)
    waits = np.maximum(np.asarray(stages.sum_s) - stages.slowest_s, 0.0)
    return np.where(np.asarray(layout.pp) > 1, factor * waits, 0.0)
