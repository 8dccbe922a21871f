"""Small virtual clusters whose figures can be followed by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from irongrid.domain.event import Recorded
from irongrid.scheduler.cluster import Policy
from irongrid.twin.arrivals import Arrivals
from irongrid.twin.driver import Driver
from irongrid.twin.fleets import pool
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.world import TraceJob
from irongrid.twin.watch import Watch


def trace(*rows: tuple[float, int, float]) -> tuple[TraceJob, ...]:
    """Jobs from (submit_s, gpus, service_s), of one group each by gang size."""
    return tuple(
        TraceJob(f"key-{at}", submit_s, f"group-{gpus}", gpus, service_s)
        for at, (submit_s, gpus, service_s) in enumerate(rows)
    )


class Small:
    """A pool of a few nodes of eight, replayed to the end with every invariant on."""

    def __init__(
        self,
        nodes: int,
        policy: Policy | None,
        jobs: Sequence[TraceJob],
        futures: RigidFutures | None = None,
    ) -> None:
        self.log: list[Recorded] = []
        self.driver = Driver(pool(nodes), futures or RigidFutures(RestartCosts()), policy)
        watch = Watch(self.driver.state)
        self.driver.watchers += [self.log.append, watch]
        Arrivals(self.driver, tuple(jobs))
        while (now_ns := self.driver.next_ns()) is not None:
            self.driver.turn(now_ns)
            assert watch.broken == []

    @classmethod
    def with_futures(
        cls, nodes: int, make: Callable[[RigidFutures], Policy], jobs: Sequence[TraceJob]
    ) -> "Small":
        """Under a policy that knows the futures."""
        futures = RigidFutures(RestartCosts())
        return cls(nodes, make(futures), jobs, futures)

    @property
    def jobs(self) -> list[Any]:
        """The jobs in the order of their submission."""
        return list(self.driver.state.jobs.values())

    @property
    def ends_s(self) -> list[float]:
        """When each job ended."""
        return [job.ended_at_ns / 1e9 for job in self.jobs]

    def events(self, kind: type) -> list[Any]:
        """All facts of one kind."""
        return [recorded.event for recorded in self.log if type(recorded.event) is kind]
