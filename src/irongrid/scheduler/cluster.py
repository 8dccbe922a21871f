"""What a policy sees and says: live indexes to read, actions with reasons to return.

A policy reads the state's own indexes, as copies of a large cluster would cost more than the
decision. It changes nothing but inside a `Rooms.trial`, which takes all of it back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from irongrid.domain.decision import Action, Move, Stop
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec
from irongrid.scheduler.order import Order, Ranking, Waiting
from irongrid.scheduler.rooms import Rooms

if TYPE_CHECKING:
    from irongrid.scheduler.held import Held


class Running(Protocol):
    """What a policy sees of a job that holds devices."""

    @property
    def id(self) -> JobId:
        """Its name."""

    @property
    def spec(self) -> JobSpec:
        """What was asked for."""

    @property
    def submitted_at_ns(self) -> int:
        """When it was accepted."""

    @property
    def placement(self) -> Placement:
        """What it holds."""

    def worked_ns(self, at_ns: int) -> int:
        """For how long its ranks have worked, over all attempts."""


class Active(Running, Protocol):
    """What a policy that moves jobs sees of them beside that."""

    @property
    def epoch(self) -> int:
        """How often it was launched."""

    @property
    def launched_at_ns(self) -> int:
        """When its ranks were last asked for."""

    @property
    def works(self) -> bool:
        """Whether all its ranks work by now."""


class Cluster(Protocol):
    """One round's input."""

    @property
    def now_ns(self) -> int:
        """The time of the round."""

    @property
    def rooms(self) -> Rooms:
        """Free capacity."""

    @property
    def order(self) -> Order:
        """The queue in the policy's order."""

    @property
    def fresh(self) -> Mapping[JobId, None]:
        """Waiting jobs that nobody has given a reason yet."""

    def waiting(self, job: JobId) -> Waiting:
        """A job of the queue."""

    def queued(self) -> Sequence[JobId]:
        """The queue in the order of submission."""

    def active(self) -> Iterable[Active]:
        """Jobs that hold devices and whose end is not decided."""

    @property
    def held(self) -> "Held":
        """Running jobs, for a policy that asked for the index (`Policy.held`)."""

    def stopping(self) -> Iterable[Running]:
        """Jobs whose end is decided: what they hold comes back soon."""

    def preempt(self, job: JobId, reason: str) -> Stop:
        """The action that lets a job save, stop, and wait again."""

    def move(self, job: JobId, placement: Placement, reason: str) -> Move:
        """The action that lets a job save, stop, and go on elsewhere."""


class Policy(Ranking, Protocol):
    """One way to decide."""

    @property
    def name(self) -> str:
        """The word for it."""

    @property
    def every_ns(self) -> int | None:
        """Rounds come at least so often while there are jobs; None where only events matter."""

    def decide(self, cluster: Cluster) -> list[Action]:
        """All actions of one round, in order: without news, the next round would add nothing."""

    def held(self) -> "Held | None":
        """A new index of running jobs, to be kept up; None if the policy stops none of them."""
