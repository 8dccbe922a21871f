"""A person's own measured steps move the shipped coefficients, as far as the steps say something.

The shipped values are the prior, so a few rows move what they depend on and leave the rest: three
steps on a new device teach how fast it computes, not how a torus behaves.
"""

from collections.abc import Iterator

import numpy as np

from irongrid.cost.coefficients import TABLES, VOCABULARIES, Coefficients
from irongrid.cost.recalibrate import Fit, Parameter, Points, fit

# What differs between one site's runs and the published ones, with how far, in log units: devices'
# efficiency, the host's launch times, and the networks' share of their rate.
_MOVABLE = {
    "gemm_efficiency": 0.15,
    "flash_efficiency": 0.15,
    "host_layer_s": 0.30,
    "step_s": 0.30,
    "shard_exposed": 0.30,
    "tp_exposed": 0.30,
    "dp_exposed": 0.30,
    "island_share": 0.10,
    "net_share": 0.15,
}
# The base of a table stays: its words move alone, so that no other device changes.
_FIXED = 1e-3


def adjusted(points: Points, coefficients: Coefficients) -> Fit:
    """The coefficients after these measured steps, with how well each is known now."""
    parameters = tuple(_parameters(coefficients))
    centre = np.array([parameter.centre for parameter in parameters])
    return fit(points, parameters, centre, coefficients)


def _parameters(coefficients: Coefficients) -> Iterator[Parameter]:
    for name, sigma in _MOVABLE.items():
        value = getattr(coefficients, name)
        if name not in TABLES:
            yield Parameter(name, None, float(np.log(value)), sigma)
            continue
        yield Parameter(name, None, 0.0, _FIXED)
        for index in range(len(VOCABULARIES[TABLES[name]])):
            yield Parameter(name, index, float(np.log(value[index])), sigma)
