"""Folding one fact into the state. It decides nothing, so any old log replays for ever.

A fact that no longer fits (an older epoch or generation, an overtaken part of a decision) is
skipped here rather than refused at the door: it may be in the log already.
"""

from collections.abc import Sequence
from typing import cast, get_args

from irongrid.control import attempts
from irongrid.control.account import Account, Bucket
from irongrid.control.state import Attempt, Job, Member, Phase, Saved, State, Stopping
from irongrid.control.wakeups import due_ns
from irongrid.domain.decision import (
    Action,
    Kill,
    Move,
    Outcome,
    Recover,
    Reserve,
    Start,
    Stop,
    Wait,
    WaitCode,
)
from irongrid.domain.event import (
    CancelRequested,
    CheckpointCommitted,
    CheckpointFailed,
    Decided,
    Event,
    GangFailed,
    JobSubmitted,
    LaunchAccepted,
    LaunchRefused,
    Measured,
    NodeClosed,
    NodeOpened,
    PauseRequested,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    Recorded,
    ResumeRequested,
    ServerStarted,
    ServerStopped,
    WorkerFact,
    WorkerJoined,
    WorkerStopped,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobState
from irongrid.units import NS_PER_S

# Facts after which no round has anything new to do; a round knows what it decided itself.
_QUIET = frozenset(
    {
        *(Decided, ServerStopped, LaunchAccepted, WorkerJoined, RanksStarted, RanksReady),
        *(CheckpointCommitted, CheckpointFailed, ProgressMade, Measured),
    }
)
_OUTRANKS = {Outcome.REQUEUE: 0, Outcome.PAUSE: 1, Outcome.CANCEL: 2}
AttemptFact = LaunchAccepted | LaunchRefused | WorkerStopped | WorkerFact
_OF_AN_ATTEMPT = frozenset(get_args(AttemptFact))
_MOVES_NO_TIMER = frozenset({LaunchAccepted, WorkerJoined, RanksStarted, ProgressMade, Measured})


def apply(state: State, recorded: Recorded) -> None:
    """Fold one record. Records come in order, without gaps."""
    assert recorded.seq == state.seq + 1, f"record {recorded.seq} after {state.seq}"
    assert recorded.at_ns >= state.at_ns, "time never steps back in the log"
    state.seq, state.at_ns = recorded.seq, recorded.at_ns
    if type(recorded.event) not in _QUIET:
        state.moved_seq = recorded.seq
    for job_id in _fold(state, recorded.event, recorded.at_ns):
        state.timers.set(job_id, due_ns(state, state.jobs[job_id]))


def _fold(state: State, event: Event, at_ns: int) -> Sequence[JobId]:
    """Apply an event; returns the jobs whose timers it may have moved."""
    if type(event) in _OF_AN_ATTEMPT:
        fact = cast("AttemptFact", event)
        job = state.jobs[fact.job]
        attempt = job.attempt
        if attempt is not None and attempt.epoch == fact.epoch:
            _attempt_fact(state, job, attempt, fact, at_ns)
        return () if type(event) in _MOVES_NO_TIMER else (fact.job,)
    match event:
        case JobSubmitted():
            _submitted(state, event, at_ns)
            return (event.job,)
        case Decided():
            return [_act(state, action, at_ns) for action in event.decision.actions]
        case CancelRequested() | PauseRequested() | ResumeRequested():
            _requested(state, state.jobs[event.job], event, at_ns)
            return (event.job,)
        case NodeClosed():
            return _closed(state, event)
        case NodeOpened():
            if state.closed.pop(event.node, None) is not None:
                state.rooms.open(event.node)
        case ServerStarted():
            state.server_epoch = event.server_epoch
            state.set_fleet(event.nodes)
        case _:
            assert isinstance(event, ServerStopped), f"{event} is a kind of event"
    return ()


def _closed(state: State, event: NodeClosed) -> Sequence[JobId]:
    if event.node not in state.nodes:
        return ()
    if event.node not in state.closed:
        state.rooms.close(event.node)
    state.closed[event.node] = event.reason
    if event.leaves:
        for job in state.jobs_on(event.node):
            _want(state, state.jobs[job], Outcome.REQUEUE, event.reason)
    return ()


def _submitted(state: State, event: JobSubmitted, at_ns: int) -> None:
    account = Account(bucket=Bucket.QUEUED, since_ns=at_ns, started_ns=at_ns)
    job = state.jobs[event.job] = Job(
        id=event.job, spec=event.spec, key=event.key, submitted_at_ns=at_ns, account=account
    )
    state.by_key[event.key] = event.job
    state.submitted += 1
    state.enqueue(job)


def _requested(
    state: State,
    job: Job,
    event: CancelRequested | PauseRequested | ResumeRequested,
    at_ns: int,
) -> None:
    match event, job.state:
        case CancelRequested(), JobState.QUEUED | JobState.PAUSED:
            attempts.end_job(state, job, JobState.CANCELLED, "cancelled before it ran", at_ns)
        case CancelRequested(), JobState.STARTING | JobState.RUNNING:
            _want(state, job, Outcome.CANCEL, "cancelled on request")
        case PauseRequested(), JobState.QUEUED:
            state.dequeue(job.id)
            attempts.park(state, job, at_ns)
        case PauseRequested(), JobState.STARTING | JobState.RUNNING:
            _want(state, job, Outcome.PAUSE, "paused on request")
        case ResumeRequested(), JobState.PAUSED:
            del state.paused[job.id]
            attempts.requeue(state, job, 0, at_ns)
        case _:
            pass  # Overtaken by the job's own end.


def _want(state: State, job: Job, outcome: Outcome, reason: str) -> None:
    """Note what is asked of an active job; cancelling outranks pausing, which outranks moving."""
    assert job.attempt is not None
    stopping = job.attempt.stopping
    if stopping is None:
        if job.wanted is None or _OUTRANKS[outcome] > _OUTRANKS[job.wanted]:
            job.wanted = outcome
        state.attention[job.id] = None
    elif outcome is Outcome.CANCEL or stopping.outcome is Outcome.REQUEUE:
        stopping.outcome, stopping.reason = outcome, reason


def _act(state: State, action: Action, at_ns: int) -> JobId:
    job = state.jobs[action.job]
    attempt = job.attempt
    match action:
        case Wait():
            if job.state is JobState.QUEUED:
                job.wait_code = action.code
                state.fresh.pop(job.id, None)
        case Start():
            if job.state is JobState.QUEUED and attempts.holds(state, job, action.placement):
                _start(state, job, action, at_ns)
        case Recover():
            if attempt and attempt.epoch == action.epoch and attempt.phase is Phase.FAILED:
                _recover(state, job, attempt, action, at_ns)
        case Stop():
            if attempt and attempt.epoch == action.epoch and attempt.phase is not Phase.STOPPING:
                _stop(state, job, attempt, action, at_ns)
        case Move():
            if attempt and attempt.epoch == action.epoch and attempt.phase is not Phase.STOPPING:
                state.plan(job, action.placement)
                _stop(state, job, attempt, _stop_of(action), at_ns)
        case Reserve():
            if job.state is JobState.QUEUED:
                state.plan(job, action.placement)
        case Kill():
            if attempt and attempt.epoch == action.epoch and attempt.stopping:
                attempt.stopping.forced = True
    return job.id


def _stop_of(move: Move) -> Stop:
    """The first half of a move."""
    return Stop(
        job=move.job,
        epoch=move.epoch,
        outcome=Outcome.REQUEUE,
        grace_s=move.grace_s,
        reason=move.reason,
    )


def _start(state: State, job: Job, action: Start, at_ns: int) -> None:
    state.dequeue(job.id)
    state.plan(job, None)
    state.take(job, action.placement)
    state.active[job.id] = None
    job.epoch += 1
    job.state = JobState.STARTING
    job.wait_code = WaitCode.NEW
    job.not_before_ns = 0
    members = {share.node: Member() for share in action.placement.shares}
    job.attempt = Attempt(
        epoch=job.epoch, placement=action.placement, started_at_ns=at_ns, members=members
    )
    job.account.switch(Bucket.STARTING, at_ns)


def _recover(state: State, job: Job, attempt: Attempt, action: Recover, at_ns: int) -> None:
    if action.generation != attempt.generation + 1:
        return
    attempt.generation = action.generation
    attempt.phase = Phase.RECOVERING
    attempt.version += 1
    job.retries += 1
    job.restarts += 1
    job.account.lose_unsafe()
    state.attention.pop(job.id, None)


def _stop(state: State, job: Job, attempt: Attempt, action: Stop, at_ns: int) -> None:
    attempt.stopping = Stopping(
        outcome=action.outcome,
        reason=action.reason,
        grace_s=action.grace_s,
        deadline_ns=at_ns + round(action.grace_s * NS_PER_S),
        not_before_ns=action.not_before_ns,
        # Nobody is there to obey a directive before every worker has joined.
        forced=not all(member.joined or member.gone for member in attempt.members.values()),
    )
    job.lost_from = max(job.lost_from, job.step)
    attempt.phase = Phase.STOPPING
    state.works_no_more(job)
    state.stopping[job.id] = None
    attempt.version += 1
    job.wanted = None
    job.account.switch(Bucket.STOPPING, at_ns)
    state.attention.pop(job.id, None)
    attempts.finish_if_stopped(state, job, attempt, at_ns)


def _attempt_fact(state: State, job: Job, attempt: Attempt, event: AttemptFact, at_ns: int) -> None:
    match event:
        case LaunchAccepted():
            if attempt.phase is Phase.LAUNCHING:
                attempt.phase = Phase.PENDING
        case LaunchRefused():
            for each in attempt.members.values():
                each.gone = True
            failure = Failure(code=FailureCode.START_FAILED, message=event.message)
            _failed(state, job, attempt, failure, at_ns)
            attempts.finish_if_stopped(state, job, attempt, at_ns)
        case WorkerStopped():
            _worker_stopped(state, job, attempt, event, at_ns)
        case _:
            _worker_fact(state, job, attempt, event, at_ns)


def _worker_fact(state: State, job: Job, attempt: Attempt, event: WorkerFact, at_ns: int) -> None:
    # The worker numbers its facts, so that one that is told twice counts once.
    member = attempt.members.get(event.node)
    if member is None or event.n <= member.n:
        return
    member.n = event.n
    if isinstance(event, WorkerJoined):
        _joined(attempt, member, event)
    elif event.generation == attempt.generation or isinstance(
        event, RanksStopped | CheckpointCommitted
    ):
        _gang_fact(state, job, attempt, member, event, at_ns)


def _joined(attempt: Attempt, member: Member, event: WorkerJoined) -> None:
    member.joined = True
    attempt.limits = event.limits
    if event.rendezvous:
        attempt.rendezvous = event.rendezvous
    if all(member.joined for member in attempt.members.values()):
        attempt.version += 1
        if attempt.phase is Phase.LAUNCHING:
            # The worker is the proof that the engine accepted, whose own answer was lost.
            attempt.phase = Phase.PENDING


def _gang_fact(
    state: State,
    job: Job,
    attempt: Attempt,
    member: Member,
    event: RanksStarted | RanksReady | GangFailed | RanksStopped | RanksFinished
    | CheckpointCommitted | CheckpointFailed | ProgressMade | Measured,
    at_ns: int,
) -> None:  # fmt: skip
    match event:
        case RanksReady():
            if all(other.ready < event.generation for other in attempt.members.values()):
                # Only the first: rank 0's progress may be heard before another node is.
                job.step = event.resumed_step
            member.ready = event.generation
            job.lost_from = max(job.lost_from, event.reached_step)
            _ready(state, job, attempt, event, at_ns)
        case GangFailed():
            job.lost_from = max(job.lost_from, event.step, job.step)
            _failed(state, job, attempt, event.failure, at_ns)
        case RanksStopped():
            _ranks_stopped(state, job, attempt, member, event, at_ns)
        case RanksFinished():
            member.finished = True
            _finished(state, job, attempt, event, at_ns)
        case CheckpointCommitted():
            _checkpoint(job, attempt, event, at_ns)
        case ProgressMade():
            job.step = event.step
            job.metrics = event.metrics
        case RanksStarted() | CheckpointFailed() | Measured():
            pass  # Kept for people and forecasts: no state depends on them.


def _ready(state: State, job: Job, attempt: Attempt, event: RanksReady, at_ns: int) -> None:
    if attempt.phase not in (Phase.PENDING, Phase.RECOVERING):
        return
    if any(member.ready < attempt.generation for member in attempt.members.values()):
        return
    attempt.phase = Phase.RUNNING
    job.state = JobState.RUNNING
    job.lost_steps += max(job.lost_from - event.resumed_step, 0) if job.lost_from else 0
    job.lost_from = 0
    job.account.switch(Bucket.RUNNING, at_ns)
    state.works(job)


def _failed(state: State, job: Job, attempt: Attempt, failure: Failure, at_ns: int) -> None:
    """Only the first failure of a generation counts; the rest are its echo.

    Nodes are not heard in the order in which they fail, so an echo makes way for what caused it.
    """
    if attempt.phase is Phase.FAILED and attempt.failures[-1].may_be_echo:
        if not failure.may_be_echo:
            attempt.failures[-1] = job.failure = failure
        return
    if attempt.phase in (Phase.STOPPING, Phase.FAILED, Phase.ENDED):
        return
    attempt.phase = Phase.FAILED
    attempt.failed_at_ns = at_ns
    attempt.version += 1
    state.works_no_more(job)
    attempt.failures.append(failure)
    job.failure = failure
    job.account.switch(Bucket.RECOVERING, at_ns)
    state.attention[job.id] = None


def _ranks_stopped(
    state: State, job: Job, attempt: Attempt, member: Member, event: RanksStopped, at_ns: int
) -> None:
    member.stopped = max(member.stopped, event.generation)
    if attempt.phase is Phase.STOPPING and event.generation == attempt.generation:
        member.gone = True
        attempts.finish_if_stopped(state, job, attempt, at_ns)
    elif attempt.phase is Phase.RECOVERING and all(
        other.stopped >= attempt.generation - 1 for other in attempt.members.values()
    ):
        attempt.version += 1


def _finished(state: State, job: Job, attempt: Attempt, event: RanksFinished, at_ns: int) -> None:
    if all(member.finished for member in attempt.members.values()):
        attempts.end_attempt(state, job, attempt, at_ns)
        attempts.end_job(state, job, JobState.SUCCEEDED, "every rank ended well", at_ns)
    elif attempt.phase is Phase.STOPPING:
        attempt.members[event.node].gone = True
        attempts.finish_if_stopped(state, job, attempt, at_ns)


def _worker_stopped(
    state: State, job: Job, attempt: Attempt, event: WorkerStopped, at_ns: int
) -> None:
    member = attempt.members.get(event.node)
    if member is None or member.gone:
        return
    member.gone = True
    if attempt.phase is Phase.STOPPING:
        attempts.finish_if_stopped(state, job, attempt, at_ns)
    elif not member.finished:
        job.lost_from = max(job.lost_from, job.step)
        code = FailureCode.LEASE_EXPIRED if event.proof == "lease" else FailureCode.WORKER_LOST
        message = f"the worker on {event.node} is gone (proof: {event.proof.replace('_', ' ')})"
        failure = Failure(code=code, message=message, node=event.node)
        _failed(state, job, attempt, failure, at_ns)


def _checkpoint(job: Job, attempt: Attempt, event: CheckpointCommitted, at_ns: int) -> None:
    newer = job.saved is None or (event.epoch, event.step) > (job.saved.epoch, job.saved.step)
    if not newer:
        return
    if job.saved is None or event.step > job.saved.step:
        job.retries = 0
    job.saved = Saved(
        step=event.step,
        epoch=event.epoch,
        path=event.path,
        size_bytes=event.size_bytes,
        at_ns=at_ns,
    )
    if event.generation == attempt.generation:
        job.account.checkpoint(at_ns, age_ns=event.age_ns, stall_ns=event.stall_ns)
