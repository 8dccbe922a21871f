"""Keeps Python's cyclic collector from walking over every job again and again.

Jobs live long and hold no cycles, but each full collection would visit all of them: some 100 ms
with 100,000 jobs, on whichever thread happens to allocate. So what has survived the young
generations is frozen: never visited again, and still freed by its reference count.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Net new objects that start a collection of the young, and collections that start the next kind.
THRESHOLDS = (10_000, 20, 1_000)
FREEZE_EVERY = 2_000


class Garbage:
    """Settings of the collector for a server process."""

    def __init__(self) -> None:
        self._events = 0

    @contextmanager
    def loading(self) -> Iterator[None]:
        """While a state is built: nothing of it is garbage."""
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)
            gc.enable()

    def grown(self, events: int) -> None:
        """The state has taken in this many events."""
        self._events += events
        if self._events >= FREEZE_EVERY:
            self._events = 0
            gc.collect(1)
            gc.freeze()
