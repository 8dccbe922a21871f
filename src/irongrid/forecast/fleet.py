"""What forecasts know of a fleet: the sizes to answer for, and how fast its devices are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
        return self._column[kind, devices]

    @cached_property
    def _column(self) -> dict[tuple[str, int], int]:
        return {
            (self.kinds[kind], int(devices)): at
            for at, (kind, devices) in enumerate(zip(self.kind_C, self.devices_C, strict=True))
        }
