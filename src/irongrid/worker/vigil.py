"""Who has died, in which order, and how: ranks of a command, forked ranks, and their zygote.

A process descriptor tells at once that a rank is dead, whoever its parent is. How it ended is known
to its parent alone: this process for a command, the zygote for a forked rank.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from irongrid.domain.failure import Failure, FailureCode
from irongrid.worker.gang import Gang
from irongrid.worker.hang import BOUND_S
from irongrid.worker.loop import Loop
from irongrid.worker.ranks import Rank

# What a zygote may take to say how a rank has ended, or to confirm a fork.
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcements:
    """What the vigil tells, each at most once per zygote or per generation.

    Attributes:
        can_fork: the zygote is ready.
        store_open: ranks can meet at this `host:port`.
        all_exist: every forked rank of the generation is a process.
        zygote_lost: no rank can be forked any more, and why.
    """

    can_fork: Callable[[], None]
    store_open: Callable[[str], None]
    all_exist: Callable[[], None]
    zygote_lost: Callable[[Failure], None]


class Vigil:
    """Watches the processes of one worker."""

    def __init__(
        self, loop: Loop, gang: Gang, node: str, announcements: Announcements, hang_scale: float
    ) -> None:
        self._loop = loop
        self._gang = gang
        self._node = node
        self._tell = announcements
        self._dead: deque[tuple[Rank, float]] = deque()
        self._zygote_due_s = time.monotonic() + BOUND_S["import"] * hang_scale

    def begin(self) -> None:
        """Listen to the zygote, if there is one."""
        zygote = self._gang.zygote
        if zygote is not None:
            self._loop.read(zygote.socket.fileno(), self._on_zygote)
            self._loop.read(zygote.stderr_fd, self._on_zygote_stderr)

    def watch(self, rank: Rank) -> None:
        """Notice the end of a rank."""
        if rank.pidfd is not None:
            self._loop.read(rank.pidfd, lambda: self._on_death(rank))
        elif rank.pid is not None:
            self._dead.append((rank, time.monotonic()))

    @property
    def waits_for_status(self) -> bool:
        """Whether a rank has died of which it is not known yet how."""
        return bool(self._dead)

    def ended(self, now_s: float) -> list[Rank]:
        """Ranks that have died, in their order, as far as it is known how they ended."""
        known = []
        while self._dead and self._dead[0][0].status is not None:
            known.append(self._dead.popleft()[0])
        if self._dead and now_s - self._dead[0][1] > _ANSWER_S:
            self._lose_zygote("does not say how its ranks end", FailureCode.WORKER_LOST)
        return known

    def check_zygote(self, now_s: float, killing_since_s: float | None) -> None:
        """Do not wait for ever for one that hangs."""
        zygote = self._gang.zygote
        if zygote is None:
            return
        if not zygote.ready and now_s > self._zygote_due_s:
            self._lose_zygote("is not ready in time", FailureCode.HANG)
        killing_s = 0.0 if killing_since_s is None else now_s - killing_since_s
        if zygote.unanswered and killing_s > _ANSWER_S:
            self._lose_zygote("does not answer", FailureCode.WORKER_LOST)

    def forget(self) -> None:
        """The generation is over."""
        for rank in self._gang.ranks.values():
            self._loop.forget(rank.pidfd)
        self._dead.clear()

    def reap(self) -> None:
        """Collect every child that has ended: ranks of a command, the zygote, adopted orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            rank = self._gang.by_pid(pid)
            if rank is not None:
                rank.ended(status)
            elif self._gang.zygote is not None and pid == self._gang.zygote.pid:
                self._zygote_ended(os.waitstatus_to_exitcode(status))

    def _on_death(self, rank: Rank) -> None:
        self._loop.forget(rank.pidfd)
        self._dead.append((rank, time.monotonic()))
        self.reap()
        self._on_zygote()

    # ---- the zygote ---------------------------------------------------------------------------

    def _on_zygote(self) -> None:
        zygote = self._gang.zygote
        if zygote is None:
            return
        messages, more = zygote.read()
        for message in messages:
            match message.get("op"):
                case "ready":
                    self._tell.can_fork()
                case "rendezvous":
                    self._tell.store_open(f"{message['host']}:{message['port']}")
                case "forked":
                    self._gang.forked(message)
                    self._forked(int(message["pid"]))
                case "exited":
                    self._exited(int(message["pid"]), int(message["status"]))
        if not more:
            self._loop.forget(zygote.socket.fileno())  # Its end itself brings the news why.

    def _forked(self, pid: int) -> None:
        rank = self._gang.by_pid(pid)
        if rank is None:
            return
        self.watch(rank)
        if self._gang.all_exist():
            self._tell.all_exist()

    def _exited(self, pid: int, status: int) -> None:
        rank = self._gang.by_pid(pid)
        zygote = self._gang.zygote
        if rank is not None:
            rank.ended(status)
        elif zygote is not None and pid == zygote.store_pid:
            self._lose_zygote("has lost the store where ranks meet", FailureCode.WORKER_LOST)

    def _on_zygote_stderr(self) -> None:
        zygote = self._gang.zygote
        if zygote is not None and not zygote.pump_stderr():
            self._loop.forget(zygote.stderr_fd)

    def _zygote_ended(self, exit_code: int) -> None:
        zygote = self._gang.zygote
        by_itself = zygote is not None and not zygote.ready and exit_code >= 0
        # A runtime that cannot even be imported is the user's to mend; a kill is nobody's doing.
        code = FailureCode.START_FAILED if by_itself else FailureCode.WORKER_LOST
        how = f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name
        self._lose_zygote(f"has ended with {how}", code)

    def _lose_zygote(self, how: str, code: FailureCode) -> None:
        zygote = self._gang.zygote
        if zygote is None:
            return
        zygote.pump_stderr()
        self._loop.forget(zygote.socket.fileno())
        self._loop.forget(zygote.stderr_fd)
        zygote.close()
        self._gang.zygote = None
        failure = Failure(
            code=code,
            message=f"the process that ranks are forked from on {self._node} {how}",
            node=self._node,
            phase="" if zygote.ready else "import",
            stderr_tail=zygote.tail.lines(),
        )
        self._tell.zygote_lost(failure)
