"""What the pure core expects from the world. Each Protocol says what a caller may rely on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from irongrid.domain.device import Node, Placement
from irongrid.domain.event import Recorded
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import LaunchOrder


class Clock(Protocol):
    """Wall time for stamps. Never steps back while the process lives, whatever the machine does."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""


class WorkerPhase(StrEnum):
    """What an engine can tell of a worker."""

    ALIVE = "alive"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One worker as the engine sees it. GONE is proof: none of its processes is left."""

    job: JobId
    epoch: int
    node: NodeId
    phase: WorkerPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        placement: `ours` when Irongrid names the nodes, `theirs` when the cluster does.
        lease_s: silence after which a worker stops its ranks; None where the process table proves
            what runs.
    """

    name: str
    placement: str
    lease_s: float | None


class Engine(Protocol):
    """Starts and stops workers on one kind of cluster.

    Calls are idempotent per (job, epoch): after a lost answer the caller repeats the same call.
    """

    def capabilities(self) -> Capabilities:
        """What this engine can do; constant."""

    def nodes(self) -> tuple[Node, ...]:
        """The fleet, as it is now."""

    def launch(self, orders: Sequence[LaunchOrder]) -> None:
        """Start one worker per order, all of one attempt; return once the cluster has accepted.

        Raises:
            EngineRefused: the cluster said no. Repeating will not help.
            EngineUnreachable: no answer. Repeating is safe.
        """

    def stop(self, job: JobId, epoch: int, placement: Placement) -> None:
        """Kill whatever of the attempt still runs, workers included. `observe` shows the end."""

    def observe(self, wanted: Sequence[tuple[JobId, int, NodeId]]) -> tuple[Observed, ...]:
        """The phase of each wanted worker. A worker that was never started is GONE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnvironment:
    """Values of a job's `env`: kept beside the log, never in it, and dropped when the job ends."""

    job: JobId
    values: dict[str, str]


class Store(Protocol):
    """The append-only log. One server at a time; see `StoreHeld`."""

    @property
    def server_epoch(self) -> int:
        """Fencing number of this holder; every commit checks that it is still the newest."""

    def append(
        self, records: Sequence[Recorded], environments: Sequence[JobEnvironment] = ()
    ) -> None:
        """Append in one transaction; durable when the call returns. Sequence numbers have no gaps.

        Raises:
            StoreError: nothing was appended.
            Fenced: another server took the store over; nothing was appended.
        """

    def read(self, after_seq: int = 0, limit: int | None = None) -> Iterator[Recorded]:
        """Records in order, upcast to the current versions."""

    def head_seq(self) -> int:
        """The last sequence number; 0 for an empty log."""

    def environment(self, job: JobId) -> dict[str, str]:
        """The values behind a job's `env_names`; empty when it has none."""

    def drop_environments(self, jobs: Sequence[JobId]) -> None:
        """Forget the values of ended jobs."""

    def write_snapshot(self, seq: int, parts: Iterator[str]) -> None:
        """Keep a snapshot of the state after record `seq`; complete or invisible. Old ones go."""

    def latest_snapshot(self) -> tuple[int, Iterator[str]] | None:
        """The newest complete snapshot, or None."""

    def close(self) -> None:
        """Release the store."""
