"""Which blocks and micro-batches a pipeline stage holds: the stages that can be the fullest.

A stage is described by columns, one entry per plan. Only three can be the fullest: the first one
(embedding, most micro-batches in flight), the second (a full set of blocks where the ends are
short) and the last (output layer and logits).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Layout, Work
from irongrid.domain.plan import SCHEDULES

Array = NDArray[np.float64]

_INTERLEAVED, _ZB_1P, _ZB_2P, _ZBV, _DUALPIPEV = (
    SCHEDULES.index(name) for name in ("interleaved", "zb-1p", "zb-2p", "zbv", "dualpipev")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage holds.

    Attributes:
        dense_blocks, expert_blocks: blocks without and with experts; extra prediction blocks count
            as what the model's last block is.
        embeds, heads: 1 where the stage holds the embedding, or computes logits.
        in_flight: micro-batches whose activations the stage keeps at once.
    """

    dense_blocks: Array
    expert_blocks: Array
    embeds: Array
    heads: Array
    in_flight: Array


def in_flight(layout: Layout, rank: Array, waiting_chunks: float) -> Array:
    """Micro-batches whose activations stage `rank` keeps at the peak.

    1F1B: as many as there are stages from here to the end. Interleaved: its warm-up of
    `2 (p - r - 1) + (v - 1) p` chunks, the running one and those that wait for a transfer. ZB-1P
    fills every stage to the first one's level, ZB-2P to twice that; the V-shaped ones are even.

    Sources: Narayanan et al., arXiv:2104.04473, section 2.2 (2021-04); Qi et al.,
    arXiv:2401.10241, section 2 and table 4 (2024-01), and arXiv:2405.15362 (2024-05) for V shapes;
    DeepSeek-V3, arXiv:2412.19437, table 2 (2024-12) for the `p + 1` of DualPipe.
    """
    pp = np.asarray(layout.pp, dtype=np.float64)
    pieces = np.maximum(layout.virtual_stages, 1)
    chunks = 2.0 * (pp - rank - 1) + (pieces - 1) * pp + 1 + waiting_chunks
    schedule = np.asarray(layout.schedule)
    held = np.select(
        [schedule == code for code in (_INTERLEAVED, _ZB_1P, _ZB_2P, _ZBV, _DUALPIPEV)],
        [chunks / pieces, pp, 2.0 * pp, pp, pp + 1],
        pp - rank,
    )
    held = np.minimum(held, np.asarray(layout.grad_accum, dtype=np.float64))
    return np.where(pp > 1, held, 1.0)


def stage_at(
    work: Work,
    layout: Layout,
    rank: Array,
    waiting_chunks: float,
    *,
    blocks: Array | None = None,
) -> Stage:
    """What the stage at this rank holds.

    Args:
        blocks: of the stage; without it the blocks are spread as the layout says: evenly, with one
            fewer at both ends, or with those of its fullest and its last stage.
    """
    pp = np.asarray(layout.pp, dtype=np.float64)
    is_first, is_last = np.asarray(rank == 0), np.asarray(rank == pp - 1)
    if blocks is None:
        short = np.where(pp > 1, layout.short_ends, 0)
        even = np.ceil((work.layers + 2.0 * short) / pp)
        even = np.where(np.asarray(layout.most_blocks) > 0, layout.most_blocks, even)
        blocks = even - np.where(is_first | is_last, short, 0.0)
        said = is_last & (np.asarray(layout.last_blocks) > 0)
        blocks = np.where(said, layout.last_blocks, blocks)
    schedule = np.asarray(layout.schedule)
    # A V brings the model's two ends together on the first rank.
    is_v = (pp > 1) & ((schedule == _ZBV) | (schedule == _DUALPIPEV))
    heads = np.where(is_v, is_first, is_last).astype(np.float64)
    is_mixture = np.asarray(work.expert_layers) > 0
    # A model's dense blocks come first; later stages hold blocks with experts only.
    leading = np.minimum(blocks, np.maximum(work.layers - work.expert_layers, 0.0))
    dense = np.where(is_mixture, np.where(is_first, leading, 0.0), blocks)
    extra = heads * work.prediction_layers
    return Stage(
        dense_blocks=dense + np.where(is_mixture, 0.0, extra),
        expert_blocks=blocks - dense + np.where(is_mixture, extra, 0.0),
        embeds=is_first.astype(np.float64),
        heads=heads,
        in_flight=in_flight(layout, rank, waiting_chunks),
    )


def fullest_stages(work: Work, layout: Layout, waiting_chunks: float) -> tuple[Stage, ...]:
    """The stages that can be the fullest; one of them where there is no pipeline.

    The second stage can only exceed the first where it holds more blocks, or blocks with experts
    in place of leading dense ones.
    """
    pp = np.asarray(layout.pp, dtype=np.float64)
    ranks = [np.zeros_like(pp), pp - 1]
    if np.any(np.asarray(layout.short_ends) > 0) or np.any(np.asarray(work.expert_layers) > 0):
        ranks.append(np.minimum(1.0, pp - 1))
    return tuple(stage_at(work, layout, rank, waiting_chunks) for rank in ranks)
