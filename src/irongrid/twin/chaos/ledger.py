"""The books of an onlooker: what must never happen, seen from the log and from the machines.

It folds the log into a state of its own, which never crashes, and looks at it after every event;
and it notes which ranks exist where, whatever anybody believes. Sentences name the invariants of
our reliability notes, 2.4 (I1 to I10).
"""

import hashlib
from collections.abc import Callable

from irongrid.control.apply import apply
from irongrid.control.invariants import violations
from irongrid.control.snapshot import state_hash
from irongrid.control.state import Phase, State
from irongrid.domain.decision import Start
from irongrid.domain.event import (
    CancelRequested,
    CheckpointCommitted,
    Decided,
    Event,
    NodeClosed,
    NodeOpened,
    RanksReady,
    Recorded,
    ServerStarted,
    WorkerFact,
)
from irongrid.domain.ids import JobId, NodeId
from irongrid.twin.chaos.site import Files, Virtual
from irongrid.twin.watch import Watch
from irongrid.units import NS_PER_S

# So often the whole state is looked at, and not only what an event touched.
WHOLE_EVERY = 250
MOST_BROKEN = 50
# Lost messages, a lease, and a server that is down for a while.
CANCEL_WITHIN_S = 900
# Two states with equal parts have equal hashes; to compare is quicker than to hash.
_PARTS = (
    *("seq", "at_ns", "server_epoch", "submitted", "nodes", "closed", "free", "jobs", "by_key"),
    *("queue", "active", "stopping", "paused", "ended_by_state", "attention", "fresh"),
)


