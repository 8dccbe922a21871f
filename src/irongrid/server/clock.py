"""Wall time that never steps back while the process lives."""

import time

from irongrid.ports import Clock

# Counts suspended time too, so that stamps stay close to the wall clock on a laptop.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """The wall clock as it was at the start, plus steady time since then.

    Someone who sets the machine's clock cannot shorten a deadline or turn the log around.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.clock_gettime_ns(_STEADY)

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return self._offset_ns + time.clock_gettime_ns(_STEADY)


class ResumedClock:
    """Another clock, moved so that it goes on from a moment which that clock has not reached yet.

    When a machine's clock was set back while no server ran, the log's last event lies ahead. Time
    that waited there for the clock to catch up would hold up every decision and timer so long.
    """

    def __init__(self, clock: Clock, at_ns: int) -> None:
        self._clock = clock
        self._ahead_ns = max(0, at_ns - clock.now_ns())

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC, as far as the log goes."""
        return self._clock.now_ns() + self._ahead_ns
