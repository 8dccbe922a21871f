"""Where a job's wall time goes, in whole nanoseconds that add up exactly."""

from dataclasses import dataclass
from enum import StrEnum

from irongrid.domain.messages import TimeAccount
from irongrid.units import NS_PER_S


class Bucket(StrEnum):
    """What a job's clock is counted on. LOST and STALL are only ever moved into."""

    QUEUED = "queued"
    PAUSED = "paused"
    STARTING = "starting"
    RUNNING = "running"
    STALL = "checkpoint_stall"
    LOST = "lost"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(slots=True)
class Account:
    """The time account of one job.

    Attributes:
        since_ns: start of the open stretch, which counts on `bucket`.
        unsafe_ns: running time since the last committed checkpoint's state was captured. A failure
            makes it lost.
    """

    bucket: Bucket
    since_ns: int
    started_ns: int
    queued_ns: int = 0
    paused_ns: int = 0
    starting_ns: int = 0
    running_ns: int = 0
    stall_ns: int = 0
    lost_ns: int = 0
    recovering_ns: int = 0
    stopping_ns: int = 0
    unsafe_ns: int = 0

    def switch(self, bucket: Bucket, at_ns: int) -> None:
        """Close the open stretch and count on `bucket` from now on."""
        self._settle(at_ns)
        self.bucket = bucket

    def checkpoint(self, at_ns: int, *, age_ns: int, stall_ns: int) -> None:
        """The state of `age_ns` ago is safe; training stood still for `stall_ns` to capture it."""
        if self.bucket is not Bucket.RUNNING:
            # The news came after the work had stopped; only work before that can be unsafe.
            age_ns -= at_ns - self.since_ns
        self._settle(at_ns)
        self.unsafe_ns = min(self.unsafe_ns, max(age_ns, 0))
        stall_ns = min(max(stall_ns, 0), self.running_ns - self.unsafe_ns)
        self.running_ns -= stall_ns
        self.stall_ns += stall_ns

    def lose_unsafe(self) -> None:
        """What ran since the last checkpoint must be done again."""
        self.running_ns -= self.unsafe_ns
        self.lost_ns += self.unsafe_ns
        self.unsafe_ns = 0

    def worked_ns(self, at_ns: int) -> int:
        """Time in which ranks worked, whether or not it was lost: what `max_duration` bounds."""
        open_ns = at_ns - self.since_ns if self.bucket is Bucket.RUNNING else 0
        return self.running_ns + self.stall_ns + self.lost_ns + open_ns

    def at(self, at_ns: int) -> TimeAccount:
        """The account for people, with the open stretch counted up to `at_ns`."""
        closed = Account(**{name: getattr(self, name) for name in self.__slots__})
        closed._settle(max(at_ns, self.since_ns))
        return TimeAccount(
            wall_s=(closed.since_ns - self.started_ns) / NS_PER_S,
            queued_s=closed.queued_ns / NS_PER_S,
            paused_s=closed.paused_ns / NS_PER_S,
            starting_s=closed.starting_ns / NS_PER_S,
            running_s=closed.running_ns / NS_PER_S,
            checkpoint_stall_s=closed.stall_ns / NS_PER_S,
            lost_s=closed.lost_ns / NS_PER_S,
            recovering_s=closed.recovering_ns / NS_PER_S,
            stopping_s=closed.stopping_ns / NS_PER_S,
        )

    def counted_ns(self) -> int:
        """Sum over all buckets; equals `since_ns - started_ns` at all times."""
        return (
            self.queued_ns
            + self.paused_ns
            + self.starting_ns
            + self.running_ns
            + self.stall_ns
            + self.lost_ns
            + self.recovering_ns
            + self.stopping_ns
        )

    def _settle(self, at_ns: int) -> None:
        if self.bucket is Bucket.ENDED:
            return
        stretch_ns = at_ns - self.since_ns
        self.since_ns = at_ns
        match self.bucket:
            case Bucket.QUEUED:
                self.queued_ns += stretch_ns
            case Bucket.PAUSED:
                self.paused_ns += stretch_ns
            case Bucket.STARTING:
                self.starting_ns += stretch_ns
            case Bucket.RUNNING:
                self.running_ns += stretch_ns
                self.unsafe_ns += stretch_ns
            case Bucket.RECOVERING:
                self.recovering_ns += stretch_ns
            case Bucket.STOPPING:
                self.stopping_ns += stretch_ns
            case _:
                raise AssertionError(f"time is never counted on {self.bucket} directly")
