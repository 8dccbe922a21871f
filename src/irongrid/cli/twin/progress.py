"""How far a run has come: a bar on a terminal, plain lines elsewhere, nothing for a short one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from irongrid.cli.screen import Screen
from irongrid.twin.driver import Driver
from irongrid.twin.replay import Observer
from irongrid.units import NS_PER_S, format_duration

FROM_S = 2.0
_LINE_EVERY_S, _BAR_EVERY_S = 10.0, 0.2
_COUNTS = 1000
Tell = Callable[[int, str], None]


@contextmanager
def progress(screen: Screen, what: str, jobs: int) -> Iterator[Observer]:
    """An observer that says how far the run is; the bar goes when the run has ended.

    Args:
        jobs: how many there are to end.
    """
    if not screen.is_live:

        def note(_: int, words: str) -> None:
            screen.note(f"{what}: {words}")

        with _looking(note, jobs, _LINE_EVERY_S) as look:
            yield look
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}")
    with Progress(*columns, console=screen.err, transient=True) as bar:
        task = bar.add_task(what, total=jobs, done="", visible=False)

        def move(ended: int, words: str) -> None:
            bar.update(task, completed=ended, done=words, visible=True)

        with _looking(move, jobs, _BAR_EVERY_S) as look:
            yield look


@contextmanager
def _looking(tell: Tell, jobs: int, every_s: float) -> Iterator[Observer]:
    """Look at a driver now and then, from a thread, so that no event costs more for it."""
    done = Event()
    threads: list[Thread] = []

    def look(driver: Driver) -> None:
        def tell_now_and_then() -> None:
            wait_s = FROM_S
            while not done.wait(wait_s):
                wait_s = every_s
                # Whole numbers out of a dict's values at once: no lock is needed for a glance.
                ended = sum(list(driver.state.ended_by_state.values()))
                at = format_duration(driver.now_ns / NS_PER_S)
                tell(ended, f"{ended:,} of {jobs:,} jobs have ended, virtual time {at}")

        threads.append(Thread(target=tell_now_and_then, daemon=True))
        threads[-1].start()

    try:
        yield look
    finally:
        done.set()
        for thread in threads:
            thread.join()


def counted(screen: Screen, what: str) -> Callable[[int], None]:
    """Takes a running count, and says it now and then once that has taken a while."""
    due_s = monotonic() + FROM_S

    def tell(count: int) -> None:
        nonlocal due_s
        if count % _COUNTS == 0 and monotonic() >= due_s:
            due_s = monotonic() + _LINE_EVERY_S
            screen.note(f"{what}: {count:,} read")

    return tell
