"""Asks the engine, about once a second, which workers still exist, and logs those that ended."""

import threading

from irongrid.control import requests
from irongrid.control.state import State
from irongrid.domain.event import Event
from irongrid.errors import IrongridError
from irongrid.ports import Engine, Observed, WorkerPhase
from irongrid.server.brain import Brain
from irongrid.server.journal import Journal
from irongrid.server.work import Change

PERIOD_S = 1.0
# After a launch or a stop the next look comes sooner.
SOON_S = 0.1


class Observer:
    """Turns what the engine can prove into facts."""

    def __init__(self, brain: Brain, engine: Engine, journal: Journal, proof: str) -> None:
        self._brain = brain
        self._engine = engine
        self._journal = journal
        self._proof = proof
        self._soon = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def look_soon(self) -> None:
        """Something has just changed."""
        self._soon.set()

    def stop(self) -> None:
        """End after the look in hand."""
        self._stopping.set()
        self._soon.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._soon.wait(PERIOD_S):
                self._soon.clear()
                if self._stopping.wait(SOON_S):
                    return
            try:
                self._look()
            except (IrongridError, TimeoutError) as problem:
                self._journal.warning("observe_failed", problem=str(problem))
            except Exception:
                # A server that no longer looks would never notice a lost worker.
                self._journal.exception("observe_failed")

    def _look(self) -> None:
        wanted = self._brain.look(lambda state, now_ns: requests.wanted_workers(state))
        if not wanted:
            return
        gone = [seen for seen in self._engine.observe(wanted) if seen.phase is WorkerPhase.GONE]
        if gone:
            self._brain.call(lambda state, now_ns: self._ended(state, gone))

    def _ended(self, state: State, gone: list[Observed]) -> Change[None]:
        found: list[Event] = []
        for seen in gone:
            event = requests.worker_gone(state, seen.job, seen.epoch, seen.node, self._proof)
            if event is not None:
                found.append(event)
        return Change(tuple(found), lambda state, now_ns: None)
