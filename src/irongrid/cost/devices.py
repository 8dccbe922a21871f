"""Devices that were measured, told from the numbers of their data sheet.

A coefficient may know a device better than its generation does. The columns carry no names, so a
device is known by its generation, its dense peak and its power limit; one with other numbers is
`other` and follows its generation.
"""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Machine
from irongrid.domain.fleet import GENERATIONS

# Generation, dense bf16 or fp16 peak in 1e12 FLOP/s and power limit in W, as in the catalog.
_SHEETS: dict[str, tuple[str, float, float]] = {
    "A100": ("ampere", 312.0, 400.0),
    "H100": ("hopper", 989.4, 700.0),
    "H100-500W": ("hopper", 989.4, 500.0),
    "B200": ("blackwell", 2250.0, 1000.0),
    "B300": ("blackwell", 2250.0, 1100.0),
    "GB200": ("blackwell", 2500.0, 1200.0),
    "GB300": ("blackwell", 2500.0, 1400.0),
}
DEVICES: tuple[str, ...] = ("other", *_SHEETS)


def device_of(machine: Machine) -> NDArray[np.int64]:
    """The code in DEVICES of each machine's device."""
    code = np.zeros(
        np.broadcast_shapes(
            np.shape(machine.generation),
            np.shape(machine.half_flops_per_s),
            np.shape(machine.peak_watts),
        ),
        dtype=np.int64,
    )
    for index, (generation, teraflops, watts) in enumerate(_SHEETS.values(), start=1):
        same = np.asarray(machine.generation) == GENERATIONS.index(generation)
        same = same & (np.abs(np.asarray(machine.half_flops_per_s) / (teraflops * 1e12) - 1) < 0.02)
        same = same & (np.abs(np.asarray(machine.peak_watts) / watts - 1) < 0.02)
        code = np.where(same, index, code)
    return code
