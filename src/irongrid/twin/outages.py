"""The driver's world with faults: nodes break, leave and slow down, jobs fail, ranks save.

Facts reach `control` as a server's observer and workers would tell them. Whatever was not saved is
done again. Here a step is a millisecond of work, so `step` in the log counts work, not waits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from irongrid.domain.device import Node
from irongrid.domain.event import (
    GangFailed,
    NodeClosed,
    NodeOpened,
    RanksStopped,
    WorkerFact,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec
from irongrid.scheduler.cluster import Policy
from irongrid.twin.agenda import Agenda
from irongrid.twin.checkpoints import Checkpoints
from irongrid.twin.driver import FINISH, READY, Driver, committed, who
from irongrid.twin.engine import Gang
from irongrid.twin.faults import Fault, FaultKind, JobFailures
from irongrid.twin.truth.futures import RigidFutures
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S

NS_PER_STEP = 1_000_000
_REASONS = {
    FaultKind.NODE: "the node is broken",
    FaultKind.DEVICE: "a device of the node is broken",
    FaultKind.SPOT: "the provider takes the node back",
}


@dataclass(slots=True)
class Stretch:
    """Work of a gang from one save to the next.

    Attributes:
        begun_ns: when it began.
        since_ns: up to when `done_ns` of work is counted.
        left_ns: work that the job needs from `begun_ns` on.
        slowdown: time that a unit of work takes now.
        version: rises with each change of plan, so that older plans are void.
    """

    begun_ns: int
    since_ns: int
    left_ns: int
    slowdown: float
    done_ns: int = 0
    stalls: bool = False
    version: int = 0


class FaultyDriver(Driver):
    """A virtual cluster that breaks.

    Attributes:
        lost_ns: time of each job's ranks that came to nothing: the world's own count.
        counts: faults that have happened, by kind.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        futures: RigidFutures,
        policy: Policy | None,
        faults: Iterator[Fault],
        failures: JobFailures,
        checkpoints: Callable[[int], Checkpoints],
    ) -> None:
        """
        Args:
            checkpoints: how a gang on so many nodes saves.
        """
        super().__init__(nodes, futures, policy)
        self.lost_ns: dict[JobId, int] = {}
        self.counts: dict[str, int] = {}
        self._breaks: Agenda[Callable[[], None]] = Agenda()
        self._faults = faults
        self._failures = failures
        self._checkpoints = checkpoints
        self._stretches: dict[JobId, Stretch] = {}
        self._ready_at_ns: dict[JobId, int] = {}
        self._saved_ns: dict[JobId, int] = {}
        self._fails: dict[JobId, tuple[int, bool] | None] = {}
        self._failed: dict[JobId, int] = {}
        self._down: dict[NodeId, int] = {}
        self._dead: set[NodeId] = set()
        self._slow: dict[NodeId, list[float]] = {}
        self._plan_fault()

    def submit(self, spec: JobSpec, row: TraceJob) -> JobId:
        """Hand a job in. What never fits would keep a world with faults going for ever."""
        need = spec.resources
        assert self.state.rooms.ever_fits(need, need.sizes[0]), f"{row.key} fits on no set of nodes"
        job = super().submit(spec, row)
        self._saved_ns[job] = self.lost_ns[job] = 0
        self._failed[job] = 1
        self._fails[job] = self._failures.after_ns(row.key, 1)
        return job

    # ---- time

    def next_ns(self) -> int | None:
        """When something happens next; faults by themselves keep no world going."""
        next_ns = super().next_ns()
        broken_ns = self._breaks.next_ns()
        if not (self.state.active or self.state.queue or self.agenda) or broken_ns is None:
            return next_ns
        return broken_ns if next_ns is None else min(next_ns, broken_ns)

    def turn(self, now_ns: int) -> None:
        """Everything that happens at one instant: what breaks comes first."""
        self.now_ns = now_ns
        while self._breaks.next_ns() == now_ns:
            self._breaks.pop()()
        super().turn(now_ns)

    # ---- nodes

    def _plan_fault(self) -> None:
        fault = next(self._faults, None)
        if fault is not None:
            self._breaks.put(fault.at_ns, FINISH, lambda: self._break(fault))

    def _break(self, fault: Fault) -> None:
        kind = fault.kind.value
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._plan_fault()
        node = fault.node
        if fault.kind is FaultKind.STRAGGLER:
            self._slow.setdefault(node, []).append(fault.slowdown)
            self._pace_changed(node)
            self._breaks.put(fault.until_ns, READY, lambda: self._recovered(fault))
            return
        leaves = fault.kind is FaultKind.SPOT
        self._down[node] = self._down.get(node, 0) + 1
        self.record(NodeClosed(node=node, reason=_REASONS[fault.kind], leaves=leaves))
        if fault.kind is FaultKind.NODE:
            self._lose(node)
        elif fault.kind is FaultKind.DEVICE:
            for gang in self._gangs_on(node):
                if fault.device in gang.placement.share_of(node).devices:
                    message = f"device {fault.device} of {node} is broken"
                    self._fail(gang, node, _killed(message))
        else:
            self._breaks.put(fault.at_ns + fault.notice_ns, READY, lambda: self._lose(node))
        self._breaks.put(fault.until_ns, READY, lambda: self._repaired(node))

    def _repaired(self, node: NodeId) -> None:
        self._down[node] -= 1
        if not self._down[node]:
            self._dead.discard(node)
            self.record(NodeOpened(node=node))

    def _lose(self, node: NodeId) -> None:
        """Every process of the node is gone, and the engine knows."""
        self._dead.add(node)
        for gang in self._gangs_on(node):
            self._drop(gang)
            self._gone(gang.job, gang.epoch, node)

    def _gangs_on(self, node: NodeId) -> list[Gang]:
        gangs = self.engine.gangs.values()
        return [gang for gang in gangs if gang.alive and node in gang.nodes]

    def _recovered(self, fault: Fault) -> None:
        self._slow[fault.node].remove(fault.slowdown)
        self._pace_changed(fault.node)

    def _pace_changed(self, node: NodeId) -> None:
        for gang in self._gangs_on(node):
            stretch = self._stretches.get(gang.job)
            if stretch is not None:
                self._count(stretch)
                stretch.slowdown = self._slowdown_of(gang)
                self._plan(gang, stretch)

    def _slowdown_of(self, gang: Gang) -> float:
        """A gang is as slow as its slowest node."""
        return max((max(self._slow.get(node, ()), default=1.0) for node in gang.nodes), default=1.0)

    # ---- work

    def _startup_ns(self, gang: Gang) -> int:
        startup_ns = super()._startup_ns(gang)
        if gang.generation > 1:
            restart_s = self._checkpoints(len(gang.nodes)).restart_s
            startup_ns = max(startup_ns, round(restart_s * NS_PER_S))
        self._ready_at_ns[gang.job] = self.now_ns + startup_ns
        return startup_ns

    def _ready(self, gang: Gang) -> None:
        # A failure on the way up makes a start void; the next generation has one of its own.
        if self._ready_at_ns.get(gang.job) == self.now_ns:
            super()._ready(gang)

    def _work(self, gang: Gang) -> None:
        batch = self.tuner.batch(gang.job, gang.placement)
        left_ns = self.futures.begin(gang.job, gang.placement, batch, self.now_ns)
        stretch = Stretch(self.now_ns, self.now_ns, left_ns, self._slowdown_of(gang))
        self._stretches[gang.job] = stretch
        self._plan(gang, stretch)

    def _count(self, stretch: Stretch) -> None:
        """Count the work that was done up to now."""
        if not stretch.stalls:
            done_ns = round((self.now_ns - stretch.since_ns) / stretch.slowdown)
            stretch.done_ns = min(stretch.done_ns + done_ns, stretch.left_ns)
        stretch.since_ns = self.now_ns

    def _plan(self, gang: Gang, stretch: Stretch) -> None:
        """What ends the stretch if nothing comes between: all is done, a save, or a failure."""
        if stretch.stalls:
            return
        stretch.version += 1
        version = stretch.version
        ends_ns, end = stretch.left_ns, self._done
        interval_s = self._checkpoints(len(gang.nodes)).interval_s
        if interval_s is not None and round(interval_s * NS_PER_S) < ends_ns:
            ends_ns, end = round(interval_s * NS_PER_S), self._save
        fails = self._fails[gang.job]
        if fails is not None and fails[0] < ends_ns:
            ends_ns, end = fails[0], self._fails_by_itself
        wall_ns = round((ends_ns - stretch.done_ns) * stretch.slowdown)

        def due() -> None:
            if self._stretches.get(gang.job) is stretch and stretch.version == version:
                stretch.done_ns, stretch.since_ns = ends_ns, self.now_ns
                end(gang, stretch)

        self.agenda.put(self.now_ns + max(wall_ns, 0), FINISH, due)

    def _done(self, gang: Gang, stretch: Stretch) -> None:
        del self._stretches[gang.job]
        self._finish(gang)

    def _save(self, gang: Gang, stretch: Stretch) -> None:
        stretch.stalls = True

        def whole() -> None:
            if self._stretches.get(gang.job) is not stretch:
                return
            gang.n += 1
            step, stall_ns = self._end_work(gang, saved=True)
            fact = committed(who(gang, gang.nodes[0]), gang.n, step, stall_ns=stall_ns)
            self._report(gang, gang.nodes[0], fact)
            self._work(gang)

        stall_s = self._checkpoints(len(gang.nodes)).stall_s
        self.agenda.put(self.now_ns + round(stall_s * NS_PER_S), FINISH, whole)

    def _fails_by_itself(self, gang: Gang, stretch: Stretch) -> None:
        fails = self._fails[gang.job]
        assert fails is not None, "it was planned"
        node = gang.nodes[0]
        user = Failure(code=FailureCode.EXIT_CODE, exit_code=1, rank=0, message="rank 0: exit 1")
        failure = user if fails[1] else _killed("rank 0 was killed")
        self._failed[gang.job] += 1
        self._fail(gang, node, failure)
        key = self.state.jobs[gang.job].key
        self._fails[gang.job] = self._failures.after_ns(key, self._failed[gang.job])

    def _end_work(self, gang: Gang, *, saved: bool) -> tuple[int, int]:
        stretch = self._stretches.pop(gang.job)
        stalled_ns = self.now_ns - stretch.since_ns if stretch.stalls else 0
        self._count(stretch)
        self.futures.stop(gang.job, stretch.begun_ns + stretch.done_ns, saved=saved)
        fails = self._fails[gang.job]
        if fails is not None:
            # Failures follow the work that was done, saved or not.
            self._fails[gang.job] = max(fails[0] - stretch.done_ns, 1), fails[1]
        if saved:
            self._saved_ns[gang.job] += stretch.done_ns
        else:
            self.lost_ns[gang.job] += round(stretch.done_ns * stretch.slowdown) + stalled_ns
        return round(self._saved_ns[gang.job] / NS_PER_STEP), stalled_ns

    # ---- failures

    def _report(self, gang: Gang, node: NodeId, *facts: WorkerFact) -> None:
        if node not in self._dead:
            super()._report(gang, node, *facts)

    def _drop(self, gang: Gang) -> None:
        """The ranks of a gang are gone; what they had not saved is lost."""
        self._ready_at_ns.pop(gang.job, None)
        if gang.job in self._stretches:
            self._end_work(gang, saved=False)
        gang.ready_ns = None

    def _fail(self, gang: Gang, node: NodeId, failure: Failure) -> None:
        """A rank fails; the workers stop all others, and stay for the next generation."""
        self._drop(gang)
        about = {**who(gang, node), "n": gang.n + 1}
        self._report(gang, node, GangFailed(**about, failure=failure, step=0))
        for each in gang.nodes:
            self._report(gang, each, RanksStopped(**who(gang, each), n=gang.n + 2))
        gang.n += 2


def _killed(message: str) -> Failure:
    return Failure(code=FailureCode.SIGNAL, signal="SIGKILL", rank=0, message=message)
