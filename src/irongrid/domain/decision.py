"""What a round of the policy decided, and why."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId


class WaitCode(StrEnum):
    """Why a queued job does not start now."""

    NEW = "new"
    NO_FREE_DEVICES = "no_free_devices"
    CPUS = "cpus"
    MEMORY = "memory"
    BEHIND = "behind"
    BACKOFF = "backoff"
    NEVER_FITS = "never_fits"


class Outcome(StrEnum):
    """What becomes of a job when its attempt has stopped."""

    REQUEUE = "requeue"
    FAIL = "fail"
    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Launch a gang."""

    kind: ClassVar[str] = "start"
    job: JobId
    placement: Placement
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Start a new generation of ranks inside the running attempt."""

    kind: ClassVar[str] = "recover"
    job: JobId
    epoch: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop an attempt; `outcome` says what becomes of the job.

    Attributes:
        grace_s: time to save a checkpoint before ranks are killed.
        not_before_ns: with REQUEUE, the job waits until then (back-off).
    """

    kind: ClassVar[str] = "stop"
    job: JobId
    epoch: int
    outcome: Outcome
    grace_s: float
    reason: str
    not_before_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Let an attempt save and stop, and start the job again on other devices.

    Attributes:
        placement: where it goes on. What others still hold of it must be on its way back.
        grace_s: time to save a checkpoint before ranks are killed.
    """

    kind: ClassVar[str] = "move"
    job: JobId
    epoch: int
    placement: Placement
    grace_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """A queued job's place, of which others still hold a part: it starts once they have gone."""

    kind: ClassVar[str] = "reserve"
    job: JobId
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A stop has outlasted its grace: let the engine end what is left of the attempt."""

    kind: ClassVar[str] = "kill"
    job: JobId
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A queued job's reason to wait has changed."""

    kind: ClassVar[str] = "wait"
    job: JobId
    code: WaitCode


Action = Start | Recover | Stop | Move | Reserve | Kill | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The actions of one round, in order.

    Attributes:
        saw_seq: log position that the round looked at.
        policy: name of the policy.
    """

    saw_seq: int
    policy: str
    actions: tuple[Action, ...]
