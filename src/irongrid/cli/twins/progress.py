"""How far a run has come: a bar on a terminal, plain lines elsewhere, nothing for a short one."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from irongrid.cli.screen import Screen
from irongrid.control.state import State
from irongrid.domain.event import Recorded
from irongrid.twin.driver import Driver
from irongrid.twin.replay import Observer
from irongrid.units import NS_PER_S, format_duration

FROM_S = 2.0
_LINE_EVERY_S, _BAR_EVERY_S = 10.0, 0.2
# Looking at the clock at each event would cost more than the event.
_EVENTS = 512


@contextmanager
def progress(screen: Screen, what: str, jobs: int | None = None) -> Iterator[Observer]:
    """An observer that says how far the run is; the bar goes when the run has ended.

    Args:
        jobs: how many there are to end; None where that is not known before.
    """
    if screen.is_live:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}")
        with Progress(*columns, console=screen.err, transient=True) as bar:
            task = bar.add_task(what, total=jobs, done="", visible=False)

            def move(ended: int, words: str) -> None:
                bar.update(task, completed=ended, done=words, visible=True)

            yield _Watcher(move, jobs, _BAR_EVERY_S)
    else:
        yield _Watcher(lambda _, words: screen.note(f"{what}: {words}"), jobs, _LINE_EVERY_S)


class _Watcher:
    """Counts ended jobs, and tells at intervals of wall time."""

    def __init__(self, tell, jobs: int | None, every_s: float) -> None:  # type: ignore[no-untyped-def]
        self._tell = tell
        self._jobs = jobs
        self._every_s = every_s
        self._next_s = monotonic() + FROM_S
        self._events = 0
        self._state: State | None = None

    def __call__(self, driver: Driver) -> None:
        self._state = driver.state
        driver.watchers.append(self._look)

    def _look(self, recorded: Recorded) -> None:
        self._events += 1
        if self._events % _EVENTS or monotonic() < self._next_s:
            return
        self._next_s = monotonic() + self._every_s
        assert self._state is not None, "attached"
        ended = sum(self._state.ended_by_state.values())
        of = f" of {self._jobs:,}" if self._jobs else ""
        at = format_duration(recorded.at_ns / NS_PER_S)
        self._tell(ended, f"{ended:,}{of} jobs have ended, virtual time {at}")
