"""The state: one mutable, indexed owner of jobs, attempts and free capacity.

Only `apply` changes it. Indexes keep each event cheap: the queue is sorted by job id, which is
submission order; free devices are kept per node; timers are a heap.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from enum import StrEnum

from irongrid.control.account import Account
from irongrid.control.timers import Timers
from irongrid.domain.decision import Outcome, WaitCode
from irongrid.domain.device import Node, Placement
from irongrid.domain.failure import Failure
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, JobState, Resources

# Attempts beyond this many are dropped from memory, oldest first; the log keeps them all.
KEPT_ATTEMPTS = 20


class Phase(StrEnum):
    """Where an attempt stands.

    LAUNCHING: the engine has not answered. PENDING: workers and ranks are on their way. RUNNING:
    all ranks work. FAILED: a rank or worker failed and a decision is due. RECOVERING: a new
    generation is coming up. STOPPING: an end was decided. ENDED: nothing of it runs.
    """

    LAUNCHING = "launching"
    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(slots=True)
class Member:
    """One node of an attempt: what its worker has reported.

    Attributes:
        n: number of the worker's last fact that the log holds.
        ready, stopped: newest generation whose ranks all work, or are all gone.
        finished: every rank ended well.
        gone: nothing runs there any more and never will, for this epoch.
    """

    joined: bool = False
    n: int = 0
    ready: int = 0
    stopped: int = 0
    finished: bool = False
    gone: bool = False


@dataclass(slots=True)
class Stopping:
    """A decided end. `deadline_ns` is when the engine may use force."""

    outcome: Outcome
    reason: str
    grace_s: float
    deadline_ns: int
    not_before_ns: int
    forced: bool = False


@dataclass(slots=True)
class Attempt:
    """One launch of a gang. `version` numbers the directives that follow from it."""

    epoch: int
    placement: Placement
    started_at_ns: int
    members: dict[NodeId, Member]
    phase: Phase = Phase.LAUNCHING
    generation: int = 1
    version: int = 1
    failed_at_ns: int = 0
    ended_at_ns: int = 0
    rendezvous: str = ""
    limits: str = ""
    stopping: Stopping | None = None
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Saved:
    """The newest committed checkpoint."""

    step: int
    epoch: int
    path: str
    size_bytes: int
    at_ns: int


@dataclass(slots=True)
class Job:
    """A job and everything known about it.

    Attributes:
        wanted: what a person asked for while the job was active: CANCEL or PAUSE.
        retries: restarts since the last progress; the crash-loop guard.
        restarts: restarts over the job's life, in place or not.
        step: last optimizer step reported; `lost_from`: the step that had been reached at the last
            failure, until the restart says where it goes on.
    """

    id: JobId
    spec: JobSpec
    key: str
    submitted_at_ns: int
    account: Account
    state: JobState = JobState.QUEUED
    wait_code: WaitCode = WaitCode.NEW
    epoch: int = 0
    attempt: Attempt | None = None
    past: list[Attempt] = field(default_factory=list)
    wanted: Outcome | None = None
    not_before_ns: int = 0
    retries: int = 0
    restarts: int = 0
    step: int = 0
    lost_from: int = 0
    lost_steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    saved: Saved | None = None
    failure: Failure | None = None
    ended_at_ns: int = 0
    ended_because: str = ""


@dataclass(slots=True)
class Free:
    """What is free on a node of the fleet."""

    devices: set[int]
    cpus: float
    memory_bytes: int


class State:
    """All jobs, the fleet, and the indexes over them."""

    def __init__(self) -> None:
        self.seq = 0
        self.at_ns = 0
        self.server_epoch = 0
        self.submitted = 0
        self.nodes: dict[NodeId, Node] = {}
        self.free: dict[NodeId, Free] = {}
        self.jobs: dict[JobId, Job] = {}
        self.by_key: dict[str, JobId] = {}
        self.queue: list[JobId] = []
        self.active: dict[JobId, None] = {}
        self.paused: dict[JobId, None] = {}
        self.ended_by_state: dict[JobState, int] = {}
        self.attention: dict[JobId, None] = {}
        self.timers = Timers()

    def enqueue(self, job: JobId) -> None:
        """Put a job at its place in the queue: by submission, wherever it comes from.

        The list shifts by memmove, some microseconds for 100,000 entries.
        """
        insort(self.queue, job)

    def dequeue(self, job: JobId) -> None:
        """Take a job out of the queue."""
        index = bisect_left(self.queue, job)
        assert self.queue[index] == job, f"{job} is not queued"
        del self.queue[index]

    def queue_position(self, job: JobId) -> int:
        """1 for the head of the queue; 0 for a job that does not wait."""
        index = bisect_left(self.queue, job)
        return index + 1 if index < len(self.queue) and self.queue[index] == job else 0

    def set_fleet(self, nodes: tuple[Node, ...]) -> None:
        """Replace the fleet; what active attempts hold stays taken."""
        self.nodes = {node.id: node for node in nodes}
        self.free = {
            node.id: Free(set(range(node.devices)), node.cpus, node.memory_bytes) for node in nodes
        }
        for job_id in self.active:
            job = self.jobs[job_id]
            assert job.attempt is not None
            self.take(job, job.attempt.placement)

    def take(self, job: Job, placement: Placement) -> None:
        """Allocate a placement."""
        for share in placement.shares:
            self._move(share.node, share.devices, job.spec.resources, -1)

    def release(self, job: Job, placement: Placement) -> None:
        """Free a placement."""
        for share in placement.shares:
            self._move(share.node, share.devices, job.spec.resources, +1)

    def _move(self, node: NodeId, devices: tuple[int, ...], per: Resources, sign: int) -> None:
        free, known = self.free.get(node), self.nodes.get(node)
        if free is None or known is None:
            return  # The node has left the fleet while the attempt ran.
        present = {device for device in devices if device < known.devices}
        free.devices = free.devices - present if sign < 0 else free.devices | present
        # Rounded, as decimal fractions of a CPU would drift over many jobs.
        free.cpus = round(free.cpus + sign * len(devices) * per.cpus, 6)
        free.memory_bytes += sign * len(devices) * per.memory_bytes
