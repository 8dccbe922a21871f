"""What clients are shown of the state."""

from collections.abc import Collection
from itertools import islice

from irongrid.control.state import Attempt, Job, State
from irongrid.domain.device import Node
from irongrid.domain.ids import JobId, NodeId, attempt_id
from irongrid.domain.job import JobState, TrainTask
from irongrid.domain.messages import (
    AttemptView,
    CheckpointView,
    JobDetail,
    JobPage,
    JobRow,
    NodeDetail,
    NodeRow,
)
from irongrid.units import NS_PER_S


def job_row(state: State, job: Job, now_ns: int) -> JobRow:
    """One line of `ps`."""
    attempt = job.attempt
    sizes = job.spec.resources.sizes
    until_ns = job.ended_at_ns or max(now_ns, job.account.since_ns)
    return JobRow(
        job_id=job.id,
        name=job.spec.name,
        state=job.state,
        wait_code=job.wait_code if job.state is JobState.QUEUED else "",
        devices=attempt.placement.world_size if attempt else sizes[-1],
        nodes=tuple(share.node for share in attempt.placement.shares) if attempt else (),
        epoch=job.epoch,
        step=job.step,
        steps_total=job.spec.task.steps if isinstance(job.spec.task, TrainTask) else 0,
        restarts=job.restarts,
        submitted_at_ns=job.submitted_at_ns,
        ended_at_ns=job.ended_at_ns,
        wall_s=(until_ns - job.submitted_at_ns) / NS_PER_S,
    )


def job_detail(state: State, job: Job, now_ns: int) -> JobDetail:
    """All of one job."""
    saved = job.saved
    checkpoint = None
    if saved is not None:
        checkpoint = CheckpointView(
            step=saved.step,
            epoch=saved.epoch,
            path=saved.path,
            size_bytes=saved.size_bytes,
            at_ns=saved.at_ns,
        )
    attempts = [*job.past, *([job.attempt] if job.attempt else [])]
    return JobDetail(
        row=job_row(state, job, now_ns),
        spec=job.spec,
        time_account_s=job.account.at(now_ns),
        attempts=tuple(_attempt(job.id, attempt) for attempt in attempts),
        checkpoint=checkpoint,
        failure=job.failure,
        ended_because=job.ended_because,
        metrics=job.metrics,
        lost_steps=job.lost_steps,
        phase=job.attempt.phase if job.attempt else "",
    )


def _attempt(job: JobId, attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt=attempt_id(job, attempt.epoch),
        epoch=attempt.epoch,
        generation=attempt.generation,
        phase=attempt.phase,
        world_size=attempt.placement.world_size,
        placement=attempt.placement,
        started_at_ns=attempt.started_at_ns,
        ended_at_ns=attempt.ended_at_ns,
        limits=attempt.limits,
        failures=tuple(attempt.failures),
    )


def counts(state: State) -> dict[str, int]:
    """Jobs by state."""
    found = {str(name): state.ended_by_state.get(name, 0) for name in JobState}
    found[JobState.QUEUED] = len(state.queue)
    found[JobState.PAUSED] = len(state.paused)
    for job in state.active:
        found[state.jobs[job].state] += 1
    return found


def job_page(
    state: State, states: Collection[str], limit: int, cursor: str, now_ns: int
) -> JobPage:
    """Jobs, newest first, older than `cursor`.

    Args:
        states: only these; empty is all. Live states come from indexes, so that a page costs no
            walk over all jobs.
    """
    live = {JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.PAUSED}
    if states and live.issuperset(states):
        ids = _live_ids(state, states, limit, cursor)
    else:
        ids = _all_ids(state, states, limit, cursor)
    rows = tuple(job_row(state, state.jobs[found], now_ns) for found in ids[:limit])
    following = ids[limit - 1] if len(ids) > limit else ""
    return JobPage(
        jobs=rows, next_cursor=following, counts=counts(state), closed=dict(state.closed)
    )


def _live_ids(state: State, states: Collection[str], limit: int, cursor: str) -> list[JobId]:
    held = [job for job in state.active if state.jobs[job].state in states]
    if JobState.PAUSED in states:
        held += state.paused
    queued: list[JobId] = []
    if JobState.QUEUED in states:
        older = (job for job in reversed(state.queue) if not cursor or job < cursor)
        queued = list(islice(older, limit + 1))
    found = {job for job in held if not cursor or job < cursor} | set(queued)
    return sorted(found, reverse=True)[: limit + 1]


def _all_ids(state: State, states: Collection[str], limit: int, cursor: str) -> list[JobId]:
    """Walks down from the newest; jobs stand in the order of their submission."""
    older = (job for job in reversed(state.jobs.values()) if not cursor or job.id < cursor)
    wanted = (job.id for job in older if not states or job.state in states)
    return list(islice(wanted, limit + 1))


def node_rows(state: State) -> tuple[NodeRow, ...]:
    """The fleet and what is free on it."""
    return tuple(_node_row(state, node) for node in state.nodes.values())


def node_detail(state: State, node: NodeId) -> NodeDetail:
    """A node of the fleet, and who is on it."""
    return NodeDetail(
        row=_node_row(state, state.nodes[node]), jobs=tuple(sorted(state.jobs_on(node)))
    )


def _node_row(state: State, node: Node) -> NodeRow:
    return NodeRow(
        node=node.id,
        device_type=node.device_type,
        devices=node.devices,
        free_devices=len(state.free[node.id].devices),
        cpus=node.cpus,
        free_cpus=state.free[node.id].cpus,
        memory_bytes=node.memory_bytes,
        free_memory_bytes=state.free[node.id].memory_bytes,
        closed=state.closed.get(node.id, ""),
    )
