"""The worker's loop: waits for deaths, words and time, asks `Life` what follows, and does it.

One thread, one selector. Deaths arrive through process descriptors, so they are noticed in
milliseconds and in their order; nothing is polled but time.
"""

import queue
import signal
import time
from collections.abc import Sequence

from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.job import RunTask
from irongrid.domain.messages import Beat, LaunchOrder
from irongrid.session.lines import Hello, Line, PhaseLine, ProgressLine
from irongrid.telemetry import procfs
from irongrid.worker.gang import Gang
from irongrid.worker.hang import HangWatch
from irongrid.worker.journal import note
from irongrid.worker.life import Effect, Exit, Kill, Life, Report, Start, Tell, Terminate
from irongrid.worker.loop import Loop
from irongrid.worker.output import Pipe
from irongrid.worker.ranks import Containment, Rank, failure_of, recipe_failure_of
from irongrid.worker.report import Answered, CutOff, Heard, Link, News
from irongrid.worker.sessions import Connection, Sessions
from irongrid.worker.vigil import Announcements, Vigil

_HOUSEKEEPING_S = 1.0
_LOOK_S = 0.3
_SWEEP_S = 0.01
_LAST_WORDS_S = 30.0
_PAUSE_S = 5.0
_LOOPBACK = "127.0.0.1"


