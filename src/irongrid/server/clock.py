"""Wall time that never steps back while the process lives."""

import time

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
