"""Devices that were measured, told from the numbers of their data sheet.

A coefficient may know a device better than its generation does. The columns carry no names, so a
device is known by its generation, its dense peak, its memory rate and its power limit; one with
other numbers is `other` and follows its generation.
"""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Machine
from irongrid.domain.fleet import GENERATIONS

# Generation, dense bf16 or fp16 peak in 1e12 FLOP/s, memory in 1e9 byte/s, power limit in W, as in
# the catalog.
_SHEETS: dict[str, tuple[str, float, float, float]] = {
    "A100-40GB": ("ampere", 312.0, 1555.0, 400.0),
    "A100-80GB": ("ampere", 312.0, 2039.0, 400.0),
    "H100": ("hopper", 989.4, 3350.0, 700.0),
    "H100-500W": ("hopper", 989.4, 2400.0, 500.0),
    "B200": ("blackwell", 2250.0, 8000.0, 1000.0),
    "B300": ("blackwell", 2250.0, 8000.0, 1100.0),
    "GB200": ("blackwell", 2500.0, 8000.0, 1200.0),
    "GB300": ("blackwell", 2500.0, 8000.0, 1400.0),
}
DEVICES: tuple[str, ...] = ("other", *_SHEETS)


def device_of(machine: Machine) -> NDArray[np.int64]:
    """The code in DEVICES of each machine's device."""
    generation = np.asarray(machine.generation)
    numbers = (
        np.asarray(machine.half_flops_per_s) / 1e12,
        np.asarray(machine.hbm_bytes_per_s) / 1e9,
        np.asarray(machine.peak_watts),
    )
    shape = np.broadcast_shapes(generation.shape, *(number.shape for number in numbers))
    code = np.zeros(shape, dtype=np.int64)
    for index, (family, *sheet) in enumerate(_SHEETS.values(), start=1):
        same = generation == GENERATIONS.index(family)
        for number, printed in zip(numbers, sheet, strict=True):
            same = same & (np.abs(number / printed - 1) < 0.02)
        code = np.where(same, index, code)
    return code
