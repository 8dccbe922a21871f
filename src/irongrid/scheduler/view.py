"""What a policy sees: frozen values, cut from the state for one round."""

from dataclasses import dataclass

from irongrid.domain.decision import WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node: what it has, and which of it is free."""

    id: NodeId
    device_type: str
    devices: int
    cpus: float
    memory_bytes: int
    free_devices: tuple[int, ...]
    free_cpus: float
    free_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """A queued job, in queue order.

    Attributes:
        not_before_ns: back-off after a failure; 0 is none.
        code: the reason to wait that the log holds so far.
    """

    job: JobId
    resources: Resources
    max_duration_s: float | None
    not_before_ns: int
    code: WaitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningView:
    """A job that holds devices. `ends_by_ns` is None where nothing bounds its end."""

    job: JobId
    resources: Resources
    placement: Placement
    ends_by_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """One round's input. `waiting` holds the head of the queue, as far as the budget goes."""

    now_ns: int
    nodes: tuple[NodeView, ...]
    waiting: tuple[WaitingView, ...]
    running: tuple[RunningView, ...]
