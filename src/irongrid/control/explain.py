"""Why a job is where it is: one sentence with numbers, what blocks it, and what would change it."""

from dataclasses import replace

from irongrid.control.decide import cluster_view, waiting_view
from irongrid.control.draining import how_to_open, why_closed, would_do
from irongrid.control.state import Attempt, Job, Phase, State
from irongrid.control.wakeups import backoff_ns, limit_ns
from irongrid.domain.decision import Outcome, WaitCode
from irongrid.domain.job import JobState
from irongrid.domain.messages import Constraint, Reason
from irongrid.scheduler.capacity import eligible, free_room, largest_gang, whole_room
from irongrid.scheduler.first_come import blocking_code, decide, reservation_holder
from irongrid.scheduler.view import ClusterView, WaitingView
from irongrid.units import NS_PER_S, format_bytes, format_duration

_HOLDERS_SHOWN = 5
# Jobs ahead in the queue that are looked at, so that `why` costs little in a queue of any length.
_LOOKED_AT = 1000
_SHORT = (WaitCode.NO_FREE_DEVICES, WaitCode.CPUS, WaitCode.MEMORY)


def explain(state: State, job: Job, now_ns: int) -> Reason:
    """The full reason for a job's state, computed on demand."""
    if job.state is JobState.QUEUED:
        return _waiting(state, job, now_ns)
    if job.attempt is not None:
        return _active(job, job.attempt, now_ns)
    if job.state is JobState.PAUSED:
        return Reason(
            job_id=job.id,
            state=job.state,
            code="paused",
            sentence="Paused on request; it holds no devices.",
            smallest_change=f"irongrid resume {job.id}",
        )
    ran = format_duration((job.ended_at_ns - job.submitted_at_ns) / NS_PER_S)
    sentence = f"{job.state.capitalize()} {ran} after submission: {job.ended_because}."
    code = job.failure.code if job.state is JobState.FAILED and job.failure else job.state
    return Reason(job_id=job.id, state=job.state, code=code, sentence=sentence)


def _active(job: Job, attempt: Attempt, now_ns: int) -> Reason:
    nodes = ", ".join(attempt.placement.shares[i].node for i in range(len(attempt.members)))
    ranks = attempt.placement.world_size
    where = f"{ranks} rank{'s' if ranks > 1 else ''} on {nodes}"
    since = format_duration(max(now_ns - job.account.since_ns, 0) / NS_PER_S)
    joined = sum(member.joined for member in attempt.members.values())
    smallest_change = ""
    match attempt.phase:
        case Phase.LAUNCHING:
            sentence = f"Starting: the engine was asked for {where} {since} ago."
        case Phase.PENDING if joined < len(attempt.members):
            sentence = f"Starting: {joined} of {len(attempt.members)} workers have joined."
        case Phase.PENDING:
            sentence = f"Starting: {where} load and build since {since}."
        case Phase.RUNNING:
            sentence = f"Running: {where}, step {job.step}, since {since}.{_limit(job, now_ns)}"
        case Phase.STOPPING:
            assert attempt.stopping is not None
            becomes = {
                Outcome.REQUEUE: "it will be queued again",
                Outcome.PAUSE: "it will be paused",
                Outcome.CANCEL: "it will be cancelled",
                Outcome.FAIL: "it will have failed",
            }[attempt.stopping.outcome]
            sentence = f"Stopping since {since}: {attempt.stopping.reason}; then {becomes}."
        case _:
            sentence = f"Recovering since {since}: {attempt.failures[-1].message}."
            left_ns = attempt.failed_at_ns + backoff_ns(job.retries) - now_ns
            if attempt.phase is Phase.FAILED and left_ns > 0:
                smallest_change = f"the next retry comes in {format_duration(left_ns / NS_PER_S)}"
    return Reason(
        job_id=job.id,
        state=job.state,
        code=attempt.phase,
        sentence=sentence,
        smallest_change=smallest_change,
    )


def _limit(job: Job, now_ns: int) -> str:
    limit = limit_ns(job)
    if limit is None:
        return ""
    return f" Its max_duration ends it in {format_duration(max(limit - now_ns, 0) / NS_PER_S)}."


