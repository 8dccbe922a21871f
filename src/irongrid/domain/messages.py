"""What goes over the wire between server, workers and clients: typed and bounded.

The server's OpenAPI is generated from these classes, so their docstrings are its reference.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from irongrid.domain.device import Placement
from irongrid.domain.event import WorkerFact
from irongrid.domain.failure import Failure
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec

# Read by pydantic where the server builds its API from these classes; nothing is imported for it.
_STRICT: dict[str, str] = {"extra": "forbid"}


# ---- clients -> server ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """A job to run.

    Attributes:
        job: the content of a job.yaml, as JSON. Paths in it must be absolute.
        key: idempotency key; sending the same key again returns the same job.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    job: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job is durable.

    Attributes:
        queue_position: 1 is next; 0 when it does not wait.
        already: whether an earlier request with this key had created it.
    """

    job_id: str
    name: str
    state: str
    queue_position: int
    already: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job in a list."""

    job_id: str
    name: str
    state: str
    wait_code: str
    devices: int
    nodes: tuple[str, ...]
    epoch: int
    step: int
    steps_total: int
    restarts: int
    submitted_at_ns: int
    ended_at_ns: int
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs, newest first; `next_cursor` asks for the one after, empty at the end.

    Attributes:
        closed: nodes that take no new work, and why, one sentence each.
    """

    jobs: tuple[JobRow, ...]
    next_cursor: str
    counts: dict[str, int]
    closed: dict[NodeId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAccount:
    """Where a job's wall time went. The parts add up to `wall_s` exactly (in nanoseconds).

    Attributes:
        running_s: work that counts.
        checkpoint_stall_s: training stood still for a checkpoint.
        lost_s: work done after the last checkpoint before a failure, and so done again.
        recovering_s: from a failure to the moment when ranks work again.
        stopping_s: from a stop request to the last process gone.
    """

    wall_s: float
    queued_s: float
    paused_s: float
    starting_s: float
    running_s: float
    checkpoint_stall_s: float
    lost_s: float
    recovering_s: float
    stopping_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One launch of a job's gang."""

    attempt: str
    epoch: int
    generation: int
    phase: str
    world_size: int
    placement: Placement
    started_at_ns: int
    ended_at_ns: int
    limits: str
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointView:
    """The newest committed checkpoint of a job."""

    step: int
    epoch: int
    path: str
    size_bytes: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """Everything about one job.

    Attributes:
        ended_because: one sentence; empty while the job is not final.
        metrics: latest figures: `loss`, `eval_loss`, `tokens_per_s`, `step_time_s`, ...
        lost_steps: optimizer steps that had to be done again.
    """

    row: JobRow
    spec: JobSpec
    time_account_s: TimeAccount
    attempts: tuple[AttemptView, ...]
    checkpoint: CheckpointView | None
    failure: Failure | None
    ended_because: str
    metrics: dict[str, float]
    lost_steps: int
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One thing that keeps a job from starting."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a job is where it is.

    Attributes:
        sentence: one plain sentence with numbers.
        constraints: everything that blocks it, the hardest first.
        smallest_change: what would start it; empty where nothing is needed.
        holders: jobs that hold what it waits for, and until when if that is known.
    """

    job_id: str
    state: str
    code: str
    sentence: str
    constraints: tuple[Constraint, ...] = ()
    smallest_change: str = ""
    holders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A line of the log for people and programs; `body` is the event's own JSON."""

    seq: int
    at_ns: int
    kind: str
    version: int
    job_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events in order; ask again with `after` = the last `seq`."""

    events: tuple[EventRow, ...]
    head_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of one rank's output, at most 64 KiB.

    Attributes:
        offset: position of the first byte, counted from the start of the rank's output.
        next_offset: where to read on.
        dropped_bytes: bytes asked for that rotation has removed.
        ended: the rank will write no more.
    """

    attempt: str
    rank: int
    offset: int
    next_offset: int
    dropped_bytes: int
    text: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node and what is free on it.

    Attributes:
        closed: why it takes no new work, one sentence; empty where it does.
    """

    node: str
    device_type: str
    devices: int
    free_devices: int
    cpus: float
    free_cpus: float
    memory_bytes: int
    free_memory_bytes: int
    closed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """The server and its fleet."""

    version: str
    server_epoch: int
    head_seq: int
    started_at_ns: int
    engine: str
    policy: str
    store: str
    home: str
    nodes: tuple[NodeRow, ...]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequest:
    """Give a node no new work; what runs there ends by itself, or saves and goes if `leave`."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    leave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetail:
    """A node, and the jobs that hold devices of it.

    Attributes:
        jobs: ids, in the order of their submission.
    """

    row: NodeRow
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownRequest:
    """Stop the server; running jobs go on without it unless `stop_jobs`."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    stop_jobs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """The body of every answer that is not a success."""

    code: str
    problem: str
    fix: str = ""
    details: tuple[str, ...] = ()


# ---- server <-> worker ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """All that a worker needs; written to its stdin, never to argv or a file.

    Attributes:
        token: bearer token that names job, attempt and epoch and dies with the attempt.
        address_file: where the server's current address stands; read again on every reconnect.
        job_dir: folder of the job: logs, metrics, checkpoints.
        cache_dir: folder shared by jobs: tokenised data.
        lease_s: silence from the server after which ranks are stopped; None is never.
        environment: the job's own variables, values included.
    """

    job: JobId
    epoch: int
    node: NodeId
    placement: Placement
    spec: JobSpec
    token: str
    address_file: str
    job_dir: str
    cache_dir: str
    lease_s: float | None
    environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Telemetry of one node's ranks: bounded, not durable, may be lost."""

    step: int = 0
    phase: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker's news. Facts are sent again until a report that holds them is answered."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    job: JobId
    epoch: int
    node: NodeId
    beat: Beat
    facts: tuple[WorkerFact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What a worker should be doing now; complete each time, so a lost one does no harm.

    Attributes:
        version: rises with each change; the long poll waits for one above the version it has.
        action: `hold` (run no ranks, wait), `run` (have this generation's ranks running), `stop`
            (stop the ranks, confirm by RanksStopped of this generation, and end).
        generation: whose ranks, with `hold` the one to come; ranks of an older generation are
            stopped first and confirmed by RanksStopped(generation - 1), started or not.
        rendezvous: `host:port` where the ranks of this generation meet.
        checkpoint: rises by one with each request to save a checkpoint soon.
        grace_s: with `stop`: time for a last checkpoint before ranks are killed; 0 kills at once.
        save: with `stop`: whether to ask the ranks for a last checkpoint.
    """

    version: int
    action: str
    generation: int
    rendezvous: str
    checkpoint: int = 0
    grace_s: float = 0.0
    save: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    """The answer to a report: the facts in it are durable."""

    accepted_n: int
    directive: Directive
