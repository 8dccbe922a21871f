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
from irongrid.domain.job import JobSpec, JobState
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.free import Free
from irongrid.scheduler.held import Held
from irongrid.scheduler.order import Order
from irongrid.scheduler.rooms import Rooms

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
        wanted: what was asked for while the job was active: CANCEL or PAUSE by a person, REQUEUE
            because a node leaves.
        retries: restarts since the last progress; the crash-loop guard.
        restarts: restarts over the job's life, in place or not.
        planned: where a round wants the job once the devices are free; None is anywhere.
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
    planned: Placement | None = None
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

    @property
    def placement(self) -> Placement:
        """What an active job holds."""
        assert self.attempt is not None, f"{self.id} holds nothing"
        return self.attempt.placement

    @property
    def launched_at_ns(self) -> int:
        """When the ranks of an active job were last asked for."""
        assert self.attempt is not None, f"{self.id} holds nothing"
        return self.attempt.started_at_ns

    @property
    def works(self) -> bool:
        """Whether all ranks of an active job work."""
        return self.attempt is not None and self.attempt.phase is Phase.RUNNING

    def worked_ns(self, at_ns: int) -> int:
        """Time in which ranks worked, over all attempts."""
        return self.account.worked_ns(at_ns)


class State:
    """All jobs, the fleet, and the indexes over them.

    Attributes:
        closed: nodes that take no new work, and why.
        moved_seq: the last record after which a round may decide something new.
        fresh: queued jobs whose reason to wait nobody has given yet.
        stopping: active jobs whose end is decided.
        planned: jobs that have a place which is not free yet.
        order, held: queue and running jobs as the policy in force orders them; None while it needs
            no index.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.moved_seq = 0
        self.at_ns = 0
        self.server_epoch = 0
        self.submitted = 0
        self.nodes: dict[NodeId, Node] = {}
        self.closed: dict[NodeId, str] = {}
        self.rooms = Rooms()
        self.jobs: dict[JobId, Job] = {}
        self.by_key: dict[str, JobId] = {}
        self.queue: list[JobId] = []
        self.fresh: dict[JobId, None] = {}
        self.policy: Policy | None = None
        self.order: Order | None = None
        self.held: Held | None = None
        self.active: dict[JobId, None] = {}
        self.stopping: dict[JobId, None] = {}
        self.planned: dict[JobId, None] = {}
        self.paused: dict[JobId, None] = {}
        self.ended_by_state: dict[JobState, int] = {}
        self.attention: dict[JobId, None] = {}
        self.timers = Timers()

    @property
    def free(self) -> dict[NodeId, Free]:
        """What is free on each node."""
        return self.rooms.free

    def use(self, policy: Policy | None) -> None:
        """Put a policy in force; None is the built-in first-come. No state follows from it."""
        self.policy = policy
        self.order = None if policy is None else Order(policy)
        self.held = None if policy is None else policy.held()
        if self.order is not None:
            for job in self.queue:
                self.order.add(self.jobs[job])
        for job in self.active:
            attempt = self.jobs[job].attempt
            if attempt is not None and attempt.phase is Phase.RUNNING:
                self.works(self.jobs[job])

    def works(self, job: Job) -> None:
        """All ranks of a job have begun to work."""
        if self.held is not None:
            self.held.add(job, self.at_ns)

    def works_no_more(self, job: Job) -> None:
        """A job's ranks have stopped, or must stop."""
        if self.held is not None:
            self.held.remove(job.id)

    def plan(self, job: Job, placement: Placement | None) -> None:
        """Note where a job is to start once the devices are free."""
        job.planned = placement
        if placement is None:
            self.planned.pop(job.id, None)
        else:
            self.planned[job.id] = None

    def enqueue(self, job: Job) -> None:
        """Put a job at its place in the queue: by submission, wherever it comes from.

        The list shifts by memmove, some microseconds for 100,000 entries.
        """
        if not self.queue or self.queue[-1] < job.id:
            self.queue.append(job.id)
        else:
            insort(self.queue, job.id)
        if job.wait_code is WaitCode.NEW:
            self.fresh[job.id] = None
        if self.order is not None:
            self.order.add(job)

    def dequeue(self, job: JobId) -> None:
        """Take a job out of the queue."""
        index = bisect_left(self.queue, job)
        assert self.queue[index] == job, f"{job} is not queued"
        del self.queue[index]
        self.fresh.pop(job, None)
        if self.order is not None:
            self.order.remove(job)

    def jobs_on(self, node: NodeId) -> list[JobId]:
        """Active jobs that hold devices of a node."""
        return [
            job
            for job in self.active
            if any(share.node == node for share in self.jobs[job].placement.shares)
        ]

    def queue_position(self, job: JobId) -> int:
        """1 for the head of the queue; 0 for a job that does not wait."""
        index = bisect_left(self.queue, job)
        return index + 1 if index < len(self.queue) and self.queue[index] == job else 0

    def set_fleet(self, nodes: tuple[Node, ...]) -> None:
        """Replace the fleet; what active attempts hold stays taken, and closed nodes closed."""
        self.nodes = {node.id: node for node in nodes}
        self.rooms = Rooms(nodes)
        self.closed = {node: why for node, why in self.closed.items() if node in self.nodes}
        for node in self.closed:
            self.rooms.close(node)
        for job_id in self.active:
            job = self.jobs[job_id]
            self.take(job, job.placement)

    def take(self, job: Job, placement: Placement) -> None:
        """Allocate a placement."""
        self.rooms.take(placement, job.spec.resources)

    def release(self, job: Job, placement: Placement) -> None:
        """Free a placement."""
        self.rooms.release(placement, job.spec.resources)
