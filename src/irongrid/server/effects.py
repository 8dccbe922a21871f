"""Carries commands out. Engines may be slow, so this has a thread of its own.

An engine that does not answer is asked again with growing pauses: its calls are idempotent by
(job, epoch), and a command that was not answered is derived again after a restart anyway.
"""

import heapq
import itertools
import queue
import threading
from collections.abc import Callable
from time import monotonic

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

OrdersFor = Callable[[State, Launch], tuple[LaunchOrder, ...]]


class Effects:
    """Takes commands from the state thread to the engine, and the engine's answers back."""

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
        self._journal = journal
        self._orders_for = orders_for
        self._on_done = on_done
        self._queue: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Command, float]] = []
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._run, name="effects", daemon=True)

    def start(self) -> None:
        """Begin to carry out commands."""
        self._thread.start()

    def put(self, commands: tuple[Command, ...]) -> None:
        """Take commands; returns at once."""
        for command in commands:
            self._queue.put(command)

    def stop(self) -> None:
        """End after the command in hand; what is left is sent again by the next server."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            wait_s = max(0.0, self._later[0][0] - monotonic()) if self._later else None
            try:
                command = self._queue.get(timeout=wait_s)
            except queue.Empty:
                _, _, command, pause_s = heapq.heappop(self._later)
                self._carry_out(command, pause_s)
                continue
            if command is None:
                return
            self._carry_out(command, FIRST_RETRY_S)

    def _carry_out(self, command: Command, pause_s: float) -> None:
        try:
            if isinstance(command, Launch):
                self._launch(command)
            else:
                self._stop(command)
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

    def _put_off(self, command: Command, pause_s: float) -> None:
        again_s = min(2 * pause_s, LAST_RETRY_S)
        due = monotonic() + pause_s
        heapq.heappush(self._later, (due, next(self._order), command, again_s))

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
