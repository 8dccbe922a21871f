"""The invariants after every event, at the price of what the event touched.

`control.invariants.violations` looks at the whole state, which a replay of a million events cannot
afford each time. This watch keeps a ledger of its own, from placements alone, and compares it with
the state's indexes wherever an event has been; the whole check runs now and then, and at the end.
"""

from bisect import bisect_left
from collections import Counter

from irongrid.control.invariants import job_violations, violations
from irongrid.control.state import Job, State
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import OF_NO_JOB, Decided, Recorded
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import WHOLE_MILLI, JobState

WHOLE_EVERY = 20_000
# The declared machine: which states may follow which, as `domain.job` names them.
_MOVES = {
    JobState.QUEUED: {JobState.STARTING, JobState.PAUSED, JobState.CANCELLED},
    JobState.STARTING: {
        *(JobState.RUNNING, JobState.QUEUED, JobState.PAUSED),
        *(JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED),
    },
    JobState.RUNNING: {
        *(JobState.QUEUED, JobState.PAUSED),
        *(JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED),
    },
    JobState.PAUSED: {JobState.QUEUED, JobState.CANCELLED},
}


class Watch:
    """Looks on; `broken` fills with sentences such as `I3: ...`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._held: dict[JobId, Placement] = {}
        self._taken: dict[NodeId, Counter[int]] = {node: Counter() for node in state.nodes}
        self._states: dict[JobId, JobState] = {}
        self._touched: set[NodeId] = set()
        self._events = 0
        self.broken: list[str] = []

    def __call__(self, recorded: Recorded) -> None:
        """Check what an event has touched."""
        event = recorded.event
        self._events += 1
        if isinstance(event, OF_NO_JOB) or self._events % WHOLE_EVERY == 0:
            self.broken += violations(self._state)
        if isinstance(event, Decided):
            for action in event.decision.actions:
                self._job(self._state.jobs[action.job])
        elif not isinstance(event, OF_NO_JOB):
            self._job(self._state.jobs[event.job])
        # After all parts of a decision, as the state has folded all of them.
        for node in self._touched:
            self._node(node)
        self._touched.clear()
        self._counts()

    def _job(self, job: Job) -> None:
        self.broken += job_violations(job)
        before = self._states.get(job.id)
        if before is not job.state:
            if before is not None and job.state not in _MOVES.get(before, ()):
                self.broken.append(f"I6: {job.id} went from {before} to {job.state}")
            self._states[job.id] = job.state
        self._queued(job)
        placement = job.attempt.placement if job.attempt else None
        old = self._held.get(job.id)
        if placement is not old:
            self._moved(job, old, placement)

    def _queued(self, job: Job) -> None:
        """I6: a job stands in the queue if and only if it is queued."""
        queue = self._state.queue
        at = bisect_left(queue, job.id)
        there = at < len(queue) and queue[at] == job.id
        if there != (job.state is JobState.QUEUED):
            self.broken.append(f"I6: {job.id} is {job.state}; in the queue: {there}")

    def _moved(self, job: Job, old: Placement | None, new: Placement | None) -> None:
        """I3: nobody else has what the job got, and free is what nobody has."""
        milli = job.spec.resources.device_milli
        for share in old.shares if old else ():
            self._hold(share, -milli)
        for share in new.shares if new else ():
            if not self._hold(share, milli):
                self.broken.append(f"I3: {job.id} holds devices of {share.node} that are taken")
        if new is None:
            del self._held[job.id]
        else:
            self._held[job.id] = new
        for part in (old, new):
            if part is not None:
                self._touched.update(share.node for share in part.shares)

    def _hold(self, share: NodeShare, milli: int) -> bool:
        """Count a share; whether no device is held more than once over."""
        taken = self._taken[share.node]
        for device in share.devices:
            taken[device] += milli
        return all(taken[device] <= WHOLE_MILLI for device in share.devices)

    def _node(self, node: NodeId) -> None:
        free, taken = self._state.free[node], self._taken[node]
        for device in range(self._state.nodes[node].devices):
            if free.milli(device) + taken[device] != WHOLE_MILLI:
                held = taken[device]
                self.broken.append(f"I3: {node}: {free.milli(device)} free, {held} held: {device}")

    def _counts(self) -> None:
        """I1, I6: every job ever accepted is in exactly one place."""
        state = self._state
        placed = len(state.queue) + len(state.active) + len(state.paused)
        ended = sum(state.ended_by_state.values())
        if not state.submitted == len(state.jobs) == len(state.by_key) == placed + ended:
            self.broken.append(
                f"I1: {state.submitted} accepted, {len(state.jobs)} known, {placed + ended} placed"
            )
