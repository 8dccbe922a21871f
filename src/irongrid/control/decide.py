"""One round: recovery of what failed, stops that are due, and the policy's starts."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from irongrid.control.attempts import holds
from irongrid.control.live import SAVE_GRACE_S, LiveCluster
from irongrid.control.state import Attempt, Job, Phase, State
from irongrid.control.wakeups import CAUSE_WITHIN_NS, backoff_ns, limit_ns, waits_for_cause
from irongrid.domain.decision import (
    Action,
    Decision,
    Kill,
    Outcome,
    Recover,
    Start,
    Stop,
    Wait,
    WaitCode,
)
from irongrid.domain.device import Node, Placement
from irongrid.domain.failure import FailureCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobState
from irongrid.scheduler import first_come
from irongrid.scheduler.view import ClusterView, NodeView, RunningView, WaitingView
from irongrid.units import NS_PER_S, format_duration

# Time to end in order when a job is cancelled; nothing is saved.
CANCEL_GRACE_S = 5.0
# Queued jobs that one round looks at. A count of work, never of seconds.
DEFAULT_BUDGET = 100


def decide(state: State, now_ns: int, budget: int = DEFAULT_BUDGET) -> Decision | None:
    """The actions of this round, or None if there is nothing to do.

    Args:
        budget: how many queued jobs, from the head, first-come looks at.
    """
    actions: list[Action] = []
    next_ns = state.timers.next_ns()
    due = dict(state.attention)
    if next_ns is not None and next_ns <= now_ns:
        due |= dict.fromkeys(state.timers.due(now_ns))
    for job_id in due:
        job = state.jobs[job_id]
        if job.attempt is not None:
            actions += _attend(job, job.attempt, now_ns)
    if state.policy is not None:
        actions += _planned_starts(state)
        if not (state.planned and state.stopping):
            actions += state.policy.decide(LiveCluster(state, now_ns))
    elif state.queue:
        actions += _schedule(state, now_ns, budget)
    actions += _ended_backoffs(state, due, actions)
    if not actions:
        return None
    return Decision(saw_seq=state.seq, policy=_policy_name(state), actions=tuple(actions))


def _ended_backoffs(
    state: State, due: Collection[JobId], actions: Sequence[Action]
) -> list[Action]:
    """A word on each job whose back-off has ended and of which the policy says nothing.

    Without one nothing is logged, the timer stays due, and the next round would come at once.
    """
    told = {action.job for action in actions}
    found: list[Action] = []
    for job in (state.jobs[job] for job in due if job not in told):
        if job.state is JobState.QUEUED:
            waits = job.wait_code in (WaitCode.BACKOFF, WaitCode.NEW)
            code = WaitCode.NO_FREE_DEVICES if waits else job.wait_code
            found.append(Wait(job=job.id, code=code))
    return found


def _planned_starts(state: State) -> list[Action]:
    """Starts of jobs whose place has become free.

    While a place is still on its way back, the policy has no say: what it would see is half of what
    it decided before.
    """
    found: list[Action] = []
    for job_id in state.planned:
        job = state.jobs[job_id]
        assert job.planned is not None, f"{job_id} has a place"
        if job.state is JobState.QUEUED and holds(state, job, job.planned):
            reason = "the place that it was given has become free"
            found.append(Start(job=job_id, placement=job.planned, reason=reason))
    return found


def next_wakeup_ns(state: State, decided_ns: int) -> int | None:
    """When to decide again if nothing happens until then; None is never.

    Args:
        decided_ns: when the last round was.
    """
    due_ns = state.timers.next_ns()
    every_ns = state.policy.every_ns if state.policy is not None else None
    if every_ns is not None and (state.active or state.queue):
        tick_ns = (decided_ns // every_ns + 1) * every_ns
        due_ns = tick_ns if due_ns is None else min(due_ns, tick_ns)
    if state.held is not None and state.queue:
        # A running job may fall behind somebody who waits.
        change_ns = state.held.next_change_ns()
        if change_ns is not None and (due_ns is None or change_ns < due_ns):
            return change_ns
    return due_ns


def evacuate(state: State) -> Decision | None:
    """Stop every attempt, save what can be saved, and queue the jobs again."""
    reason = "the server was asked to stop its jobs"
    stops = tuple(
        _stop(job, job.attempt, Outcome.REQUEUE, reason)
        for job in (state.jobs[job_id] for job_id in state.active)
        if job.attempt is not None and job.attempt.phase is not Phase.STOPPING
    )
    if not stops:
        return None
    return Decision(saw_seq=state.seq, policy=_policy_name(state), actions=stops)


def _policy_name(state: State) -> str:
    return first_come.NAME if state.policy is None else state.policy.name


def _attend(job: Job, attempt: Attempt, now_ns: int) -> list[Action]:
    if attempt.phase is Phase.STOPPING:
        stopping = attempt.stopping
        return [] if stopping is None or stopping.forced else [Kill(job=job.id, epoch=job.epoch)]
    if job.wanted is Outcome.CANCEL:
        return [_stop(job, attempt, Outcome.CANCEL, "cancelled on request", CANCEL_GRACE_S)]
    if job.wanted is Outcome.PAUSE:
        return [_stop(job, attempt, Outcome.PAUSE, "paused on request")]
    if attempt.phase is Phase.FAILED:
        return _after_failure(job, attempt, now_ns)
    if job.wanted is Outcome.REQUEUE:
        return [_stop(job, attempt, Outcome.REQUEUE, "a node of it leaves")]
    limit = limit_ns(job)
    if limit is not None and limit <= now_ns:
        assert job.spec.max_duration_s is not None
        reason = f"reached max_duration of {format_duration(job.spec.max_duration_s)}"
        return [_stop(job, attempt, Outcome.FAIL, reason)]
    return []


def _after_failure(job: Job, attempt: Attempt, now_ns: int) -> list[Action]:
    """Retry in place, retry elsewhere, or give up: by whose fault it was and how often it was."""
    failure = attempt.failures[-1]
    if waits_for_cause(attempt) and now_ns < attempt.failed_at_ns + CAUSE_WITHIN_NS:
        return []
    if failure.cause not in job.spec.retries.on:
        reason = failure.message
        if job.spec.retries.max > 0:
            reason += f"; failures of cause {failure.cause} are not retried"
        return [_stop(job, attempt, Outcome.FAIL, reason, grace_s=0.0)]
    if job.retries >= job.spec.retries.max:
        times = f"failed {job.retries + 1} times without progress in between"
        reason = f"crash loop: {times}, the last time: {failure.message}"
        if job.retries == 0:
            reason = f"{failure.message}; retries.max is 0"
        return [_stop(job, attempt, Outcome.FAIL, reason, grace_s=0.0)]
    # A worker that says itself that it is lost is about to go: nothing can be retried in place.
    # Nor can it where a node leaves.
    lost = failure.code is FailureCode.WORKER_LOST or job.wanted is Outcome.REQUEUE
    if lost or any(member.gone for member in attempt.members.values()):
        resume_ns = attempt.failed_at_ns + backoff_ns(job.retries)
        stop = _stop(job, attempt, Outcome.REQUEUE, failure.message, grace_s=0.0)
        return [replace(stop, not_before_ns=resume_ns)]
    if attempt.failed_at_ns + backoff_ns(job.retries) > now_ns:
        return []
    generation = attempt.generation + 1
    reason = f"retry {job.retries + 1} of {job.spec.retries.max} in place: {failure.message}"
    return [Recover(job=job.id, epoch=attempt.epoch, generation=generation, reason=reason)]


def _stop(
    job: Job, attempt: Attempt, outcome: Outcome, reason: str, grace_s: float | None = None
) -> Stop:
    if grace_s is None:
        grace_s = SAVE_GRACE_S if attempt.phase is Phase.RUNNING else 0.0
    return Stop(job=job.id, epoch=attempt.epoch, outcome=outcome, grace_s=grace_s, reason=reason)


def _schedule(state: State, now_ns: int, budget: int) -> list[Action]:
    actions = first_come.decide(cluster_view(state, now_ns, budget))
    for action in actions:
        if isinstance(action, Start):
            assert holds(state, state.jobs[action.job], action.placement), "placed on what is free"
    return list(actions)


def cluster_view(state: State, now_ns: int, budget: int = DEFAULT_BUDGET) -> ClusterView:
    """The policy's input: the fleet, what runs, and the head of the queue."""
    return ClusterView(
        now_ns=now_ns,
        nodes=node_views(state),
        waiting=tuple(waiting_view(state.jobs[job_id]) for job_id in state.queue[:budget]),
        running=tuple(_running_view(state, state.jobs[job_id]) for job_id in state.active),
    )


