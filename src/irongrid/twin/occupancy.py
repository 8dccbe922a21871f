"""How many devices are held over time."""

from irongrid.control.state import State
from irongrid.units import NS_PER_S


class Occupancy:
    """Device-seconds held up to a moment; look at it before and after each change."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._until_ns = 0
        self._held = 0
        self.device_ns = 0

    def pass_to(self, now_ns: int) -> None:
        """Count what was held until now."""
        self.device_ns += self._held * (now_ns - self._until_ns)
        self._until_ns = now_ns

    def look(self) -> None:
        """Note what is held from now on."""
        self._held = self._state.rooms.held_total

    def device_s(self) -> float:
        """Device-seconds so far."""
        return self.device_ns / NS_PER_S
