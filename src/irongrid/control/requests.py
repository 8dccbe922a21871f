"""What the outside asks for, checked against the state: the event to log, or a clear no."""

from difflib import get_close_matches

from irongrid.control.commands import member_of
from irongrid.control.decide import node_views
from irongrid.control.state import Job, Phase, State
from irongrid.domain.event import (
    CancelRequested,
    JobSubmitted,
    NodeClosed,
    NodeOpened,
    PauseRequested,
    ResumeRequested,
    WorkerFact,
    WorkerStopped,
)
from irongrid.domain.ids import JobId, NodeId, job_id
from irongrid.domain.job import JobSpec, JobState
from irongrid.domain.messages import WorkerReport
from irongrid.errors import Conflict, NotFound, Refused
from irongrid.scheduler.capacity import eligible, largest_gang, whole_room
from irongrid.units import format_bytes


def submit(state: State, spec: JobSpec, key: str) -> JobSubmitted | JobId:
    """The event of a new job, or the id that this key has already got.

    Raises:
        Conflict: the key belongs to a different job.
        Refused: the job could never run on this fleet.
    """
    known = state.by_key.get(key)
    if known is not None:
        if state.jobs[known].spec != spec:
            problem = f"the key {key!r} was used for {known}, which is a different job"
            raise Conflict("key_reused", problem, "Use a new key for a new job")
        return known
    _refuse_what_never_fits(state, spec)
    return JobSubmitted(job=job_id(state.submitted + 1), spec=spec, key=key)


def _refuse_what_never_fits(state: State, spec: JobSpec) -> None:
    need = spec.resources
    if need in state.rooms.possible:
        return
    nodes = node_views(state)
    if largest_gang(nodes, whole_room(nodes), need) >= need.sizes[0]:
        state.rooms.possible.add(need)
        return
    groups = eligible(nodes, need)
    if not groups:
        types = ", ".join(sorted({node.device_type for node in nodes})) or "no devices"
        problem = f"no node has accelerator {need.accelerator}; the fleet has {types}"
        raise Refused("never_fits", problem, "Ask for one of these, or use `accelerator: any`")
    devices = max(sum(node.devices for node in group) for group in groups.values())
    if devices < need.sizes[0]:
        problem = f"needs {need.sizes[0]} devices at once; the fleet has {devices}"
        raise Refused("never_fits", problem, f"Ask for at most {devices}, or start more nodes")
    per_rank = []
    if need.cpus:
        per_rank.append(f"{need.cpus:g} CPUs")
    if need.memory_bytes:
        per_rank.append(f"{format_bytes(need.memory_bytes)} of memory")
    problem = f"{need.sizes[0]} ranks with {' and '.join(per_rank)} each fit on no set of nodes"
    raise Refused("never_fits", problem, "Ask for fewer ranks, or for less per rank")


def find(state: State, job: str) -> Job:
    """A job by its id.

    Raises:
        NotFound: no such job.
    """
    found = state.jobs.get(JobId(job))
    if found is None:
        raise NotFound("unknown_job", f"there is no job {job}", "`irongrid ps --all` lists them")
    return found


def cancel(state: State, job: str) -> CancelRequested | None:
    """The event, or None if the job is cancelled already.

    Raises:
        NotFound, Conflict: no such job; it has ended otherwise.
    """
    found = find(state, job)
    if found.state is JobState.CANCELLED:
        return None
    _refuse_final(found)
    return CancelRequested(job=found.id)


def pause(state: State, job: str) -> PauseRequested | None:
    """The event, or None if the job is paused already.

    Raises:
        NotFound, Conflict: no such job; it has ended.
    """
    found = find(state, job)
    if found.state is JobState.PAUSED:
        return None
    _refuse_final(found)
    return PauseRequested(job=found.id)


def resume(state: State, job: str) -> ResumeRequested | None:
    """The event, or None if the job waits or runs already.

    Raises:
        NotFound, Conflict: no such job; it has ended, or is still stopping for a pause.
    """
    found = find(state, job)
    _refuse_final(found)
    if found.state is JobState.PAUSED:
        return ResumeRequested(job=found.id)
    if found.wanted or (found.attempt and found.attempt.phase is Phase.STOPPING):
        problem = f"{job} is still stopping"
        raise Conflict("still_stopping", problem, "Try again when `irongrid ps` shows it paused")
    return None


def drain(state: State, node: str, *, leave: bool) -> NodeClosed | None:
    """The event, or None if the node is closed already and, with `leave`, nobody stays.

    Raises:
        NotFound: no such node.
    """
    found = find_node(state, node)
    stays = any(_stays(state.jobs[job]) for job in state.jobs_on(found))
    if found in state.closed and not (leave and stays):
        return None
    reason = state.closed.get(found, f"{found} is drained on request")
    return NodeClosed(node=found, reason=reason, leaves=leave)


def undrain(state: State, node: str) -> NodeOpened | None:
    """The event, or None if the node takes work already.

    Raises:
        NotFound: no such node.
    """
    found = find_node(state, node)
    return NodeOpened(node=found) if found in state.closed else None


def find_node(state: State, node: str) -> NodeId:
    """A node by its name.

    Raises:
        NotFound: no such node; names the nearest.
    """
    if NodeId(node) in state.nodes:
        return NodeId(node)
    near = get_close_matches(node, list(state.nodes), n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]}?" if near else f"The fleet has {_listed(list(state.nodes))}"
    raise NotFound("unknown_node", f"there is no node {node}", fix)


def _listed(nodes: list[NodeId], shown: int = 8) -> str:
    more = f" and {len(nodes) - shown} more" if len(nodes) > shown else ""
    return ", ".join(nodes[:shown]) + more


def _stays(job: Job) -> bool:
    """Whether an active job has not been asked to go."""
    stops = job.attempt is not None and job.attempt.phase is Phase.STOPPING
    return job.wanted is None and not stops


def _refuse_final(job: Job) -> None:
    if job.state.final:
        raise Conflict("job_ended", f"{job.id} has ended: {job.state}", "Submit it again")


def report(state: State, news: WorkerReport) -> tuple[WorkerFact, ...]:
    """The facts of a report that the log does not hold yet.

    Raises:
        NotFound: no such job or node.
        Fenced: the epoch is over; nothing of the report counts.
    """
    attempt, member = member_of(state, news.job, news.epoch, news.node)
    if attempt.phase is Phase.ENDED:
        return ()
    fresh = []
    n = member.n
    for fact in news.facts:
        if (fact.job, fact.epoch, fact.node) != (news.job, news.epoch, news.node):
            raise Refused("wrong_worker", "a report holds facts of another worker")
        if fact.n > n:
            n = fact.n
            fresh.append(fact)
    return tuple(fresh)


def wanted_workers(state: State) -> list[tuple[JobId, int, NodeId]]:
    """Workers that should exist: what to ask the engine about."""
    wanted = []
    for job in (state.jobs[job] for job in state.active):
        attempt = job.attempt
        if attempt is None or attempt.phase is Phase.LAUNCHING:
            continue
        wanted += [
            (job.id, attempt.epoch, node)
            for node, member in attempt.members.items()
            if not member.gone
        ]
    return wanted


def worker_gone(
    state: State, job: JobId, epoch: int, node: NodeId, proof: str
) -> WorkerStopped | None:
    """The event for a worker whose end is proved; None if that is known or long past."""
    found = state.jobs.get(job)
    if found is None or found.attempt is None or found.attempt.epoch != epoch:
        return None
    member = found.attempt.members.get(node)
    if member is None or member.gone:
        return None
    return WorkerStopped(job=job, epoch=epoch, node=node, proof=proof)
