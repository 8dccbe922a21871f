"""The engine and the workers of the virtual world.

The engine keeps the contract of `ports.Engine`: idempotent by (job, epoch), and GONE is proof. Its
workers keep the one of real workers: they number their facts, report them through the same checks,
and obey directives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from irongrid.domain.device import Node, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import LaunchOrder
from irongrid.ports import Capabilities, Observed, WorkerPhase


@dataclass(slots=True)
class Gang:
    """The workers of one attempt, which live and die together here.

    Attributes:
        n: facts that each worker has reported.
        ready_ns: when the ranks began to work; None before that.
        alive: whether its workers exist.
    """

    job: JobId
    epoch: int
    placement: Placement
    n: int = 0
    generation: int = 0
    ready_ns: int | None = None
    alive: bool = True
    nodes: tuple[NodeId, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = tuple(share.node for share in self.placement.shares)


class SimulatedEngine:
    """Starts and stops workers that exist only in the twin. See `ports.Engine`."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self.gangs: dict[JobId, Gang] = {}
        self.launched: list[Gang] = []

    def capabilities(self) -> Capabilities:
        """Nodes are ours to name, and the table of gangs proves what runs."""
        return Capabilities(name="twin", placement="ours", lease_s=None)

    def nodes(self) -> tuple[Node, ...]:
        """The fleet."""
        return self._nodes

    def launch(self, orders: Sequence[LaunchOrder]) -> None:
        """Start one worker per order; a repeated or older launch starts nothing."""
        first = orders[0]
        known = self.gangs.get(first.job)
        if known is not None and known.epoch >= first.epoch:
            return
        gang = Gang(first.job, first.epoch, first.placement)
        self.gangs[first.job] = gang
        self.launched.append(gang)

    def stop(self, job: JobId, epoch: int, placement: Placement) -> None:
        """Kill whatever of the attempt still runs."""
        gang = self.gangs.get(job)
        if gang is not None and gang.epoch == epoch:
            gang.alive = False

    def observe(self, wanted: Sequence[tuple[JobId, int, NodeId]]) -> tuple[Observed, ...]:
        """The phase of each wanted worker."""
        return tuple(
            Observed(job=job, epoch=epoch, node=node, phase=self._phase(job, epoch))
            for job, epoch, node in wanted
        )

    def _phase(self, job: JobId, epoch: int) -> WorkerPhase:
        gang = self.gangs.get(job)
        alive = gang is not None and gang.epoch == epoch and gang.alive
        return WorkerPhase.ALIVE if alive else WorkerPhase.GONE