class Ledger:
    """Looks on and never acts.

    Attributes:
        broken: broken invariants, as sentences with the moment.
        log: what is durable.
        readers: hear of each record once it is folded, as forecasts do.
    """

    def __init__(self, time: Virtual, files: Files) -> None:
        self._time = time
        self._files = files
        self.replica = State()
        self._watch: Watch | None = None
        self.readers: list[Callable[[Recorded], None]] = []
        self.broken: list[str] = []
        self.log: list[Recorded] = []
        self._digest = hashlib.sha256()
        self._closed: dict[NodeId, str] = {}
        self._saved: dict[JobId, tuple[int, int]] = {}
        self._submits: dict[str, JobId] = {}
        self._cancels: dict[JobId, int] = {}
        self._unattended: dict[JobId, None] = {}
        self._told: dict[tuple[JobId, int, NodeId, int], WorkerFact] = {}
        self._heard_ready: dict[tuple[JobId, int, int], dict[NodeId, None]] = {}
        self._ranks: dict[tuple[NodeId, int], tuple[JobId, int, int]] = {}
        self._of_job: dict[JobId, dict[NodeId, tuple[int, int]]] = {}

    def says(self, sentence: str) -> None:
        """Note a broken invariant."""
        if len(self.broken) < MOST_BROKEN:
            self.broken.append(f"{sentence} (record {self.replica.seq})")

    # ---- the log

    def committed(self, recorded: Recorded) -> None:
        """A record is durable."""
        self.log.append(recorded)
        job = getattr(recorded.event, "job", "")
        self._digest.update(f"{recorded.at_ns} {recorded.event.kind} {job}\n".encode())
        self._before(recorded.event)
        apply(self.replica, recorded)
        if self._watch is None:
            self._watch = Watch(self.replica)
        self._watch(recorded)
        for read in self.readers:
            read(recorded)
        if recorded.seq % WHOLE_EVERY == 0:
            self._watch.broken += violations(self.replica)
        self._after(recorded.event)
        for sentence in self._watch.broken:
            self.says(sentence)
        self._watch.broken.clear()

    def trace(self) -> str:
        """One word for the whole log and what it led to: equal for equal lives."""
        self._digest.update(state_hash(self.replica).encode())
        return self._digest.hexdigest()[:16]

    def _before(self, event: Event) -> None:
        if isinstance(event, WorkerFact):
            job = self.replica.jobs[event.job]
            if event.epoch != job.epoch:
                self.says(f"I2: a fact of epoch {event.epoch} of {job.id}, which has {job.epoch}")
            if self._told.get((event.job, event.epoch, event.node, event.n)) != event:
                self.says(f"I2: no worker of {job.id}.{event.epoch} has told {event.kind}")
        elif isinstance(event, CancelRequested):
            self._cancels.setdefault(event.job, self._time.now_ns)
        elif isinstance(event, NodeClosed):
            self._closed[event.node] = event.reason
        elif isinstance(event, NodeOpened):
            self._closed.pop(event.node, None)
        elif isinstance(event, ServerStarted) and event.server_epoch <= self.replica.server_epoch:
            self.says(f"I2: server epoch {event.server_epoch} a second time")

    def _after(self, event: Event) -> None:
        if isinstance(event, Decided):
            for action in event.decision.actions:
                if isinstance(action, Start):
                    self._started(action)
            self._attended()
        elif isinstance(event, CheckpointCommitted):
            self._named(event.job)
        elif isinstance(event, RanksReady):
            self._ready(event)
        elif isinstance(event, CancelRequested):
            attempt = self.replica.jobs[event.job].attempt
            if attempt is not None and attempt.stopping is None:
                self._unattended[event.job] = None

    def _attended(self) -> None:
        """I1: the first round after a cancel stops what runs."""
        for job_id in self._unattended:
            attempt = self.replica.jobs[job_id].attempt
            if attempt is not None and attempt.stopping is None:
                self.says(f"I1: {job_id} was to be cancelled, and a round let it run")
        self._unattended.clear()

    def _ready(self, event: RanksReady) -> None:
        """I4: a job runs when all of its nodes have said so, and not before."""
        job = self.replica.jobs[event.job]
        ready = self._heard_ready.setdefault((event.job, event.epoch, event.generation), {})
        ready[event.node] = None
        if job.attempt is not None and job.attempt.phase is Phase.RUNNING:
            silent = [one.node for one in job.placement.shares if one.node not in ready]
            if silent:
                self.says(f"I4: {job.id} runs, and {silent} have not said that they are ready")

    def _started(self, start: Start) -> None:
        """I3, I4: a start that took effect is whole, and on open nodes."""
        job = self.replica.jobs[start.job]
        if job.attempt is None or job.attempt.placement is not start.placement:
            return
        if start.job in self._cancels:
            self.says(f"I1: {job.id} starts although it was cancelled")
        devices = [(one.node, at) for one in start.placement.shares for at in one.devices]
        if len(devices) not in job.spec.resources.sizes:
            self.says(f"I4: {job.id} starts on {len(devices)} devices")
        for share in start.placement.shares:
            if share.node in self._closed:
                self.says(f"I3: {job.id} starts on {share.node}, which is closed")

    def _named(self, job_id: JobId) -> None:
        """I7: the log names whole checkpoints, and ever newer ones."""
        saved = self.replica.jobs[job_id].saved
        if saved is None:
            return
        now, before = (saved.epoch, saved.step), self._saved.get(job_id, (0, 0))
        if not self._files.holds(job_id, *now):
            self.says(f"I7: {job_id} names a checkpoint {now} that is not there")
        if now < before:
            self.says(f"I7: the newest checkpoint of {job_id} went from {before} to {now}")
        self._saved[job_id] = now

    # ---- what was promised

    def promised(self, key: str, job: JobId) -> None:
        """A client was told that its job is accepted."""
        known = self._submits.setdefault(key, job)
        if known != job:
            self.says(f"I1: the key {key} gave {known}, and then {job}")
        self.look_for(key, job)

    def promised_end(self, job: JobId) -> None:
        """A client was told that its job will be cancelled."""
        if job not in self._cancels:
            self.says(f"I1: {job} was to be cancelled, and the log does not know of it")

    def look_for(self, key: str, job: JobId) -> None:
        """I1: an accepted job is in the log."""
        found = self.replica.jobs.get(job)
        if found is None or found.key != key:
            self.says(f"I1: {job} was accepted as {key} and is not in the log")

    def restarted(self, state: State) -> None:
        """I1, I6: a server that has come back knows all, whichever way it took."""
        for part in _PARTS:
            if getattr(state, part) != getattr(self.replica, part):
                self.says(f"I6: {part} of the state is not what the log folds to")
        for key, job in self._submits.items():
            self.look_for(key, job)

    # ---- the machines

    def told(self, fact: WorkerFact) -> None:
        """A worker has something to say."""
        self._told[fact.job, fact.epoch, fact.node, fact.n] = fact

    def launched(self, job: JobId, epoch: int) -> None:
        """An engine was asked for workers: the log must know why."""
        known = self.replica.jobs.get(job)
        if known is None or known.epoch < epoch:
            self.says(f"I2: {job}.{epoch} is launched, and the log does not know of it")

    def ranks_up(
        self, job: JobId, epoch: int, generation: int, node: NodeId, devices: tuple[int, ...]
    ) -> None:
        """Ranks come into being."""
        for device in devices:
            other = self._ranks.get((node, device))
            if other is not None:
                self.says(f"I3: {job}.{epoch} runs on {node}:{device} beside {other}")
            self._ranks[node, device] = job, epoch, generation
        beside = self._of_job.setdefault(job, {})
        for place, life in beside.items():
            if life != (epoch, generation):
                self.says(f"I2: {job} runs as {(epoch, generation)} beside {life} on {place}")
        beside[node] = epoch, generation

    def ranks_down(self, job: JobId, node: NodeId, devices: tuple[int, ...]) -> None:
        """Ranks are gone."""
        for device in devices:
            self._ranks.pop((node, device), None)
        self._of_job.get(job, {}).pop(node, None)

    # ---- the end

    def at_rest(self, state: State) -> None:
        """I10 and the rest, once nothing hinders anybody any more."""
        for job in state.jobs.values():
            if not job.state.final:
                phase = job.attempt.phase if job.attempt else ""
                self.says(f"I10: {job.id} is still {job.state} {phase}")
            elif job.account.counted_ns() != job.ended_at_ns - job.submitted_at_ns:
                self.says(f"I9: the time of {job.id} is not that from its submission to its end")
            asked_ns = self._cancels.get(job.id)
            if asked_ns is not None and job.ended_at_ns - asked_ns > CANCEL_WITHIN_S * NS_PER_S:
                self.says(f"I1: {job.id} took long to be cancelled: it was forgotten")
        for (node, device), life in self._ranks.items():
            self.says(f"I10: ranks of {life} are still on {node}:{device}")
        if state.rooms.free_total != state.rooms.total:
            self.says(f"I10: {state.rooms.total - state.rooms.free_total} devices are not free")
        self.restarted(state)
        if state_hash(state) != state_hash(self.replica):
            self.says("I6: the hash of the state is not that of the folded log")
        for sentence in violations(state):
            self.says(sentence)
