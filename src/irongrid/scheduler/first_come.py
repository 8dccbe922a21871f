"""First come, first served, with backfill: a later job may start early if it delays no one.

The first job that does not fit holds a reservation. A later job starts only if it ends before the
reservation begins, or leaves enough room beside it. Where running jobs have no time limit, the
reservation's time is unknown; then room counts as what is left when every older job has ended, so
that a stream of small jobs cannot starve a large one.

Source: EASY backfill, Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995. It differs in that a
job without a time limit is treated as one that never ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from irongrid.domain.decision import Start, Wait, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.capacity import (
    Room,
    free_room,
    largest_gang,
    place,
    whole_room,
)
from irongrid.scheduler.view import ClusterView, NodeView, RunningView, WaitingView
from irongrid.units import NS_PER_S

NAME = "first-come"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The claim of the first job that does not fit.

    Attributes:
        starts_by_ns: when enough is free at the latest; None if nothing bounds it.
        room: what the claimant may count on at that time, before backfill takes from it.
    """

    holder: WaitingView
    starts_by_ns: int | None
    room: Mapping[NodeId, Room]


def decide(view: ClusterView) -> tuple[Start | Wait, ...]:
    """Starts, and changed reasons to wait, in queue order."""
    actions: list[Start | Wait] = []
    reservation: Reservation | None = None
    # Long queues hold many jobs with the same needs; between two starts the answer is the same.
    short_of: dict[Resources, WaitCode | None] = {}
    for job in view.waiting:
        if job.not_before_ns > view.now_ns:
            code: WaitCode | None = WaitCode.BACKOFF
        else:
            if job.resources not in short_of:
                short_of[job.resources] = _short_of(view, job.resources)
            code = short_of[job.resources]
        if code is None:
            choice = _choose(view, job, reservation)
            if choice is not None:
                placement, after = choice
                reason = _start_reason(job, placement, reservation)
                actions.append(Start(job=job.job, placement=placement, reason=reason))
                view, reservation = _started(view, job, placement), after
                short_of.clear()
                continue
            code = WaitCode.BEHIND
        if code is not job.code:
            actions.append(Wait(job=job.job, code=code))
        if reservation is None and code not in (WaitCode.BACKOFF, WaitCode.NEVER_FITS):
            reservation = reserve(view, job)
    return tuple(actions)


def blocking_code(view: ClusterView, job: WaitingView) -> WaitCode | None:
    """What keeps a job from starting if it were first in the queue; None if nothing does."""
    if job.not_before_ns > view.now_ns:
        return WaitCode.BACKOFF
    return _short_of(view, job.resources)


def _short_of(view: ClusterView, need: Resources) -> WaitCode | None:
    nodes, room = view.nodes, free_room(view.nodes)
    wanted = need.sizes[0]
    if largest_gang(nodes, room, need) >= wanted:
        return None
    if largest_gang(nodes, whole_room(nodes), need) < wanted:
        return WaitCode.NEVER_FITS
    if largest_gang(nodes, room, replace(need, cpus=0.0, memory_bytes=0)) < wanted:
        return WaitCode.NO_FREE_DEVICES
    if largest_gang(nodes, room, replace(need, memory_bytes=0)) < wanted:
        return WaitCode.CPUS
    return WaitCode.MEMORY


def _choose(
    view: ClusterView, job: WaitingView, reservation: Reservation | None
) -> tuple[Placement, Reservation | None] | None:
    """The largest size that fits and delays no one, and the reservation that remains."""
    most = largest_gang(view.nodes, free_room(view.nodes), job.resources)
    for size in sorted((size for size in job.resources.sizes if size <= most), reverse=True):
        placement = place(view.nodes, job.resources, size)
        assert placement is not None, "a size that fits can be placed"
        if reservation is None:
            return placement, None
        after = _room_after(view, reservation, job, placement)
        if after is not None:
            return placement, after
    return None


def reserve(view: ClusterView, job: WaitingView) -> Reservation:
    """The earliest time at which the running jobs' limits promise enough room for `job`."""
    nodes, wanted = view.nodes, job.resources.sizes[0]
    room = free_room(nodes)
    bounded = [run for run in view.running if run.ends_by_ns is not None]
    for run in sorted(bounded, key=lambda run: (run.ends_by_ns, run.job)):
        room = _released(room, run)
        if largest_gang(nodes, room, job.resources) >= wanted:
            return Reservation(job, run.ends_by_ns, room)
    # No limit promises it: count on every older job to end some day, and on no younger one.
    room = free_room(nodes)
    for run in view.running:
        if run.job < job.job or run.ends_by_ns is not None:
            room = _released(room, run)
    return Reservation(job, None, room)


def _released(room: Mapping[NodeId, Room], run: RunningView) -> dict[NodeId, Room]:
    after = dict(room)
    for share in run.placement.shares:
        if share.node in after:
            after[share.node] = after[share.node].plus(len(share.devices), run.resources)
    return after


def _room_after(
    view: ClusterView, reservation: Reservation, job: WaitingView, placement: Placement
) -> Reservation | None:
    """The reservation once `job` has started, or None if `job` would delay it."""
    starts_by_ns = reservation.starts_by_ns
    if job.max_duration_s is not None and starts_by_ns is not None:
        ends_by_ns = view.now_ns + round(job.max_duration_s * NS_PER_S)
        if ends_by_ns <= starts_by_ns:
            return reservation
    room = dict(reservation.room)
    for share in placement.shares:
        room[share.node] = room[share.node].plus(-len(share.devices), job.resources)
    holder = reservation.holder
    if largest_gang(view.nodes, room, holder.resources) < holder.resources.sizes[0]:
        return None
    return Reservation(holder, starts_by_ns, room)


def _started(view: ClusterView, job: WaitingView, placement: Placement) -> ClusterView:
    shares = {share.node: share.devices for share in placement.shares}
    nodes = tuple(_without(node, shares.get(node.id, ()), job) for node in view.nodes)
    ends_by_ns = None
    if job.max_duration_s is not None:
        ends_by_ns = view.now_ns + round(job.max_duration_s * NS_PER_S)
    run = RunningView(
        job=job.job, resources=job.resources, placement=placement, ends_by_ns=ends_by_ns
    )
    return replace(view, nodes=nodes, running=(*view.running, run))


def _without(node: NodeView, devices: tuple[int, ...], job: WaitingView) -> NodeView:
    if not devices:
        return node
    return replace(
        node,
        free_devices=tuple(device for device in node.free_devices if device not in devices),
        free_cpus=node.free_cpus - len(devices) * job.resources.cpus,
        free_memory_bytes=node.free_memory_bytes - len(devices) * job.resources.memory_bytes,
    )


def _start_reason(job: WaitingView, placement: Placement, reservation: Reservation | None) -> str:
    ranks = placement.world_size
    nodes = ", ".join(share.node for share in placement.shares)
    text = f"{ranks} device{'s' if ranks > 1 else ''} on {nodes}"
    if reservation is None:
        return f"first in the queue that fits: {text}"
    return f"backfilled beside the reservation of {reservation.holder.job}: {text}"


def reservation_holder(view: ClusterView, job: JobId) -> WaitingView | None:
    """The job ahead of `job` that holds the reservation; None if no one does."""
    for waiting in view.waiting:
        if waiting.job == job:
            return None
        if blocking_code(view, waiting) not in (None, WaitCode.BACKOFF, WaitCode.NEVER_FITS):
            return waiting
    return None
