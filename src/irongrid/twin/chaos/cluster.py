"""Machines and the engine that knows them: it starts and stops workers, and proves what is gone.

The engine keeps the contract of `ports.Engine` over a mail that is not reliable: idempotent by
(job, epoch), and GONE is proof. What happens on a node that is cut off it does not know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irongrid.domain.command import Launch, StopAttempt
from irongrid.domain.device import Node
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import ReportAnswer, WorkerReport
from irongrid.ports import Observed, WorkerPhase
from irongrid.twin.chaos.gang import NS_PER_STEP, Gang
from irongrid.twin.chaos.ledger import Ledger
from irongrid.twin.chaos.site import Files, Mail, Virtual
from irongrid.twin.chaos.worker import Worker
from irongrid.twin.faults import Fault, FaultKind, JobFailures

Place = tuple[JobId, int, NodeId]
Reporter = Callable[[WorkerReport, Callable[[ReportAnswer | None], None]], None]
_REFUSED = 0.004


@dataclass(slots=True)
class Machine:
    """A node as it is.

    Attributes:
        down: how many faults keep it from working.
        closed: why the engine wants no work there, and whether what is there must go.
    """

    node: Node
    down: int = 0
    closed: tuple[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What the engine has seen at one moment; later looks have higher numbers."""

    number: int
    gone: tuple[Observed, ...]
    closed: dict[NodeId, tuple[str, bool]]


