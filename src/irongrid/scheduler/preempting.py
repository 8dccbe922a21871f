"""Starting gangs in a given order, at the expense of running ones that stand further back.

Nothing is stopped for a gang that could not be placed then, nothing is stopped that the gang does
not need, and what is stopping already counts as coming back, so nobody is stopped twice for one
place. A gang for which others stop starts in a later round, once they have. What is still starting
is left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from irongrid.domain.decision import Action, Start, Wait, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.held import Held
from irongrid.scheduler.rooms import Hope, Trial

Bar = Callable[[float], float]


@dataclass(slots=True)
class _Round:
    """What one round has worked out so far.

    Attributes:
        bar: for the rank of a waiting job, the one above which running jobs make way for it.
        large: gangs of so many devices are left alone.
        soon: devices that come back, and are not free yet; None until somebody asks.
        stopped: jobs that this round stops.
    """

    cluster: Cluster
    held: Held
    trial: Trial
    bar: Bar
    large: float
    actions: list[Action] = field(default_factory=list)
    settled: set[JobId] = field(default_factory=set)
    soon: set[tuple[NodeId, int]] | None = None
    stopped: set[JobId] = field(default_factory=set)


def start_or_preempt(cluster: Cluster, held: Held, bar: Bar, large: float = inf) -> list[Action]:
    """Starts, stops of running jobs that make way, and reasons to wait.

    Args:
        bar: for the rank of a waiting job, the one above which running jobs make way for it.
        large: gangs of so many devices make way for nobody.
    """
    if not cluster.order.lines:
        return []
    held.advance(cluster.now_ns)
    with cluster.rooms.trial() as trial:
        now = _Round(cluster, held, trial, bar, large)
        _walk(now)
    for job in cluster.fresh:
        if job not in now.settled:
            need = cluster.waiting(job).spec.resources
            fits = cluster.rooms.ever_fits(need, need.sizes[0])
            code = WaitCode.NO_FREE_DEVICES if fits else WaitCode.NEVER_FITS
            now.actions.append(Wait(job=job, code=code))
    return now.actions


def _walk(now: _Round) -> None:
    cluster, walk = now.cluster, now.cluster.order.walk()
    for (rank, job_id), need in walk:
        if cluster.waiting(job_id).not_before_ns > cluster.now_ns:
            continue
        placement = now.trial.rooms.consolidated(need, need.sizes[0])
        if placement is None:
            _count_on_what_stops(now)
            placement = now.trial.rooms.consolidated(need, need.sizes[0])
        if placement is None:
            placement = _make_way(now, rank, need)
        if placement is None:
            if now.trial.rooms.free_total == 0 and _worst(now) <= now.bar(rank):
                return
            walk.leave_line()
            continue
        now.trial.take(placement, need)
        if not now.soon or now.soon.isdisjoint(_devices(placement)):
            now.settled.add(job_id)
            reason = "next in order that fits"
            now.actions.append(Start(job=job_id, placement=placement, reason=reason))


def _count_on_what_stops(now: _Round) -> None:
    """Once a gang does not fit, what comes back anyway is there for it."""
    if now.soon is not None:
        return
    now.soon = set()
    for run in now.cluster.stopping():
        now.trial.release(run.placement, run.spec.resources)
        now.soon.update(_devices(run.placement))


def _worst(now: _Round) -> float:
    """The rank of the running job that would be stopped first."""
    for rank, job in reversed(now.held.ranked):
        if _may_stop(now, job):
            return rank
    return -inf


def _may_stop(now: _Round, job: JobId) -> bool:
    if job in now.stopped:
        return False
    return now.held.run_of(job).placement.world_size < now.large


def _make_way(now: _Round, rank: float, need: Resources) -> Placement | None:
    """Where the gang goes once others have stopped; None if that does not help."""
    bar, rooms, ranks = now.bar(rank), now.trial.rooms, need.sizes[0]
    before = now.trial.mark()
    hope = Hope(rooms, need, ranks)
    released: list[Running] = []
    tried = 0
    placement: Placement | None = None
    for victim_rank, job in reversed(now.held.ranked):
        if victim_rank <= bar:
            break
        if not _may_stop(now, job):
            continue
        run = now.held.run_of(job)
        released.append(run)
        if hope.back(run.placement):
            for back in released[tried:]:
                now.trial.release(back.placement, back.spec.resources)
            tried = len(released)
            placement = rooms.consolidated(need, ranks)
            if placement is not None:
                break
    now.trial.undo(before)
    if placement is not None:
        _stop_what_is_in_the_way(now, placement, released)
    return placement


def _stop_what_is_in_the_way(now: _Round, placement: Placement, released: list[Running]) -> None:
    assert now.soon is not None, "what stops anyway was counted before"
    wanted = set(_devices(placement))
    for run in released:
        held = _devices(run.placement)
        if not wanted.isdisjoint(held):
            reason = "makes way for a job that stands before it"
            now.actions.append(now.cluster.preempt(run.id, reason))
            now.trial.release(run.placement, run.spec.resources)
            now.soon.update(held)
            now.stopped.add(run.id)


def _devices(placement: Placement) -> list[tuple[NodeId, int]]:
    return [(share.node, device) for share in placement.shares for device in share.devices]
