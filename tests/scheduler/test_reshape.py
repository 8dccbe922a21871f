"""From sizes to placements, on a cluster that the test holds in its hands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irongrid.domain.decision import Move, Outcome, Reserve, Start, Stop, Wait, WaitCode
from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.scheduler.reshape import Size, reshape
from irongrid.scheduler.rooms import Rooms

SPEC = JobSpec(
    name="job",
    task=RunTask(argv=("true",)),
    workdir="/",
    resources=Resources(sizes=tuple(range(1, 17))),
)


@dataclass
class Run:
    id: JobId
    placement: Placement
    spec: JobSpec = SPEC
    epoch: int = 1
    works: bool = True


@dataclass
class Waits:
    id: JobId
    spec: JobSpec = SPEC


@dataclass
class Fake:
    """Two nodes of eight and what runs on them."""

    runs: dict[str, Placement]
    fresh: Mapping[JobId, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rooms = Rooms(
            Node(id=NodeId(name), device_type="a", devices=8, cpus=8.0, memory_bytes=1)
            for name in ("m", "n")
        )
        for placement in self.runs.values():
            self.rooms.take(placement, SPEC.resources)

    def active(self) -> list[Run]:
        return [Run(JobId(job), placement) for job, placement in self.runs.items()]

    def waiting(self, job: JobId) -> Waits:
        return Waits(job)

    def preempt(self, job: JobId, reason: str) -> Stop:
        return Stop(job=job, epoch=1, outcome=Outcome.REQUEUE, grace_s=0.0, reason=reason)

    def move(self, job: JobId, placement: Placement, reason: str) -> Move:
        return Move(job=job, epoch=1, placement=placement, grace_s=0.0, reason=reason)


def on(node: str, *devices: int) -> Placement:
    return Placement(shares=(NodeShare(node=NodeId(node), devices=devices),))


def actions(cluster: Fake, **wanted: int) -> dict[str, Any]:
    """What is decided of each job, where jobs want so many devices."""
    sizes: dict[JobId, Size] = {JobId(job): ("a", count) for job, count in wanted.items()}
    before = {node: set(free.devices) for node, free in cluster.rooms.free.items()}
    found = reshape(cluster, sizes, {})  # type: ignore[arg-type]
    assert {node: free.devices for node, free in cluster.rooms.free.items()} == before
    return {action.job: action for action in found}


def test_who_keeps_a_size_keeps_the_devices() -> None:
    found = actions(Fake({"x": on("m", 0, 1, 2)}), x=3, y=4)

    assert "x" not in found
    assert isinstance(found["y"], Start)
    assert found["y"].placement == on("m", 3, 4, 5, 6)


def test_who_grows_moves_and_who_waits_for_the_place_gets_it_reserved() -> None:
    found = actions(Fake({"x": on("m", *range(8)), "z": on("n", *range(8))}), x=4, y=4, z=8)

    assert isinstance(found["x"], Move)
    assert isinstance(found["y"], Reserve)
    both = [found[job].placement.shares[0] for job in ("x", "y")]
    assert {share.node for share in both} == {"m"}
    assert sorted(device for share in both for device in share.devices) == list(range(8))


def test_who_gets_nothing_makes_way_or_is_told_to_wait() -> None:
    found = actions(Fake({"x": on("m", 0)}, fresh={JobId("y"): None}))

    assert isinstance(found["x"], Stop)
    assert found["y"] == Wait(job=JobId("y"), code=WaitCode.NO_FREE_DEVICES)


def test_what_is_fragmented_is_packed_anew() -> None:
    # Three devices are free on each node; the new gang of six needs them together.
    cluster = Fake({"x": on("m", 0, 1, 2), "y": on("n", 0, 1, 2), "z": on("m", 3, 4)})
    found = actions(cluster, x=3, y=3, z=2, w=8)

    places = {job: action.placement for job, action in found.items()}
    assert len(places["w"].shares) == 1
    moved = set(places) - {"w"}
    assert moved
    assert all(isinstance(found[job], Move) for job in moved)


def test_a_gang_that_cannot_be_packed_gets_the_largest_part_that_can() -> None:
    # Three of five: 15 devices of 16, but only two gangs of five fit two nodes of eight.
    found = actions(Fake({}), x=5, y=5, z=5)

    sizes = sorted(action.placement.world_size for action in found.values())
    assert sizes == [3, 5, 5]
