"""Facts: what the append-only log holds. All state is the fold of these.

Each class has a stable `kind` and a `version`. When the form of a kind changes, its version rises
and the store's upcasters bring old records up (see `irongrid.store.upcast`).

Facts that a worker reports carry `n`, the worker's own running number within (attempt, node), so
that a report that is sent twice counts once.
"""

from dataclasses import dataclass
from typing import ClassVar

from irongrid.domain.decision import Decision
from irongrid.domain.device import Node
from irongrid.domain.failure import Failure
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStarted:
    """A server took the store over, with the fleet that its engine shows."""

    kind: ClassVar[str] = "server_started"
    version: ClassVar[int] = 1
    server_epoch: int
    irongrid_version: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStopped:
    """A server handed the store back in order."""

    kind: ClassVar[str] = "server_stopped"
    version: ClassVar[int] = 1
    server_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClosed:
    """A node takes no new work: it drains, it is about to be taken away, or it is broken.

    Attributes:
        reason: one sentence.
        leaves: what runs there must save and go; else it may run to its end.
    """

    kind: ClassVar[str] = "node_closed"
    version: ClassVar[int] = 1
    node: NodeId
    reason: str
    leaves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOpened:
    """A closed node takes work again."""

    kind: ClassVar[str] = "node_opened"
    version: ClassVar[int] = 1
    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """A job was accepted.

    Attributes:
        key: the client's idempotency key; the same key gives the same job.
    """

    kind: ClassVar[str] = "job_submitted"
    version: ClassVar[int] = 1
    job: JobId
    spec: JobSpec
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """A person wants the job to end."""

    kind: ClassVar[str] = "cancel_requested"
    version: ClassVar[int] = 1
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """A person wants the job to save, stop and hold its place."""

    kind: ClassVar[str] = "pause_requested"
    version: ClassVar[int] = 1
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    """A person wants a paused job back in the queue."""

    kind: ClassVar[str] = "resume_requested"
    version: ClassVar[int] = 1
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The policy's round. `apply` skips the parts that no longer hold."""

    kind: ClassVar[str] = "decided"
    version: ClassVar[int] = 1
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAccepted:
    """The engine took the launch: workers are on their way."""

    kind: ClassVar[str] = "launch_accepted"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRefused:
    """The engine will not launch this attempt; nothing of it runs."""

    kind: ClassVar[str] = "launch_refused"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined:
    """A node's worker is up and can host ranks.

    Attributes:
        rendezvous: `host:port` where ranks meet, from the first node's worker; empty from others.
        limits: how rank limits are enforced: `cgroup-v1`, `cgroup-v2`, `rlimit` or `none`.
    """

    kind: ClassVar[str] = "worker_joined"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    node: NodeId
    n: int
    rendezvous: str
    limits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksStarted:
    """All ranks of one node and generation exist as processes."""

    kind: ClassVar[str] = "ranks_started"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksReady:
    """All ranks of one node do their first real work: from here on the job runs.

    A `run` task is ready when its processes exist; a `train` task when its model and state stand.

    Attributes:
        resumed_step: optimizer step that the ranks go on from; 0 for a fresh start or unknown.
        reached_step: the last step that had been done before this start, as the job's own files
            know it; what lies between the two is done again. 0 if unknown.
    """

    kind: ClassVar[str] = "ranks_ready"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    resumed_step: int
    reached_step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GangFailed:
    """A rank failed; its worker stops the node's other ranks of that generation at once.

    Attributes:
        step: the last optimizer step that the node's ranks had reported; 0 if they report none.
    """

    kind: ClassVar[str] = "gang_failed"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    failure: Failure
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksStopped:
    """No process of this node belongs to this generation any more, on the worker's word.

    The answer to each `hold` with a generation above 1 (for the generation before), and to `stop`
    (for the directive's own generation), whether or not the node had started those ranks.
    """

    kind: ClassVar[str] = "ranks_stopped"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksFinished:
    """Every rank of the node ended with exit code 0."""

    kind: ClassVar[str] = "ranks_finished"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    """The node runs nothing of this epoch any more and never will again.

    Attributes:
        proof: `worker` (its last word), `process_table` or `engine` (the processes are gone), or
            `lease` (it ran out, and workers stop their ranks when it does).
    """

    kind: ClassVar[str] = "worker_stopped"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    node: NodeId
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCommitted:
    """A checkpoint is complete and verified on disk.

    Attributes:
        age_ns: time since the state was captured, at the moment of the report. Work older than
            that is safe.
        stall_ns: time that training stood still for this checkpoint.
    """

    kind: ClassVar[str] = "checkpoint_committed"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    step: int
    path: str
    size_bytes: int
    written_bytes: int
    age_ns: int
    stall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFailed:
    """A checkpoint could not be written or read; training goes on from what there is.

    Attributes:
        code: `disk_full`, `damaged`, `io_error` or `fenced`.
    """

    kind: ClassVar[str] = "checkpoint_failed"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    step: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMade:
    """Progress as a fact, at most every 30 s and once at the end; finer progress is telemetry.

    Attributes:
        metrics: named figures such as `loss`, `eval_loss`, `tokens_per_s`.
    """

    kind: ClassVar[str] = "progress_made"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How training goes on what the gang holds; reported when that changes, not step by step.

    Attributes:
        local_bsz: samples per rank and pass.
        accum_steps: passes beyond the first in one optimizer step.
        step_s: one optimizer step without accumulation.
        sync_s: the part of it that is synchronisation.
        grad_sqr, grad_var: squared norm of the gradient, and its variance at the initial batch.
        progress: so far, in steps at the initial batch (Pollux, OSDI 2021).
        data_epochs: passes over the data that are done.
    """

    kind: ClassVar[str] = "measured"
    version: ClassVar[int] = 1
    job: JobId
    epoch: int
    generation: int
    node: NodeId
    n: int
    local_bsz: int
    accum_steps: int
    step_s: float
    sync_s: float
    grad_sqr: float
    grad_var: float
    progress: float
    data_epochs: int


WorkerFact = (
    WorkerJoined
    | RanksStarted
    | RanksReady
    | GangFailed
    | RanksStopped
    | RanksFinished
    | CheckpointCommitted
    | CheckpointFailed
    | ProgressMade
    | Measured
)
Event = (
    ServerStarted
    | ServerStopped
    | NodeClosed
    | NodeOpened
    | JobSubmitted
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | Decided
    | LaunchAccepted
    | LaunchRefused
    | WorkerStopped
    | WorkerFact
)
# Kinds that concern the server or a node; every other event has a `job`, or is a decision on some.
OF_NO_JOB = (ServerStarted, ServerStopped, NodeClosed, NodeOpened)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the log holds it: numbered from 1 without gaps, stamped once, never backwards."""

    seq: int
    at_ns: int
    event: Event
