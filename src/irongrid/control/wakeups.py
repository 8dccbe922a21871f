"""When a job next needs a decision although nothing happens to it."""

from irongrid.control.account import Bucket
from irongrid.control.state import Attempt, Job, Phase, State
from irongrid.domain.job import JobState
from irongrid.units import NS_PER_S

# After a stop's grace, workers need a moment to kill, confirm and report.
FORCE_AFTER_NS = 5 * NS_PER_S
_BACKOFF_MOST_S = 60
# How long to wait for another node's word on who failed first; normally it comes at once.
CAUSE_WITHIN_NS = 10 * NS_PER_S


def backoff_ns(retries: int) -> int:
    """Pause before the next retry: none at first, then 1 s, 2 s, 4 s ... up to a minute."""
    if retries == 0:
        return 0
    return int(min(2 ** min(retries - 1, 16), _BACKOFF_MOST_S)) * NS_PER_S


def waits_for_cause(attempt: Attempt) -> bool:
    """Whether another node may still tell of the failure that this one is the echo of.

    A node that has stopped its ranks has said before how they fared.
    """
    members = attempt.members.values()
    silent = any(not member.gone and member.stopped < attempt.generation for member in members)
    return silent and len(members) > 1 and attempt.failures[-1].may_be_echo


def due_ns(state: State, job: Job) -> int | None:
    """The job's next timer: end of a back-off, of its time limit, or of a stop's grace."""
    attempt = job.attempt
    if attempt is None:
        waits = job.state is JobState.QUEUED and job.not_before_ns > state.at_ns
        return job.not_before_ns if waits else None
    if attempt.phase is Phase.STOPPING:
        assert attempt.stopping is not None
        return None if attempt.stopping.forced else attempt.stopping.deadline_ns + FORCE_AFTER_NS
    if attempt.phase is Phase.FAILED:
        # A retry in place waits for the longer of the two.
        cause_ns = CAUSE_WITHIN_NS if waits_for_cause(attempt) else 0
        return attempt.failed_at_ns + max(cause_ns, backoff_ns(job.retries))
    return limit_ns(job)


def limit_ns(job: Job) -> int | None:
    """When a running job reaches its `max_duration`; None while it does not run or has none."""
    limit_s = job.spec.max_duration_s
    if limit_s is None or job.account.bucket is not Bucket.RUNNING:
        return None
    left_ns = round(limit_s * NS_PER_S) - job.account.worked_ns(job.account.since_ns)
    return job.account.since_ns + left_ns
