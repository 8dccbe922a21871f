"""What must hold after every event: I1 to I7 and I9 of our reliability rules, as code.

I1 (nothing acknowledged is lost) and I7 (only whole checkpoints are named) involve the disk as
well; here stands the part that the state can show.
"""

from collections import Counter

from irongrid.control.account import Bucket
from irongrid.control.state import Job, Phase, State
from irongrid.domain.ids import NodeId, job_id
from irongrid.domain.job import WHOLE_MILLI, JobState

_BUCKETS = {
    JobState.QUEUED: {Bucket.QUEUED},
    JobState.PAUSED: {Bucket.PAUSED},
    JobState.STARTING: {Bucket.STARTING, Bucket.RECOVERING, Bucket.STOPPING},
    JobState.RUNNING: {Bucket.RUNNING, Bucket.RECOVERING, Bucket.STOPPING},
}


def violations(state: State) -> list[str]:
    """Every broken invariant, as `I3: ...`; empty when all hold."""
    broken = _jobs_present(state) + _devices(state) + _indexes(state)
    for job in state.jobs.values():
        broken += job_violations(job)
    return broken


def _jobs_present(state: State) -> list[str]:
    """I1: every job ever accepted is here, under the key it was accepted with."""
    broken = []
    if len(state.jobs) != state.submitted:
        broken.append(f"I1: {state.submitted} jobs accepted, {len(state.jobs)} known")
    for number in range(1, state.submitted + 1):
        if job_id(number) not in state.jobs:
            broken.append(f"I1: {job_id(number)} is missing")
    if len(state.by_key) != state.submitted:
        broken.append(f"I1: {state.submitted} jobs accepted, {len(state.by_key)} keys known")
    return broken


def _devices(state: State) -> list[str]:
    """I3: no device twice; allocated + free = total, for devices, CPUs and memory."""
    broken = []
    held: dict[NodeId, Counter[int]] = {node: Counter() for node in state.nodes}
    cpus = dict.fromkeys(state.nodes, 0.0)
    memory = dict.fromkeys(state.nodes, 0)
    for job in (state.jobs[job] for job in state.active):
        assert job.attempt is not None
        for share in job.attempt.placement.shares:
            if share.node not in held:
                continue
            milli = job.spec.resources.device_milli
            for device in share.devices:
                held[share.node][device] += milli
            cpus[share.node] += len(share.devices) * job.spec.resources.cpus
            memory[share.node] += len(share.devices) * job.spec.resources.memory_bytes
    for node in state.nodes.values():
        taken = held[node.id]
        twice = [device for device, milli in taken.items() if milli > WHOLE_MILLI]
        if twice:
            broken.append(f"I3: devices {twice} of {node.id} are allocated twice")
        free = state.free[node.id]
        for device in range(node.devices):
            if free.milli(device) + taken[device] != WHOLE_MILLI:
                broken.append(f"I3: {node.id}: held and free of device {device} are not all of it")
        if not (free.devices | free.parts.keys()).issubset(range(node.devices)):
            broken.append(f"I3: {node.id}: devices are free that it does not have")
        if not free.devices.isdisjoint(free.parts):
            broken.append(f"I3: {node.id}: a device is free as a whole and in part")
        if abs(free.cpus + cpus[node.id] - node.cpus) > 1e-3:
            broken.append(f"I3: {node.id}: CPUs do not add up to {node.cpus}")
        if free.memory_bytes + memory[node.id] != node.memory_bytes:
            broken.append(f"I3: {node.id}: memory does not add up to {node.memory_bytes}")
    open_nodes = state.nodes.keys() - state.closed.keys()
    if state.rooms.free_total != sum(len(state.free[node].devices) for node in open_nodes):
        broken.append(f"I3: {state.rooms.free_total} devices are not what open nodes have free")
    return broken


def _indexes(state: State) -> list[str]:
    """I6: indexes say the same as the jobs."""
    broken = []
    by_state: dict[JobState, list[str]] = {name: [] for name in JobState}
    for job in state.jobs.values():
        by_state[job.state].append(job.id)
    if state.queue != sorted(by_state[JobState.QUEUED]):
        broken.append("I6: the queue does not hold the queued jobs in order")
    active = sorted(by_state[JobState.STARTING] + by_state[JobState.RUNNING])
    if sorted(state.active) != active:
        broken.append("I6: the active index does not hold the active jobs")
    if sorted(state.paused) != sorted(by_state[JobState.PAUSED]):
        broken.append("I6: the paused index does not hold the paused jobs")
    for final in (name for name in JobState if name.final):
        if state.ended_by_state.get(final, 0) != len(by_state[final]):
            broken.append(f"I6: the count of {final} jobs is wrong")
    return broken


def job_violations(job: Job) -> list[str]:
    """What one job breaks by itself: I2, I4, I6, I7 and I9."""
    broken = []
    attempt = job.attempt
    active = job.state in (JobState.STARTING, JobState.RUNNING)
    if active != (attempt is not None):
        broken.append(f"I2: {job.id} is {job.state} with {'an' if attempt else 'no'} attempt")
    epochs = [past.epoch for past in job.past] + ([attempt.epoch] if attempt else [])
    if epochs != sorted(set(epochs)) or (epochs and epochs[-1] != job.epoch):
        broken.append(f"I2: epochs {epochs} of {job.id} do not rise to {job.epoch}")
    if any(past.phase is not Phase.ENDED for past in job.past):
        broken.append(f"I2: {job.id} has a past attempt that has not ended")
    if attempt and attempt.phase is Phase.ENDED:
        broken.append(f"I2: {job.id} has a current attempt that has ended")
    if attempt:
        if attempt.placement.world_size not in job.spec.resources.sizes:
            broken.append(f"I4: {job.id} runs on {attempt.placement.world_size} devices")
        if set(attempt.members) != {share.node for share in attempt.placement.shares}:
            broken.append(f"I4: the workers of {job.id} are not those of its placement")
        if attempt.phase is Phase.RUNNING and any(
            member.ready < attempt.generation for member in attempt.members.values()
        ):
            broken.append(f"I4: {job.id} runs although a part of its gang does not")
    if not job.state.final and job.account.bucket not in _BUCKETS[job.state]:
        broken.append(f"I6: {job.id} is {job.state} while time counts on {job.account.bucket}")
    if job.saved and job.saved.epoch > job.epoch:
        broken.append(f"I7: {job.id} names a checkpoint of epoch {job.saved.epoch}")
    account = job.account
    if account.counted_ns() != account.since_ns - account.started_ns:
        broken.append(f"I9: the time account of {job.id} does not add up")
    parts = (account.running_ns, account.lost_ns, account.stall_ns, account.unsafe_ns)
    if min(parts) < 0 or account.unsafe_ns > account.running_ns:
        broken.append(f"I9: the time account of {job.id} has an impossible part: {parts}")
    if job.state.final and account.since_ns != job.ended_at_ns:
        broken.append(f"I9: the time account of {job.id} does not end with the job")
    return broken
