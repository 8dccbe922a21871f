"""What is free on one node, whole devices and parts of devices."""

from collections.abc import Collection
from dataclasses import dataclass, field

from irongrid.domain.job import WHOLE_MILLI


@dataclass(slots=True)
class Free:
    """What is free on a node of the fleet.

    Attributes:
        devices: of which nobody holds anything.
        parts: thousandths that are free of devices of which somebody holds a part.
    """

    devices: set[int]
    cpus: float
    memory_bytes: int
    parts: dict[int, int] = field(default_factory=dict)

    def milli(self, device: int) -> int:
        """Thousandths of a device that are free."""
        return WHOLE_MILLI if device in self.devices else self.parts.get(device, 0)

    def hold(self, device: int, milli: int) -> None:
        """Hold so many thousandths more of a device; fewer where negative."""
        left = self.milli(device) - milli
        assert 0 <= left <= WHOLE_MILLI, f"{left} thousandths of device {device} would be left"
        self.parts.pop(device, None)
        if left == WHOLE_MILLI:
            self.devices = self.devices | {device}
            return
        self.devices = self.devices - {device}
        if left:
            self.parts[device] = left

    def has(self, devices: Collection[int], milli: int) -> bool:
        """Whether so many thousandths are free of each of these devices."""
        if milli == WHOLE_MILLI:
            return self.devices.issuperset(devices)
        return all(self.milli(device) >= milli for device in devices)