class Agent:
    """Everything of a running worker, wired together."""

    def __init__(
        self,
        order: LaunchOrder,
        gang: Gang,
        sessions: Sessions,
        containment: Containment,
        rendezvous: str,
        hang_scale: float,
    ) -> None:
        self._order = order
        self._gang = gang
        self._sessions = sessions
        self._containment = containment
        self._rendezvous = rendezvous
        self._is_run = isinstance(order.spec.task, RunTask)
        self._life = Life(
            order.job, order.epoch, order.node, gang.numbers, ready_at_start=self._is_run
        )
        self._hang = HangWatch(hang_scale)
        self._link = Link(order, self._post)
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._loop = Loop()
        announcements = Announcements(
            can_fork=self._can_fork,
            store_open=self._joined,
            all_exist=self._all_exist,
            zygote_lost=self._zygote_lost,
        )
        self._vigil = Vigil(self._loop, gang, order.node, announcements, hang_scale)
        self._waiting_start: Start | None = None
        self._beat = Beat()
        self._killing_since_s: float | None = None
        self._exit: tuple[Exit, float] | None = None
        self._ended = False
        self._turned_at_s = time.monotonic()
        self._looked_at_s = 0.0

    def run(self) -> None:
        """Work until the attempt is over for this worker."""
        wanted = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._loop.on_signals(wanted, self._on_signals)
        self._loop.on_wake(lambda: None)  # What has come is heard after those who have died.
        self._loop.read(self._sessions.listener.fileno(), self._on_session)
        self._vigil.begin()
        self._link.start()
        if self._is_run or not self._is_first_node:
            self._joined(self._rendezvous)
        while not self._ended:
            self._loop.turn(self._timeout_s())
            self._housekeeping()
        self._link.close()

    # ---- time ---------------------------------------------------------------------------------

    def _timeout_s(self) -> float:
        if self._killing_since_s is not None:
            # What does not die at once waits for a device: asking more often does not help.
            waited_s = time.monotonic() - self._killing_since_s
            return _SWEEP_S if waited_s < _HOUSEKEEPING_S else 10 * _SWEEP_S
        due_s = self._life.next_due_s()
        wait_s = _HOUSEKEEPING_S if due_s is None else due_s - time.monotonic()
        return min(max(wait_s, 0.0), _HOUSEKEEPING_S)

    def _housekeeping(self) -> None:
        now_s = time.monotonic()
        pause_s, self._turned_at_s = now_s - self._turned_at_s, now_s
        if pause_s > _PAUSE_S:
            self._hang.excuse(pause_s)
        self._judge_the_dead(now_s)
        # A directive may end all ranks, and then nobody would ask any more why one had died before.
        if not self._vigil.waits_for_status:
            self._hear_news()
        if now_s - self._looked_at_s > _LOOK_S:
            self._looked_at_s = now_s
            self._check_lease(now_s)
            self._vigil.check_zygote(now_s, self._killing_since_s)
            self._check_silence(now_s)
        self._do(self._life.tick(now_s))
        self._check_gone(now_s)
        self._check_exit(now_s)

    def _check_lease(self, now_s: float) -> None:
        lease_s = self._order.lease_s
        if lease_s is not None and now_s - self._link.last_contact_s > lease_s:
            self._do(self._life.cut_off())

    def _check_silence(self, now_s: float) -> None:
        hang = self._hang.check(now_s)
        if hang is None:
            return
        number, state = self._who_stands_still(hang.rank)
        message = (
            f"rank {number} hangs in phase {hang.phase}{state}: "
            f"no word for {hang.silent_s:.1f} s, where {hang.bound_s:.1f} s are allowed"
        )
        rank = self._gang.ranks.get(number)
        failure = Failure(
            code=FailureCode.HANG,
            message=message,
            node=self._order.node,
            rank=number,
            phase=hang.phase,
            stderr_tail=rank.tail.lines() if rank is not None else (),
        )
        self._do(self._life.failed(failure, now_s))

    def _who_stands_still(self, suspect: int) -> tuple[int, str]:
        """A rank that was stopped makes all others wait: then it is the one, and not they."""
        for number, rank in self._gang.ranks.items():
            seen = procfs.stat(rank.pid) if rank.pid is not None else None
            if seen is not None and seen.state in "Tt":
                return number, " (its process is stopped)"
        return suspect, ""

    def _check_gone(self, now_s: float) -> None:
        if self._killing_since_s is None or self._gang.sweep():
            return
        self._killing_since_s = None
        for rank in self._gang.ranks.values():
            self._hear_out(rank)
            for pipe in (rank.out, rank.err):
                self._loop.forget(pipe.read_fd)
        self._vigil.forget()
        self._gang.release()
        self._do(self._life.gone(now_s))

    def _check_exit(self, now_s: float) -> None:
        if self._exit is None:
            return
        effect, since_s = self._exit
        heard = self._link.all_answered() or now_s - since_s > _LAST_WORDS_S
        self._ended = heard or not effect.facts_matter

    # ---- effects ------------------------------------------------------------------------------

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Report(fact):
                    note(f"fact {fact.n}: {fact.kind}")
                    self._link.put(fact)
                case Start():
                    self._start(effect)
                case Kill():
                    self._waiting_start = None
                    self._hang.begin((), 0.0)
                    self._gang.kill()
                    self._killing_since_s = self._killing_since_s or time.monotonic()
                case Terminate(only_silent):
                    silent = set(self._gang.numbers) - self._sessions.speaking()
                    self._gang.terminate(silent if only_silent else None)
                case Tell(message):
                    self._sessions.tell(message)
                case Exit():
                    self._exit = (effect, time.monotonic())

    def _start(self, effect: Start) -> None:
        if self._gang.zygote is not None and not self._gang.zygote.ready:
            self._waiting_start = effect
            return
        now_s = time.monotonic()
        self._sessions.new_generation()
        self._hang.begin(() if self._is_run else self._gang.numbers, now_s)
        failure = self._gang.start(effect.generation, effect.rendezvous)
        for rank in self._gang.ranks.values():
            rank.phase = "" if self._is_run else "import"
            self._watch(rank)
        if failure is not None:
            self._do(self._life.failed(failure, now_s))
        elif self._is_run:
            self._do(self._life.started())

    def _watch(self, rank: Rank) -> None:
        self._loop.read(rank.out.read_fd, lambda: self._on_output(rank.out))
        self._loop.read(rank.err.read_fd, lambda: self._on_output(rank.err))
        self._vigil.watch(rank)

    # ---- what comes in ------------------------------------------------------------------------

    def _post(self, news: News) -> None:
        """From the link's threads."""
        self._news.put(news)
        self._loop.wake()

    def _hear_news(self) -> None:
        while not self._news.empty():
            news = self._news.get()
            match news:
                case Heard(directive):
                    note(
                        f"directive {directive.version}: {directive.action} {directive.generation}"
                    )
                    self._do(self._life.directive(directive, time.monotonic()))
                case CutOff(reason):
                    note(f"cut off: {reason}")
                    self._do(self._life.cut_off())
                case Answered():
                    pass  # It may have been what `_check_exit` waits for.

    def _on_output(self, pipe: Pipe) -> None:
        if not pipe.pump():
            self._loop.forget(pipe.read_fd)

    def _on_session(self) -> None:
        for connection in self._sessions.accept():
            self._watch_session(connection)

    def _watch_session(self, connection: Connection) -> None:
        self._loop.read(connection.socket.fileno(), lambda: self._on_words(connection))

    def _on_words(self, connection: Connection) -> None:
        lines, more = connection.read()
        for line in lines:
            if isinstance(line, Hello):
                self._sessions.greeted(connection)
            elif connection.generation == self._life.generation and connection.rank is not None:
                self._on_line(connection.rank, line)
        if not more:
            self._loop.forget(connection.socket.fileno())
            self._sessions.drop(connection)

    def _on_line(self, number: int, line: Line) -> None:
        rank = self._gang.ranks.get(number)
        if rank is None:
            return
        now_s = time.monotonic()
        if isinstance(line, PhaseLine):
            rank.phase = line.name
        elif isinstance(line, ProgressLine):
            rank.phase = "step"
        if self._killing_since_s is None:
            self._hang.note(number, line, now_s)
        if number == self._gang.numbers[0]:
            self._show(rank.phase, line)
        self._do(self._life.line(number, line, now_s))

    def _show(self, phase: str, line: Line) -> None:
        step, metrics = self._beat.step, self._beat.metrics
        if isinstance(line, ProgressLine):
            step, metrics = line.step, line.metrics
        self._beat = Beat(step=step, phase=phase, metrics=metrics)
        self._link.beat(self._beat)

    # ---- deaths -------------------------------------------------------------------------------

    def _judge_the_dead(self, now_s: float) -> None:
        for rank in self._vigil.ended(now_s):
            self._hear_out(rank)
            self._hang.forget(rank.number)
            judge = failure_of if self._is_run else recipe_failure_of
            failure = judge(rank, self._order.node, self._containment.limits)
            if failure is None:
                self._do(self._life.ended_well(rank.number, now_s))
            else:
                note(failure.message)
                self._do(self._life.failed(failure, now_s))

    def _hear_out(self, rank: Rank) -> None:
        """Take in what a dead rank has written and said before its end is judged."""
        self._on_session()
        for connection in self._sessions.of_rank(rank.number):
            self._on_words(connection)
        for pipe in (rank.out, rank.err):
            pipe.drain()

    # ---- the zygote ---------------------------------------------------------------------------

    @property
    def _is_first_node(self) -> bool:
        return self._order.placement.shares[0].node == self._order.node

    def _can_fork(self) -> None:
        if self._is_first_node and self._gang.zygote is not None:
            self._gang.zygote.ask_for_store(_LOOPBACK)
        if self._waiting_start is not None:
            effect, self._waiting_start = self._waiting_start, None
            self._start(effect)

    def _joined(self, rendezvous: str) -> None:
        self._do(self._life.joined(rendezvous, self._containment.kind))

    def _all_exist(self) -> None:
        self._do(self._life.started())

    def _zygote_lost(self, failure: Failure) -> None:
        note(failure.message)
        self._do(self._life.cannot_go_on(failure, time.monotonic()))

    # ---- signals ------------------------------------------------------------------------------

    def _on_signals(self, numbers: set[int]) -> None:
        self._vigil.reap()
        if numbers - {signal.SIGCHLD}:
            note(f"asked to end by {signal.Signals(max(numbers - {signal.SIGCHLD})).name}")
            self._do(self._life.terminated(time.monotonic()))
