"""Limits of processor time on a machine of any speed.

A limit of seconds holds on the machine on which it was set. On a slower one, or one whose cores
others use too, the same work takes longer; how much longer is measured beside it.
"""

import hashlib
import math
import time
from collections.abc import Callable

# What `_known_work` takes on a core of the machine on which the limits were set.
_KNOWN_S = 0.026
_TRIES = 5


def at_known_pace(measure: Callable[[], float], limit: float) -> float:
    """The best of a few measurements of processor time, as that machine would have shown it.

    The first one within the limit is taken: what costs too much never comes within it.
    """
    best = math.inf
    for _ in range(_TRIES):
        measured = measure()
        best = min(best, measured / _slowness())
        if best < limit:
            break
    return best


def processor_time_s(work: Callable[[], object]) -> float:
    """Processor time that this process uses for some work."""
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def _slowness() -> float:
    """How much longer than there known work takes here and now; never below 1."""
    return max(1.0, processor_time_s(_known_work) / _KNOWN_S)


def _known_work() -> None:
    text, found = b"", 0
    for number in range(30_000):
        found += len(str(number * number).strip("0"))
        text = hashlib.sha256(text + str(found).encode()).digest()
