"""How software behaves, by name."""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column

# Host time per layer, what overlaps, which attention kernel: they go with the software. The era
# counts: Megatron of 2021 has no flash attention, and a release of a framework may halve the host
# time.
BEHAVIOURS: tuple[str, ...] = (
    "generic", "megatron", "megatron-2021", "megatron-2022", "megatron-deepspeed", "zero3-2021",
    "llm-foundry", "torchtitan", "torchtitan-async", "torchtitan-eager", "megatron-bridge",
    "megatron-bridge-2604", "megatron-bridge-2511", "megatron-bridge-2509", "nemo", "deepspeed",
    "fsdp2", "maxtext", "irongrid",
)  # fmt: skip
# Behaviours whose attention writes its scores to memory: before flash attention was usual.
UNFUSED: frozenset[str] = frozenset(
    {"megatron-2021", "megatron-2022", "megatron-deepspeed", "zero3-2021"}
)
# Behaviours that share most of their code.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("megatron-2021", "megatron-2022"), ("megatron-deepspeed",), ("zero3-2021", "deepspeed"),
    ("torchtitan", "torchtitan-async", "torchtitan-eager", "fsdp2", "irongrid"),
    ("llm-foundry",), ("maxtext",),
    (
        "megatron", "megatron-bridge", "megatron-bridge-2604", "megatron-bridge-2511",
        "megatron-bridge-2509", "nemo",
    ),
)  # fmt: skip
_FAMILY = np.array(
    [
        next((i for i, family in enumerate(FAMILIES) if word in family), len(FAMILIES))
        for word in BEHAVIOURS
    ]
)


def family_of(codes: Column) -> NDArray[np.int64]:
    """The code of each behaviour's family, `len(FAMILIES)` where it has none."""
    return np.asarray(_FAMILY[np.asarray(codes, np.int64)])
