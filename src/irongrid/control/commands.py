"""Effects that follow from facts, and the orders that workers follow."""

from irongrid.control.state import Attempt, Job, Member, Phase, State
from irongrid.domain.command import Command, Launch, StopAttempt
from irongrid.domain.decision import Kill, Move, Outcome, Start, Stop
from irongrid.domain.event import Decided, Recorded
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Directive
from irongrid.errors import Fenced, NotFound

_CALL_THE_ENGINE = frozenset({Start, Stop, Move, Kill})


def commands(recorded: Recorded, state: State) -> tuple[Command, ...]:
    """What to carry out after `recorded` was folded into `state`."""
    if not isinstance(recorded.event, Decided):
        return ()
    derived = []
    for action in recorded.event.decision.actions:
        if type(action) in _CALL_THE_ENGINE:
            derived += _outstanding(state.jobs[action.job])
    return tuple(derived)


def outstanding(state: State) -> tuple[Command, ...]:
    """Every command without an answering event: to be sent again after a crash."""
    return tuple(command for job in state.active for command in _outstanding(state.jobs[job]))


def _outstanding(job: Job) -> list[Command]:
    attempt = job.attempt
    if attempt is None:
        return []
    if attempt.phase is Phase.LAUNCHING:
        return [Launch(job=job.id, epoch=attempt.epoch, placement=attempt.placement)]
    if attempt.stopping is not None and attempt.stopping.forced:
        return [StopAttempt(job=job.id, epoch=attempt.epoch, placement=attempt.placement)]
    return []


def directive(state: State, job_id: JobId, epoch: int, node: NodeId) -> Directive:
    """What the worker of one node should be doing now.

    Raises:
        NotFound: no such job or node.
        Fenced: a newer epoch exists.
    """
    attempt, member = member_of(state, job_id, epoch, node)
    action, generation = _wanted(attempt, member)
    stopping = attempt.stopping if action == "stop" else None
    grace_s = stopping.grace_s if stopping else 0.0
    return Directive(
        version=attempt.version,
        action=action,
        generation=generation,
        rendezvous=attempt.rendezvous,
        grace_s=grace_s,
        # What is cancelled may put itself in order, but its state is of no further use.
        save=grace_s > 0 and stopping is not None and stopping.outcome is not Outcome.CANCEL,
    )


def member_of(state: State, job_id: JobId, epoch: int, node: NodeId) -> tuple[Attempt, Member]:
    """The attempt of the job's newest epoch, ended or not, and its member on `node`.

    Raises:
        NotFound: no such job or node.
        Fenced: a newer epoch exists.
    """
    job = state.jobs.get(job_id)
    if job is None:
        raise NotFound("unknown_job", f"there is no job {job_id}")
    if epoch != job.epoch or epoch == 0:
        raise Fenced("fenced", f"epoch {epoch} of {job_id} is over; the newest is {job.epoch}")
    attempt = job.attempt or job.past[-1]
    member = attempt.members.get(node)
    if member is None:
        raise NotFound("unknown_node", f"attempt {job_id}.{epoch} has no node {node}")
    return attempt, member


def _wanted(attempt: Attempt, member: Member) -> tuple[str, int]:
    members = attempt.members.values()
    if member.gone or attempt.phase in (Phase.STOPPING, Phase.ENDED):
        return "stop", attempt.generation
    if attempt.phase is Phase.FAILED:
        return "hold", attempt.generation + 1
    if not all(other.joined for other in members):
        return "hold", attempt.generation
    if any(other.stopped < attempt.generation - 1 for other in members):
        return "hold", attempt.generation
    return "run", attempt.generation
