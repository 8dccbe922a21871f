"""The ranks of this node, generation by generation: how they start, end, and leave nothing."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.job import RunTask
from irongrid.domain.messages import LaunchOrder
from irongrid.telemetry import procfs
from irongrid.telemetry.ranklogs import RankLog, log_path
from irongrid.worker.environment import rank_environment
from irongrid.worker.ranks import Containment, Rank, StartFailed, limit_data, spawn
from irongrid.worker.zygote import Zygote


class Gang:
    """Starts and kills the ranks of one node. Knows one generation at a time.

    Attributes:
        zygote: what ranks of a `train` task are forked from; None for others, and once it is lost.
    """

    def __init__(
        self,
        order: LaunchOrder,
        base: Mapping[str, str],
        containment: Containment,
        socket_path: str,
        zygote: Zygote | None,
    ) -> None:
        self._order = order
        self._base = base
        self._containment = containment
        self._socket_path = socket_path
        self.zygote = zygote
        self._mark = procfs.marks_of(dict(base))
        self._logs: dict[int, RankLog] = {}
        self._killed = False
        self.ranks: dict[int, Rank] = {}

    @property
    def numbers(self) -> range:
        """Global ranks of this node."""
        first = self._order.placement.first_rank(self._order.node)
        return range(first, first + len(self._order.placement.share_of(self._order.node).devices))

    def start(self, generation: int, rendezvous: str) -> Failure | None:
        """Start every rank of a generation; the failure if one cannot be started.

        Ranks of a `train` task exist once the zygote has confirmed them.
        """
        self._killed = False
        workdir = self._order.spec.workdir
        if not os.path.isdir(workdir):
            return self._start_failure(None, f"the folder {workdir!r} does not exist on this node")
        for local_rank, number in enumerate(self.numbers):
            try:
                self._start_one(local_rank, number, generation, rendezvous)
            except (StartFailed, OSError) as problem:
                return self._start_failure(number, f"rank {number} was not started: {problem}")
        return None

    def forked(self, message: Mapping[str, Any]) -> None:
        """The zygote has confirmed a rank."""
        rank = self.ranks.get(int(message["rank"]))
        if rank is not None and rank.pid is None:
            rank.running(int(message["pid"]))
            limit_data(rank, self._containment.limits)
            if self._killed:
                rank.send_signal(signal.SIGKILL)

    def all_exist(self) -> bool:
        """Whether each rank of the node is a process."""
        return len(self.ranks) == len(self.numbers) and all(
            rank.pid is not None for rank in self.ranks.values()
        )

    def by_pid(self, pid: int) -> Rank | None:
        """The rank behind a process id."""
        return next((rank for rank in self.ranks.values() if rank.pid == pid), None)

    def terminate(self, silent: set[int] | None = None) -> None:
        """Send SIGTERM to these ranks; to all without an argument."""
        for number, rank in self.ranks.items():
            if silent is None or number in silent:
                rank.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to every rank's group; `sweep` gets what is in none of them."""
        self._killed = True
        for rank in self.ranks.values():
            rank.send_signal(signal.SIGKILL)

    def sweep(self) -> bool:
        """Kill what is left of the ranks, wherever it hangs; False when there is nothing.

        Left is what descends from this process, which adopts orphans, and what carries the
        attempt's mark without descending from it.
        """
        me = os.getpid()
        spared = {me} | (self.zygote.protected if self.zygote is not None else set())
        marked = procfs.marked().get(self._mark, set())
        left = (procfs.descendants(me) | marked) - spared
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return bool(left) or (self.zygote is not None and self.zygote.unanswered > 0)

    def release(self) -> None:
        """Forget the generation, of which nothing is left."""
        for rank in self.ranks.values():
            rank.release()
        self.ranks = {}

    def _start_one(self, local_rank: int, number: int, generation: int, rendezvous: str) -> None:
        rank = Rank(
            number=number,
            log=self._log(number),
            group=self._containment.group_of(number, generation),
        )
        self.ranks[number] = rank
        environment = rank_environment(
            self._order,
            self._base,
            local_rank=local_rank,
            generation=generation,
            rendezvous=rendezvous,
            socket_path=self._socket_path,
        )
        task = self._order.spec.task
        try:
            if isinstance(task, RunTask):
                limits = self._containment.limits
                spawn(rank, task.argv, environment, self._order.spec.workdir, limits)
            else:
                assert self.zygote is not None
                self.zygote.fork(rank, generation, environment)
        finally:
            rank.out.close_writer()
            rank.err.close_writer()

    def _log(self, number: int) -> RankLog:
        if number not in self._logs:
            path = log_path(Path(self._order.job_dir), self._order.epoch, number)
            self._logs[number] = RankLog(path)
        return self._logs[number]

    def _start_failure(self, rank: int | None, message: str) -> Failure:
        return Failure(
            code=FailureCode.START_FAILED, message=message, node=self._order.node, rank=rank
        )
