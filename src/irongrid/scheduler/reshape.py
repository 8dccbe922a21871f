"""From the sizes that jobs have to those that they should have: placements and actions.

Jobs that keep their size keep their devices where the others fit around them. Where they do not
fit, all jobs on that kind of device are packed anew, the largest first; one that still finds no
place gets the largest part of its size that has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from irongrid.domain.decision import Action, Reserve, Start, Wait, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.rooms import Trial

Size = tuple[str, int]


@dataclass(slots=True)
class _Plan:
    """One round's work.

    Attributes:
        held: what jobs hold now, where they hold anything.
        needs: of all jobs that are to hold something.
        places: where they are to go.
    """

    trial: Trial
    held: Mapping[JobId, Running]
    needs: dict[JobId, Resources]
    places: dict[JobId, Placement] = field(default_factory=dict)


def reshape(
    cluster: Cluster, wanted: Mapping[JobId, Size], reasons: Mapping[JobId, str]
) -> list[Action]:
    """The actions that lead from what is to what is wanted.

    Args:
        wanted: device type and count; a job that is not named holds nothing from now on.
        reasons: why a job's size changes, in a sentence.
    """
    held = {run.id: run for run in cluster.active()}
    free = {node: set(found.devices) for node, found in cluster.rooms.free.items()}
    with cluster.rooms.trial() as trial:
        needs = {job: _need(cluster, held, job, wanted[job][0]) for job in wanted}
        plan = _Plan(trial, held, needs)
        for kind in sorted(
            {size[0] for size in wanted.values()}
            | {_kind(cluster, run.placement) for run in held.values()}
        ):
            _pack(cluster, plan, kind, wanted)
    actions: list[Action] = []
    for job, run in held.items():
        place = plan.places.get(job)
        if place is None:
            actions.append(cluster.preempt(job, reasons.get(job, "makes way for others")))
        elif place != run.placement:
            actions.append(cluster.move(job, place, reasons.get(job, "makes room where it was")))
    for job, place in plan.places.items():
        if job in held:
            continue
        if all(free[share.node].issuperset(share.devices) for share in place.shares):
            actions.append(
                Start(job=job, placement=place, reason=reasons.get(job, "has a size that pays"))
            )
        else:
            actions.append(Reserve(job=job, placement=place))
    for job in cluster.fresh:
        if job not in plan.places:
            actions.append(Wait(job=job, code=WaitCode.NO_FREE_DEVICES))
    return actions


def _need(cluster: Cluster, held: Mapping[JobId, Running], job: JobId, kind: str) -> Resources:
    run = held.get(job)
    resources = run.spec.resources if run is not None else cluster.waiting(job).spec.resources
    return replace(resources, accelerator=kind)


def _kind(cluster: Cluster, placement: Placement) -> str:
    return cluster.rooms.nodes[placement.shares[0].node].device_type


def _pack(cluster: Cluster, plan: _Plan, kind: str, wanted: Mapping[JobId, Size]) -> None:
    """Place all jobs of a kind of device; first around those that stay."""
    stay: list[JobId] = []
    leave: list[JobId] = []
    for job, run in plan.held.items():
        if _kind(cluster, run.placement) == kind:
            same = wanted.get(job) == (kind, run.placement.world_size)
            (stay if same else leave).append(job)
    for job in leave:
        plan.trial.release(plan.held[job].placement, plan.held[job].spec.resources)
    come = [job for job, size in wanted.items() if size[0] == kind and job not in stay]
    before = plan.trial.mark()
    if not _place(plan, come, wanted):
        plan.trial.undo(before)
        for job in stay:
            plan.trial.release(plan.held[job].placement, plan.held[job].spec.resources)
        _place(plan, [*stay, *come], wanted, shrink=True)
        return
    for job in stay:
        plan.places[job] = plan.held[job].placement


def _place(
    plan: _Plan, jobs: list[JobId], wanted: Mapping[JobId, Size], *, shrink: bool = False
) -> bool:
    """Whether all found a place; with `shrink`, those that did not get what is there."""
    found: dict[JobId, Placement] = {}
    for job in sorted(jobs, key=lambda job: (-wanted[job][1], job)):
        need, ranks = plan.needs[job], wanted[job][1]
        place = plan.trial.rooms.consolidated(need, ranks)
        while place is None and shrink and ranks > 1:
            ranks -= 1
            if ranks in need.sizes:
                place = plan.trial.rooms.consolidated(need, ranks)
        if place is None:
            if shrink:
                continue
            return False
        plan.trial.take(place, need)
        found[job] = place
    plan.places.update(found)
    return True