def _waiting(state: State, job: Job, now_ns: int) -> Reason:
    position = state.queue_position(job.id)
    view = cluster_view(state, now_ns, budget=min(position, _LOOKED_AT))
    waiting = waiting_view(job)
    blocked = blocking_code(view, waiting)
    holder = reservation_holder(view, job.id)
    if blocked is None:
        # It would fit; then only someone's reservation, or the next round, stands before it.
        started = any(getattr(action, "placement", None) and action.job == job.id
                      for action in decide(view))  # fmt: skip
        code = WaitCode.NEW if started or holder is None else WaitCode.BEHIND
    else:
        code = blocked
    text = _text(view, waiting, code, holder)
    constraints = _constraints(view, waiting, code, holder, position)
    smallest_change = _smallest_change(state, view, waiting, code, holder)
    shut = would_do(state, view, job.id) if code in _SHORT or code is WaitCode.BEHIND else ()
    if shut:
        closed = why_closed(state, shut)
        text = f"{text}; {closed}"
        constraints = (Constraint(code="node_closed", text=f"{closed}."), *constraints)
        smallest_change = how_to_open(shut)
    return Reason(
        job_id=job.id,
        state=job.state,
        code=code,
        sentence=f"Number {position} in the queue; {text}.",
        constraints=constraints,
        smallest_change=smallest_change,
        holders=() if code in (WaitCode.NEW, WaitCode.BACKOFF) else _holders(state, view),
    )


def _need(waiting: WaitingView) -> str:
    size = waiting.resources.sizes[0]
    at_least = "at least " if len(waiting.resources.sizes) > 1 else ""
    kind = "" if waiting.resources.accelerator == "any" else f" {waiting.resources.accelerator}"
    return f"{at_least}{size}{kind} device{'s' if size > 1 else ''}"


def _free_devices(view: ClusterView, waiting: WaitingView) -> tuple[int, int]:
    """Free and all devices of the best device type for this job."""
    groups = eligible(view.nodes, waiting.resources).values()
    free = max((sum(len(node.free_devices) for node in group) for group in groups), default=0)
    return free, max((sum(node.devices for node in group) for group in groups), default=0)


def _text(
    view: ClusterView, waiting: WaitingView, code: WaitCode, holder: WaitingView | None
) -> str:
    """What one code means for this job, with numbers; a clause without its full stop."""
    free, total = _free_devices(view, waiting)
    need, size = _need(waiting), waiting.resources.sizes[0]
    match code:
        case WaitCode.NEW:
            return f"it needs {need}, {free} of {total} are free: it starts next"
        case WaitCode.NO_FREE_DEVICES:
            return f"it needs {need}, {free} of {total} are free"
        case WaitCode.CPUS:
            cpus, room = waiting.resources.cpus, _room_for(view, waiting, code)
            return f"it needs {size} ranks with {cpus:g} CPUs each, the free CPUs do for {room}"
        case WaitCode.MEMORY:
            memory = format_bytes(waiting.resources.memory_bytes)
            room = _room_for(view, waiting, code)
            return f"it needs {size} ranks with {memory} each, the free memory does for {room}"
        case WaitCode.BEHIND:
            assert holder is not None
            return (
                f"it needs {need} and {free} are free, but starting it could delay "
                f"{holder.job}, which came first and needs {_need(holder)}"
            )
        case WaitCode.BACKOFF:
            left_s = (waiting.not_before_ns - view.now_ns) / NS_PER_S
            return f"it failed and is tried again in {format_duration(left_s)}"
        case WaitCode.NEVER_FITS:
            most = largest_gang(view.nodes, whole_room(view.nodes), waiting.resources)
            return f"it needs {need}, but this fleet has room for {most}, even when empty"


