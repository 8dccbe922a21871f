"""Money and carbon of one optimizer step. What is not known stays unknown: None, never zero."""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column
from irongrid.cost.energy import JOULES_PER_KWH

Array = NDArray[np.float64]

_SECONDS_PER_HOUR = 3600.0


def usd_per_step(
    step_time_s: Column,
    devices: Column,
    energy_j: Column,
    *,
    usd_per_device_h: float | None,
    usd_per_kwh: float = 0.0,
) -> Array | None:
    """Price of one step: devices by the hour, and energy where it is paid apart.

    Args:
        energy_j: at the meter, so with PUE.
        usd_per_device_h: None where nobody knows the price; 0 for devices that cost only energy.
    """
    if usd_per_device_h is None:
        return None
    hired = np.asarray(devices) * np.asarray(step_time_s) * usd_per_device_h / _SECONDS_PER_HOUR
    return np.asarray(hired + np.asarray(energy_j) * usd_per_kwh / JOULES_PER_KWH)


def co2_g_per_step(energy_j: Column, *, carbon_g_per_kwh: float | None) -> Array | None:
    """Grams of CO2 equivalent of one step's energy, by the site's location-based intensity.

    What making the hardware emitted is not in it: counting that in choices at run time can raise
    the total (Bashir et al., "The Sunk Carbon Fallacy", SoCC 2024).
    """
    if carbon_g_per_kwh is None:
        return None
    return np.asarray(np.asarray(energy_j) * carbon_g_per_kwh / JOULES_PER_KWH)
