"""What forecasts know of a fleet: the sizes to answer for, and how fast its devices are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FleetSizes:
    """Sizes (C) as `scheduler.sizes` numbers them.

    Attributes:
        speed: of a device of each kind by its data sheet; only ratios count.
    """

    kinds: tuple[str, ...]
    kind_C: np.ndarray
    devices_C: np.ndarray
    nodes_C: np.ndarray
    speed: Mapping[str, float]

    def column(self, kind: str, devices: int) -> int:
        """Where a size stands."""
        at = self.kinds.index(kind)
        return int(np.flatnonzero((self.kind_C == at) & (self.devices_C == devices))[0])
