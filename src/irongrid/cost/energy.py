"""Energy of one optimizer step: what devices draw while they compute, move data and wait.

A device that waits draws a share of the way from idle to its limit, one that computes nearly all
of it, whether or not its kernels are efficient: in the measured sweeps, ResNet-50 at 60% of its
best rate draws what it draws at 100%. Between the two, draw follows the share of time in work.
`validation/power.py` checks this against measured runs on four devices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column, Machine, StepTime

Array = NDArray[np.float64]

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCoefficients:
    """Shares of the way from a device's idle draw to its limit.

    Attributes:
        waiting_share: of a device that holds a context and waits for a host or for another device.
        busy_share: of a device that computes.
        moving_load: of a device that moves data, as a share of the way from waiting to computing.

    The first two are medians over V100, P100, A40 and RTX 6000 (Zeus traces, NSDI 2023), by
    `validation/power.py`. No measured source gives the third: exposed communication is said to draw
    much less than computing (arXiv:2508.14318, 2025-08), and the middle is taken.
    """

    waiting_share: float = 0.10
    busy_share: float = 0.86
    moving_load: float = 0.5


# Which parts of a step are which kind of work; the others are waits.
_COMPUTING = ("compute",)
_MOVING = ("tp", "cp", "ep", "dp", "optimizer")


def load_of(step: StepTime, coefficients: PowerCoefficients) -> Array:
    """Share of a step that its devices work, 0 to 1; moving data counts in part."""
    computing = np.asarray(sum(step.parts_s[name] for name in _COMPUTING))
    moving = np.asarray(sum(step.parts_s[name] for name in _MOVING))
    work_s = computing + coefficients.moving_load * moving
    return np.asarray(np.clip(work_s / np.maximum(step.p50_s, 1e-12), 0.0, 1.0))


def device_watts(load: Column, machine: Machine, coefficients: PowerCoefficients) -> Array:
    """What one device draws on average at this load."""
    way = np.asarray(machine.peak_watts, dtype=np.float64) - machine.idle_watts
    waiting = machine.idle_watts + coefficients.waiting_share * way
    busy = machine.idle_watts + coefficients.busy_share * way
    # Above 1 a longer step of the same work would cost less energy.
    exponent = np.clip(machine.power_exponent, 0.0, 1.0)
    return np.asarray(waiting + (busy - waiting) * np.asarray(load) ** exponent)


def power_watts(
    step: StepTime,
    machine: Machine,
    devices: Column,
    coefficients: PowerCoefficients,
    *,
    node_watts: float = 0.0,
) -> Array:
    """Average draw of a gang: its devices, and their share of their nodes.

    Args:
        node_watts: what a node draws without its devices.
    """
    each = device_watts(load_of(step, coefficients), machine, coefficients)
    return np.asarray(devices * (each + node_watts / np.asarray(machine.node_devices)))


def energy_j_per_step(
    step: StepTime,
    machine: Machine,
    devices: Column,
    coefficients: PowerCoefficients,
    *,
    node_watts: float = 0.0,
    pue: float = 1.0,
) -> Array:
    """Joules that one step takes at the building's meter.

    Args:
        pue: what the building draws over what its machines draw; at least 1.
    """
    watts = power_watts(step, machine, devices, coefficients, node_watts=node_watts)
    return np.asarray(watts * step.p50_s * pue)
