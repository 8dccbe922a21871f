"""What a report shows of a run: who held what and when, in memory that does not grow with it.

Time is kept in bins that double their width when the run outgrows them. Single stretches are kept
as well while they are few enough to be drawn one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.control.state import Job, State
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import Decided, Recorded
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobState
from irongrid.twin.driver import Driver
from irongrid.units import NS_PER_S

BINS = 480
ROWS_MAX = 64
STRETCHES_MAX = 6_000
Array = NDArray[np.float64]


class Bins:
    """Amounts by row over time, in at most `BINS` bins of equal width from 0 on."""

    def __init__(self, rows: int) -> None:
        self.width_ns = NS_PER_S
        self._values = np.zeros((rows, BINS))

    def add(self, row: int, from_ns: int, to_ns: int, amount: float) -> None:
        """An amount of something lasted from one moment to another."""
        while to_ns > self.width_ns * BINS:
            self._double()
        first, last = from_ns // self.width_ns, to_ns // self.width_ns
        values = self._values[row]
        if first == last:
            values[first] += amount * (to_ns - from_ns)
            return
        values[first] += amount * ((first + 1) * self.width_ns - from_ns)
        values[first + 1 : last] += amount * self.width_ns
        if last < BINS:
            values[last] += amount * (to_ns - last * self.width_ns)

    def means(self, end_ns: int) -> Array:
        """The mean amount by row and bin, up to the bin that holds the end."""
        count = max(1, -(-end_ns // self.width_ns))
        widths = np.full(count, float(self.width_ns))
        widths[-1] = max(1, end_ns - (count - 1) * self.width_ns)
        return np.asarray(self._values[:, :count] / widths)

    def _double(self) -> None:
        pairs = self._values[:, 0::2] + self._values[:, 1::2]
        self._values[:, : BINS // 2] = pairs
        self._values[:, BINS // 2 :] = 0.0
        self.width_ns *= 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """One job on the devices of one node for a time, in seconds of virtual time."""

    job: JobId
    node: int
    devices: tuple[int, ...]
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What was held over time.

    Attributes:
        node_ids: in the order of the fleet; `nodes_per_row` of them share a row of `held`.
        held: mean devices in use, by row and bin.
        waiting: mean devices that waiting jobs asked for, by bin.
        bin_s: width of a bin.
        held_device_s: by node.
        job_device_s: by job.
        stretches: None where there were too many to keep.
    """

    node_ids: tuple[NodeId, ...]
    node_devices: tuple[int, ...]
    nodes_per_row: int
    held: Array
    waiting: Array
    bin_s: float
    end_s: float
    held_device_s: Array
    job_device_s: Mapping[JobId, float]
    stretches: tuple[Stretch, ...] | None


class Recorder:
    """Looks on as a driver runs; call it with the driver before the run."""

    def __init__(self) -> None:
        self._state: State | None = None

    def __call__(self, driver: Driver) -> None:
        """Look on from now on."""
        self._state = driver.state
        self._nodes = {node: at for at, node in enumerate(driver.state.nodes)}
        self._per_row = -(-len(self._nodes) // ROWS_MAX)
        self._bins = Bins(-(-len(self._nodes) // self._per_row) + 1)
        self._held: dict[JobId, tuple[Placement, int]] = {}
        self._waits: dict[JobId, int] = {}
        self._device_ns = [0] * len(self._nodes)
        self._job_ns: dict[JobId, int] = {}
        self._stretches: list[Stretch] | None = []
        self._end_ns = 0
        driver.watchers.append(self._look)

    def seen(self) -> Seen:
        """What was seen, once the run is over."""
        assert self._state is not None, "a driver has run before"
        means = self._bins.means(self._end_ns)
        nodes = self._state.nodes
        return Seen(
            node_ids=tuple(nodes),
            node_devices=tuple(node.devices for node in nodes.values()),
            nodes_per_row=self._per_row,
            held=means[:-1],
            waiting=means[-1],
            bin_s=self._bins.width_ns / NS_PER_S,
            end_s=self._end_ns / NS_PER_S,
            held_device_s=np.array(self._device_ns) / NS_PER_S,
            job_device_s={job: held / NS_PER_S for job, held in self._job_ns.items()},
            stretches=None if self._stretches is None else tuple(self._stretches),
        )

    def _look(self, recorded: Recorded) -> None:
        assert self._state is not None, "attached"
        event = recorded.event
        if isinstance(event, Decided):
            for action in event.decision.actions:
                self._job(self._state.jobs[action.job], recorded.at_ns)
        elif (job := getattr(event, "job", None)) is not None:
            self._job(self._state.jobs[job], recorded.at_ns)

    def _job(self, job: Job, at_ns: int) -> None:
        placement = job.attempt.placement if job.attempt else None
        old = self._held.get(job.id)
        if (old[0] if old else None) is not placement:
            if old is not None:
                del self._held[job.id]
                for share in old[0].shares:
                    self._free(job.id, share, old[1], at_ns)
            if placement is not None:
                self._held[job.id] = (placement, at_ns)
        waits = job.state is JobState.QUEUED
        if waits and job.id not in self._waits:
            self._waits[job.id] = at_ns
        elif not waits and job.id in self._waits:
            since_ns = self._waits.pop(job.id)
            self._bins.add(-1, since_ns, at_ns, job.spec.resources.sizes[0])
        self._end_ns = at_ns

    def _free(self, job: JobId, share: NodeShare, from_ns: int, to_ns: int) -> None:
        node, count = self._nodes[share.node], len(share.devices)
        self._bins.add(node // self._per_row, from_ns, to_ns, count)
        self._device_ns[node] += count * (to_ns - from_ns)
        self._job_ns[job] = self._job_ns.get(job, 0) + count * (to_ns - from_ns)
        if self._stretches is None:
            return
        if len(self._stretches) == STRETCHES_MAX:
            self._stretches = None
            return
        self._stretches.append(
            Stretch(job, node, share.devices, from_ns / NS_PER_S, to_ns / NS_PER_S)
        )