def _room_for(view: ClusterView, waiting: WaitingView, code: WaitCode) -> int:
    """Ranks for which one free resource is enough, as if all else were free."""
    free, whole = free_room(view.nodes), whole_room(view.nodes)
    if code is WaitCode.NO_FREE_DEVICES:
        room = {node: replace(whole[node], devices=free[node].devices) for node in whole}
    elif code is WaitCode.CPUS:
        room = {node: replace(whole[node], cpus=free[node].cpus) for node in whole}
    else:
        room = {node: replace(whole[node], memory_bytes=free[node].memory_bytes) for node in whole}
    return largest_gang(view.nodes, room, waiting.resources)


def _constraints(
    view: ClusterView,
    waiting: WaitingView,
    code: WaitCode,
    holder: WaitingView | None,
    position: int,
) -> tuple[Constraint, ...]:
    """Everything that blocks the job now, the hardest first."""
    codes: list[WaitCode] = [] if code is WaitCode.NEW else [code]
    if code is not WaitCode.NEVER_FITS:
        wanted = waiting.resources.sizes[0]
        codes += [c for c in _SHORT if c != code and _room_for(view, waiting, c) < wanted]
    found = [Constraint(code=c, text=f"{_text(view, waiting, c, holder)}.") for c in codes]
    if code is not WaitCode.BEHIND and holder is not None:
        text = f"{holder.job} came first and holds a reservation of {_need(holder)}."
        found.append(Constraint(code=WaitCode.BEHIND, text=text))
    if position > 1:
        text = f"{position - 1} job{'s' if position > 2 else ''} came earlier and still wait."
        found.append(Constraint(code="queue", text=text))
    return tuple(
        Constraint(code=one.code, text=one.text[0].upper() + one.text[1:]) for one in found
    )


def _smallest_change(
    state: State,
    view: ClusterView,
    waiting: WaitingView,
    code: WaitCode,
    holder: WaitingView | None,
) -> str:
    room = largest_gang(view.nodes, free_room(view.nodes), waiting.resources)
    match code:
        case WaitCode.NEW:
            return ""
        case WaitCode.BACKOFF:
            return "wait; the back-off ends by itself"
        case WaitCode.NEVER_FITS:
            return "ask for less, or restart the server with a larger fleet"
        case WaitCode.BEHIND:
            assert holder is not None
            if waiting.max_duration_s is None:
                return (
                    "set limits.max_duration, so that it can be seen to end before "
                    f"{holder.job} starts, or wait for {holder.job}"
                )
            return f"a shorter limits.max_duration, or wait for {holder.job}"
    if room > 0 and holder is None:
        return f"ask for {room} instead of {waiting.resources.sizes[0]}: that fits now"
    first = _first_to_free(state, view, waiting)
    return first or "wait until running jobs end; none of them has a time limit"


def _first_to_free(state: State, view: ClusterView, waiting: WaitingView) -> str:
    """The end of which single running job would make room, soonest bound first."""
    room = free_room(view.nodes)
    runs = sorted(view.running, key=lambda run: (run.ends_by_ns is None, run.ends_by_ns, run.job)
                  if run.ends_by_ns is not None else (True, 0, run.job))  # fmt: skip
    for run in runs:
        after = dict(room)
        for share in run.placement.shares:
            if share.node in after:
                after[share.node] = after[share.node].plus(len(share.devices), run.resources)
        if largest_gang(view.nodes, after, waiting.resources) >= waiting.resources.sizes[0]:
            if run.ends_by_ns is None:
                return f"the end of {run.job}, which has no time limit"
            left_s = max(run.ends_by_ns - view.now_ns, 0) / NS_PER_S
            return f"the end of {run.job}, in {format_duration(left_s)} at the latest"
    return ""


def _holders(state: State, view: ClusterView) -> tuple[str, ...]:
    lines = []
    for run in view.running[:_HOLDERS_SHOWN]:
        name = state.jobs[run.job].spec.name
        until = "no time limit"
        if run.ends_by_ns is not None:
            left_s = max(run.ends_by_ns - view.now_ns, 0) / NS_PER_S
            until = f"at most {format_duration(left_s)} more"
        lines.append(f"{run.job} ({name}): {run.placement.world_size} devices, {until}")
    if len(view.running) > _HOLDERS_SHOWN:
        lines.append(f"and {len(view.running) - _HOLDERS_SHOWN} more jobs")
    return tuple(lines)
