"""What a run has cost: money for what was held, energy for what was drawn, by a fleet's figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from irongrid.cost.energy import JOULES_PER_KWH, PowerCoefficients
from irongrid.domain.fleet import Fleet, Pool

_BUSY_SHARE = PowerCoefficients().busy_share


def costs(fleet: Fleet, held_device_s: Sequence[float], span_s: float) -> dict[str, Any]:
    """Money, energy and carbon of a run; None where the fleet does not say.

    Args:
        held_device_s: by node, in the fleet's order of pools.
        span_s: from the first submit to the last end; for so long everything is switched on.

    A held device draws what one that computes draws, the others their idle draw: a recorded
    workload does not tell how well its jobs used what they held. Money counts twice: for the
    device-hours that were held, as a cloud bills them, and for the whole fleet, as an owner pays.
    """
    held_s, at = [], 0
    for pool in fleet.pools:
        held_s.append(float(np.sum(held_device_s[at : at + pool.nodes])))
        at += pool.nodes
    priced = all(pool.usd_per_device_h is not None for pool in fleet.pools)
    energy_kwh = carbon_kg = 0.0
    known = True
    for pool, pool_held_s in zip(fleet.pools, held_s, strict=True):
        site = fleet.site(pool.site)
        kwh = site.pue * _joules(pool, pool_held_s, span_s) / JOULES_PER_KWH
        energy_kwh += kwh
        known = known and site.carbon_g_per_kwh is not None
        carbon_kg += kwh * (site.carbon_g_per_kwh or 0.0) / 1e3
    held_usd = sum(
        _rate(pool) * pool_s / 3600 for pool, pool_s in zip(fleet.pools, held_s, strict=True)
    )
    fleet_usd = sum(_rate(pool) * pool.devices * span_s / 3600 for pool in fleet.pools)
    return {
        "held_usd": round(held_usd, 2) if priced else None,
        "fleet_usd": round(fleet_usd, 2) if priced else None,
        "energy_kwh": round(energy_kwh, 3),
        "carbon_kg": round(carbon_kg, 3) if known else None,
    }


def _rate(pool: Pool) -> float:
    return pool.usd_per_device_h or 0.0


def _joules(pool: Pool, held_s: float, span_s: float) -> float:
    device = pool.accelerator
    busy_watts = device.idle_watts + _BUSY_SHARE * (device.peak_watts - device.idle_watts)
    idle_s = max(0.0, pool.devices * span_s - held_s)
    nodes = pool.node_watts * pool.nodes * span_s
    return busy_watts * held_s + device.idle_watts * idle_s + nodes
