"""Starting gangs in a given order, at the expense of running ones that stand further back.

Nothing is stopped for a gang that could not be placed then, nothing is stopped that the gang does
not need, and what is stopping already counts as coming back, so nobody is stopped twice for one
place. A gang for which others stop starts in a later round, once they have.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from irongrid.domain.decision import Action, Start, Wait, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.rooms import Trial

RankOf = Callable[[Running], float]


@dataclass(slots=True)
class _Round:
    """What one round has worked out so far.

    Attributes:
        soon: devices that come back, and are not free yet.
        victims: running jobs that may still be stopped, by rank; the last one goes first. None
            until somebody asks.
    """

    cluster: Cluster
    trial: Trial
    rank_of: RankOf
    actions: list[Action] = field(default_factory=list)
    settled: set[JobId] = field(default_factory=set)
    soon: set[tuple[NodeId, int]] = field(default_factory=set)
    victims: list[tuple[float, JobId, Running]] | None = None


def start_or_preempt(cluster: Cluster, rank_of: RankOf) -> list[Action]:
    """Starts, stops of running jobs that make way, and reasons to wait.

    Args:
        rank_of: the place of a running job in the same order as that of the queue. A job makes way
            only for one of a smaller rank.
    """
    if not cluster.order.lines:
        return []
    with cluster.rooms.trial() as trial:
        now = _Round(cluster, trial, rank_of)
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
        ranks = need.sizes[0]
        placement = now.trial.rooms.consolidated(need, ranks)
        if placement is None:
            placement = _make_way(now, rank, need)
        if placement is None:
            if now.trial.rooms.free_total == 0 and not _victim_behind(now, rank):
                return
            walk.leave_line()
            continue
        now.trial.take(placement, need)
        if not now.soon or now.soon.isdisjoint(_devices(placement)):
            now.settled.add(job_id)
            reason = "next in order that fits"
            now.actions.append(Start(job=job_id, placement=placement, reason=reason))


def _victims(now: _Round) -> list[tuple[float, JobId, Running]]:
    """Asked for the first time, it counts what is stopping as coming back."""
    if now.victims is None:
        now.victims = []
        for run in now.cluster.running():
            if run.is_stopping:
                now.trial.release(run.placement, run.spec.resources)
                now.soon.update(_devices(run.placement))
            else:
                now.victims.append((now.rank_of(run), run.id, run))
        now.victims.sort(key=lambda victim: victim[:2])
        # Jobs of this very round are settled: they are not in `running` yet.
    return now.victims


def _victim_behind(now: _Round, rank: float) -> bool:
    victims = _victims(now)
    return bool(victims) and victims[-1][0] > rank


def _make_way(now: _Round, rank: float, need: Resources) -> Placement | None:
    """Where the gang goes once others have stopped; None if that does not help."""
    victims = _victims(now)
    before = now.trial.mark()
    rooms, ranks = now.trial.rooms, need.sizes[0]
    placement = rooms.consolidated(need, ranks)
    at = len(victims)
    while placement is None and at > 0 and victims[at - 1][0] > rank:
        at -= 1
        run = victims[at][2]
        now.trial.release(run.placement, run.spec.resources)
        if rooms.free_total >= ranks:
            placement = rooms.consolidated(need, ranks)
    now.trial.undo(before)
    if placement is None:
        return None
    wanted = set(_devices(placement))
    for index in range(len(victims) - 1, at - 1, -1):
        run = victims[index][2]
        held = set(_devices(run.placement))
        if not wanted.isdisjoint(held):
            reason = "makes way for a job that stands before it"
            now.actions.append(now.cluster.preempt(run.id, reason))
            now.trial.release(run.placement, run.spec.resources)
            now.soon |= held
            del victims[index]
    return placement


def _devices(placement: Placement) -> list[tuple[NodeId, int]]:
    return [(share.node, device) for share in placement.shares for device in share.devices]
