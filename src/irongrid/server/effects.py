"""Carries commands out. Engines may be slow, so this has threads of its own.

An engine that does not answer is asked again with growing pauses: its calls are idempotent by
(job, epoch), and a command that was not answered is derived again after a restart anyway.
"""

import heapq
import itertools
import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from irongrid.control.state import State
from irongrid.domain.command import Command, Launch, StopAttempt
from irongrid.domain.event import Event, LaunchAccepted, LaunchRefused
from irongrid.domain.messages import LaunchOrder
from irongrid.errors import EngineRefused, IrongridError
from irongrid.ports import Engine
from irongrid.server.brain import Brain
from irongrid.server.journal import Journal
from irongrid.server.work import Change

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0

C = TypeVar("C")
OrdersFor = Callable[[State, Launch], tuple[LaunchOrder, ...]]


class Effects:
    """Takes commands from the state thread to the engine, and the engine's answers back.

    Launches and stops have a thread each: a stop may take seconds, while another job could start.
    """

    def __init__(
        self,
        brain: Brain,
        engine: Engine,
        journal: Journal,
        orders_for: OrdersFor,
        on_done: Callable[[], None],
    ) -> None:
        self._brain = brain
        self._engine = engine
        self._orders_for = orders_for
        self._launches = _Lane("launches", self._launch, on_done, journal)
        self._stops = _Lane("stops", self._stop, on_done, journal)

    def start(self) -> None:
        """Begin to carry out commands."""
        self._launches.thread.start()
        self._stops.thread.start()

    def put(self, commands: tuple[Command, ...]) -> None:
        """Take commands; returns at once."""
        for command in commands:
            if isinstance(command, Launch):
                self._launches.queue.put(command)
            else:
                self._stops.queue.put(command)

    def stop(self) -> None:
        """End after the commands in hand; what is left is sent again by the next server."""
        for lane in (self._launches, self._stops):
            lane.queue.put(None)
        for lane in (self._launches, self._stops):
            if lane.thread.is_alive():
                lane.thread.join(timeout=10)

    def _launch(self, launch: Launch) -> None:
        orders = self._brain.look(lambda state, now_ns: self._orders_for(state, launch))
        if not orders:
            return  # The attempt was over before it began.
        try:
            self._engine.launch(orders)
            answer: Event = LaunchAccepted(job=launch.job, epoch=launch.epoch)
        except EngineRefused as problem:
            answer = LaunchRefused(job=launch.job, epoch=launch.epoch, message=str(problem))
        self._brain.call(lambda state, now_ns: Change((answer,), lambda state, now_ns: None))

    def _stop(self, command: StopAttempt) -> None:
        self._engine.stop(command.job, command.epoch, command.placement)


class _Lane(Generic[C]):
    """A thread that carries out commands of one kind, one after another."""

    def __init__(
        self,
        name: str,
        carry_out: Callable[[C], None],
        on_done: Callable[[], None],
        journal: Journal,
    ) -> None:
        self.queue: queue.SimpleQueue[C | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._carry_out = carry_out
        self._on_done = on_done
        self._journal = journal
        self._later: list[tuple[float, int, C, float]] = []
        self._order = itertools.count()

    def _run(self) -> None:
        while True:
            wait_s = max(0.0, self._later[0][0] - monotonic()) if self._later else None
            try:
                command = self.queue.get(timeout=wait_s)
            except queue.Empty:
                _, _, late, pause_s = heapq.heappop(self._later)
                self._try(late, pause_s)
                continue
            if command is None:
                return
            self._try(command, FIRST_RETRY_S)

    def _try(self, command: C, pause_s: float) -> None:
        try:
            self._carry_out(command)
        except (IrongridError, TimeoutError) as problem:
            # The engine or the store does not answer: the same call again is safe.
            self._journal.warning("effect_delayed", command=str(command), problem=str(problem))
            self._put_off(command, pause_s)
        except Exception:
            # A fault of ours; the thread must live on for all other jobs.
            self._journal.exception("effect_failed", command=str(command))
            self._put_off(command, pause_s)
        else:
            self._on_done()

    def _put_off(self, command: C, pause_s: float) -> None:
        again_s = min(2 * pause_s, LAST_RETRY_S)
        due = monotonic() + pause_s
        heapq.heappush(self._later, (due, next(self._order), command, again_s))
