"""Starting gangs in a given order, with or without a look behind the first that does not fit.

Gangs keep together (`Rooms.consolidated`), as in the Helios simulator (Hu et al., "Characterization
and prediction of deep learning workloads in large-scale GPU datacenters", SC 2021).
"""

from irongrid.domain.decision import Action, Start, Wait, WaitCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.rooms import Trial


def start_in_order(cluster: Cluster, *, backfill: bool) -> list[Action]:
    """Starts, and changed reasons to wait.

    Args:
        backfill: go on behind a job that does not fit. Nothing is reserved for it, so a stream of
            small jobs can keep a large one waiting.
    """
    if not cluster.order.lines:
        return []
    actions: list[Action] = []
    started: set[JobId] = set()
    blocked: Waiting | None = None
    with cluster.rooms.trial() as trial:
        if cluster.rooms.free_total or cluster.fresh:
            blocked = _walk(cluster, trial, backfill, actions, started)
    if cluster.fresh:
        behind = WaitCode.NO_FREE_DEVICES if backfill else WaitCode.BEHIND
        for job in cluster.fresh:
            if job not in started and (blocked is None or job != blocked.id):
                actions.append(_wait(cluster, cluster.waiting(job), behind))
    return actions


def _walk(
    cluster: Cluster, trial: Trial, backfill: bool, actions: list[Action], started: set[JobId]
) -> Waiting | None:
    """Start what fits; the first job that does not."""
    first_blocked: Waiting | None = None
    walk = cluster.order.walk()
    newest: Start | None = None
    for (_, job_id), need in walk:
        job = cluster.waiting(job_id)
        if job.not_before_ns > cluster.now_ns:
            if job.wait_code is not WaitCode.BACKOFF:
                actions.append(Wait(job=job_id, code=WaitCode.BACKOFF))
                started.add(job_id)
            continue
        if newest is not None:
            # Only now, as most rounds start one job and need not try out what comes after it.
            trial.take(newest.placement, cluster.waiting(newest.job).spec.resources)
        newest = _start(trial, job_id, need)
        if newest is not None:
            actions.append(newest)
            started.add(job_id)
            continue
        if not cluster.rooms.ever_fits(need, need.sizes[0]):
            walk.leave_line()
            continue
        if first_blocked is None:
            first_blocked = job
            if job.wait_code is not WaitCode.NO_FREE_DEVICES:
                actions.append(Wait(job=job_id, code=WaitCode.NO_FREE_DEVICES))
        if not backfill or not trial.rooms.free_total:
            break
        walk.leave_line()
    return first_blocked


def _start(trial: Trial, job: JobId, need: Resources) -> Start | None:
    ranks = need.sizes[0]
    if ranks > trial.rooms.free_total:
        return None
    placement = trial.rooms.consolidated(need, ranks)
    if placement is None:
        return None
    return Start(job=job, placement=placement, reason="next in order that fits")


def _wait(cluster: Cluster, job: Waiting, code: WaitCode) -> Wait:
    need = job.spec.resources
    if not cluster.rooms.ever_fits(need, need.sizes[0]):
        code = WaitCode.NEVER_FITS
    elif job.not_before_ns > cluster.now_ns:
        code = WaitCode.BACKOFF
    return Wait(job=job.id, code=code)