def node_views(state: State) -> tuple[NodeView, ...]:
    """The fleet as first-come sees it."""
    return tuple(_node_view(state, node) for node in state.nodes.values())


def waiting_view(job: Job) -> WaitingView:
    """A queued job as the policy sees it."""
    assert job.state is JobState.QUEUED, f"{job.id} is {job.state}"
    return WaitingView(
        job=job.id,
        resources=job.spec.resources,
        max_duration_s=job.spec.max_duration_s,
        not_before_ns=job.not_before_ns,
        code=job.wait_code,
    )


def _node_view(state: State, node: Node) -> NodeView:
    free = state.free[node.id]
    closed = node.id in state.closed
    return NodeView(
        id=node.id,
        device_type=node.device_type,
        devices=node.devices,
        cpus=node.cpus,
        memory_bytes=node.memory_bytes,
        free_devices=() if closed else tuple(sorted(free.devices)),
        free_cpus=free.cpus,
        free_memory_bytes=free.memory_bytes,
    )


def _running_view(state: State, job: Job) -> RunningView:
    """A running job, with what comes back to open nodes when it ends."""
    coming = tuple(share for share in job.placement.shares if share.node not in state.closed)
    ends_by_ns = limit_ns(job)
    if ends_by_ns is None and job.spec.max_duration_s is not None:
        # It does not run yet, or recovers: its limit counts from the moment when it works.
        ends_by_ns = job.account.since_ns + round(job.spec.max_duration_s * NS_PER_S)
    return RunningView(
        job=job.id,
        resources=job.spec.resources,
        placement=Placement(shares=coming),
        ends_by_ns=ends_by_ns,
    )
