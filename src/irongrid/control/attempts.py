"""How attempts and jobs end, and how capacity comes back: shared moves of `apply`."""

from irongrid.control.account import Bucket
from irongrid.control.state import KEPT_ATTEMPTS, Attempt, Job, Phase, State
from irongrid.domain.decision import Outcome, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.job import JobState


def holds(state: State, job: Job, placement: Placement) -> bool:
    """Whether a placement is still free, open, whole, and of a size that the job can run on."""
    resources = job.spec.resources
    if placement.world_size not in resources.sizes:
        return False
    for share in placement.shares:
        free = state.free.get(share.node)
        ranks = len(share.devices)
        if (
            free is None
            or share.node in state.closed
            or not free.has(share.devices, resources.device_milli)
            or len(set(share.devices)) != ranks
            or free.cpus + 1e-6 < ranks * resources.cpus
            or free.memory_bytes < ranks * resources.memory_bytes
        ):
            return False
    return True


def finish_if_stopped(state: State, job: Job, attempt: Attempt, at_ns: int) -> None:
    """Carry out a decided end once no node runs anything."""
    stopping = attempt.stopping
    if stopping is None or not all(member.gone for member in attempt.members.values()):
        return
    end_attempt(state, job, attempt, at_ns)
    match stopping.outcome:
        case Outcome.REQUEUE:
            job.restarts += 1
            # A stop after a failure uses a retry up; one for another reason does not.
            job.retries += 1 if attempt.failures else 0
            job.account.lose_unsafe()
            requeue(state, job, stopping.not_before_ns, at_ns)
        case Outcome.PAUSE:
            job.account.lose_unsafe()
            park(state, job, at_ns)
        case Outcome.CANCEL:
            end_job(state, job, JobState.CANCELLED, stopping.reason, at_ns)
        case Outcome.FAIL:
            end_job(state, job, JobState.FAILED, stopping.reason, at_ns)


def end_attempt(state: State, job: Job, attempt: Attempt, at_ns: int) -> None:
    """Nothing of the attempt runs: free what it holds, all at once, and put it to the past ones.

    Devices come back together, so that a job which must start again stands in the queue before
    anyone could take a part of its place.
    """
    for member in attempt.members.values():
        member.gone = True
    state.release(job, attempt.placement)
    attempt.phase = Phase.ENDED
    attempt.ended_at_ns = at_ns
    attempt.version += 1
    state.active.pop(job.id, None)
    state.attention.pop(job.id, None)
    state.stopping.pop(job.id, None)
    state.works_no_more(job)
    # A stop may end an attempt in the very round that decided it; the next round sees more room.
    state.moved_seq = state.seq
    job.past.append(attempt)
    del job.past[:-KEPT_ATTEMPTS]
    job.attempt = None


def requeue(state: State, job: Job, not_before_ns: int, at_ns: int) -> None:
    """Back to the job's place in the queue."""
    job.state = JobState.QUEUED
    job.wait_code = WaitCode.NEW
    job.not_before_ns = not_before_ns
    job.wanted = None
    job.account.switch(Bucket.QUEUED, at_ns)
    state.enqueue(job)


def park(state: State, job: Job, at_ns: int) -> None:
    """Out of the queue until a person resumes the job."""
    state.plan(job, None)
    job.state = JobState.PAUSED
    job.wanted = None
    state.paused[job.id] = None
    job.account.switch(Bucket.PAUSED, at_ns)


def end_job(state: State, job: Job, final: JobState, because: str, at_ns: int) -> None:
    """The job's last change of state."""
    if job.state is JobState.QUEUED:
        state.dequeue(job.id)
    state.paused.pop(job.id, None)
    state.attention.pop(job.id, None)
    state.plan(job, None)
    job.state = final
    job.wanted = None
    job.ended_at_ns = at_ns
    job.ended_because = because
    state.ended_by_state[final] = state.ended_by_state.get(final, 0) + 1
    job.account.switch(Bucket.ENDED, at_ns)
