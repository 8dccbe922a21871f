"""Says that work goes on, once it has taken longer than a person waits without a word."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from irongrid.cli.screen import Screen

# From here on a person wonders whether anything happens.
QUIET_S = 2.0
_TICK_S = 0.5


@contextmanager
def patience(screen: Screen, doing: str, *, quiet_s: float = QUIET_S) -> Iterator[None]:
    """While the work inside runs long: a moving line on a terminal, one plain line elsewhere."""
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(screen, doing, done, quiet_s), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(screen: Screen, doing: str, done: threading.Event, quiet_s: float) -> None:
    started = time.monotonic()
    if done.wait(quiet_s):
        return
    if not screen.is_live:
        screen.note(f"irongrid: still {doing} ...")
        return
    with screen.err.status("") as status:
        while True:
            spent = time.monotonic() - started
            status.update(f"{doing} ... {spent:.0f} s; Ctrl-C stops")
            if done.wait(_TICK_S):
                return
