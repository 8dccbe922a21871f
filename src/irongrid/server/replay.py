"""The state behind a log: its newest snapshot, and every record since."""

from collections.abc import Iterator
from typing import Protocol

from irongrid.control import snapshot
from irongrid.control.apply import apply
from irongrid.control.state import State
from irongrid.domain.event import Recorded


class Log(Protocol):
    """What a store and a reader of it have in common."""

    def read(self, after_seq: int = 0) -> Iterator[Recorded]:
        """Records in order."""

    def latest_snapshot(self) -> tuple[int, Iterator[str]] | None:
        """The newest complete snapshot, or None."""


def load_state(log: Log) -> State:
    """Fold the log, with the newest snapshot as a shortcut where it can be used.

    Raises:
        StoreError: the log cannot be read.
    """
    state = _from_snapshot(log)
    for record in log.read(state.seq):
        apply(state, record)
    return state


def _from_snapshot(log: Log) -> State:
    newest = log.latest_snapshot()
    if newest is None:
        return State()
    try:
        return snapshot.load(newest[1])
    except ValueError:
        return State()  # Another version's format: the log has everything.