class Cluster:
    """All machines, all workers, and the engine.

    Attributes:
        report: hands a worker's news to the server, which answers by a call.
        total_steps: the work of each job.
        counts: faults that have happened, by kind.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        time: Virtual,
        mail: Mail,
        files: Files,
        ledger: Ledger,
        failures: JobFailures,
    ) -> None:
        self.nodes = nodes
        self.time, self.mail, self.files, self.ledger = time, mail, files, ledger
        self.report: Reporter = lambda news, reply: None
        self.total_steps: dict[JobId, int] = {}
        self.counts: dict[str, int] = {}
        self._failures = failures
        self._failed: dict[JobId, int] = {}
        self._machines = {node.id: Machine(node) for node in nodes}
        self._workers: dict[Place, Worker] = {}
        self._gangs: dict[tuple[JobId, int, int], Gang] = {}
        self._launched: dict[JobId, tuple[Launch, bool]] = {}
        self._looks = 0

    # ---- the engine

    def launch(self, launch: Launch) -> bool | None:
        """Start one worker per node; a repeated launch starts nothing.

        Returns:
            Whether the cluster takes it; None for one that is older than another.
        """
        known = self._launched.get(launch.job)
        if known is not None and known[0].epoch >= launch.epoch:
            return known[1] if known[0].epoch == launch.epoch else None
        self.ledger.launched(launch.job, launch.epoch)
        taken = self.mail.healed or self.time.draw.random() >= _REFUSED
        self._launched[launch.job] = launch, taken
        for share in launch.placement.shares if taken else ():
            machine = self._machines[share.node]
            if not machine.down and not self.mail.is_cut(share.node):
                place = (launch.job, launch.epoch, share.node)
                self._workers[place] = Worker(self, *place, share.devices)
        return taken

    def stop(self, stop: StopAttempt) -> None:
        """Kill whatever of the attempt still runs, where the engine gets to."""
        for share in stop.placement.shares:
            worker = self._workers.get((stop.job, stop.epoch, share.node))
            if worker is not None and not self.mail.is_cut(share.node):
                worker.vanish()

    def look(self, wanted: Sequence[Place]) -> Look:
        """Which of the wanted workers are proved to be gone, and which nodes take no work."""
        self._looks += 1
        gone = tuple(
            Observed(job=job, epoch=epoch, node=node, phase=WorkerPhase.GONE)
            for job, epoch, node in wanted
            if self._is_gone((job, epoch, node))
        )
        closed = {
            machine.node.id: machine.closed
            for machine in self._machines.values()
            if machine.closed is not None
        }
        return Look(self._looks, gone, closed)

    def _is_gone(self, place: Place) -> bool:
        worker = self._workers.get(place)
        if worker is None:
            return True
        return not worker.alive and not self.mail.is_cut(place[2])

    # ---- workers

    def to_server(
        self, news: WorkerReport, answered: Callable[[ReportAnswer | None], None]
    ) -> None:
        """Post a report, and its answer."""
        node = news.node

        def reply(answer: ReportAnswer | None) -> None:
            self.mail.send(lambda: answered(answer), node)

        self.mail.send(lambda: self.report(news, reply), node)

    def worker(self, place: Place) -> Worker | None:
        """A worker that was started once."""
        return self._workers.get(place)

    def gang(self, job: JobId, epoch: int, generation: int) -> Gang:
        """The ranks of a generation, wherever they are."""
        key = (job, epoch, generation)
        gang = self._gangs.get(key)
        if gang is None:
            launch = self._launched[job][0]
            nodes = tuple(share.node for share in launch.placement.shares)
            number = self._failed[job] = self._failed.get(job, 0) + 1
            fails = self._failures.after_ns(job, number)
            fails_at = None
            if fails is not None and not self.mail.healed:
                fails_at = self.files.latest(job)[1] + fails[0] // NS_PER_STEP
            total = self.total_steps[job]
            if fails_at is not None and fails_at >= total:
                fails_at = None
            gang = Gang(self.time, self.files, job, nodes, total, fails_at)
            self._gangs[key] = gang
        return gang

    def alive(self) -> list[Worker]:
        """All workers that exist."""
        return [worker for worker in self._workers.values() if worker.alive]

    # ---- faults

    def happens(self, kind: str) -> None:
        """Count a fault."""
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def breaks(self, fault: Fault) -> None:
        """A fault begins, and ends by itself."""
        self.happens(fault.kind.value)
        time, node = self.time, fault.node
        machine = self._machines[node]
        if fault.kind is FaultKind.STRAGGLER:
            self.mail.slow[node] = self.mail.slow.get(node, 0) + 1
            time.at(fault.until_ns, lambda: self._is_swift(node))
            return
        if fault.kind is FaultKind.NODE:
            self._down(machine)
            time.after(time.draw.uniform(1, 20), lambda: self._close(machine, False))
        elif fault.kind is FaultKind.DEVICE:
            self._close(machine, False)
            for worker in self._on(node):
                if fault.device in worker.devices:
                    worker.rank_failed()
        else:
            self._close(machine, True)
            time.at(fault.at_ns + fault.notice_ns, lambda: self._down(machine))
        time.at(fault.until_ns, lambda: self._repaired(machine))

    def cut(self, node: NodeId, lasts_s: float) -> None:
        """Nothing passes to and from a node for a while."""
        self.happens("partition")
        self.mail.cut[node] = self.mail.cut.get(node, 0) + 1

        def whole() -> None:
            self.mail.cut[node] -= 1

        self.time.after(lasts_s, whole)

    def kill_one(self) -> None:
        """A worker is killed from outside, with its ranks."""
        alive = self.alive()
        if alive:
            self.happens("worker")
            self.time.draw.choice(alive).vanish()

    def fail_one(self) -> None:
        """A rank somewhere fails."""
        alive = self.alive()
        if alive:
            self.happens("rank")
            self.time.draw.choice(alive).rank_failed()

    def heal(self) -> None:
        """All machines work from now on, and all reach each other."""
        for machine in self._machines.values():
            machine.down, machine.closed = 0, None
        self.mail.healed = True

    def _on(self, node: NodeId) -> list[Worker]:
        return [worker for worker in self.alive() if worker.node == node]

    def _down(self, machine: Machine) -> None:
        if self.mail.healed:
            return
        machine.down += 1
        for worker in self._on(machine.node.id):
            worker.vanish()

    def _close(self, machine: Machine, leaves: bool) -> None:
        if not self.mail.healed:
            machine.closed = ("it leaves" if leaves else "it is broken", leaves)

    def _repaired(self, machine: Machine) -> None:
        machine.down, machine.closed = 0, None

    def _is_swift(self, node: NodeId) -> None:
        self.mail.slow[node] -= 1
