"""The twin's brain stem: facts of the virtual world into `control`, its commands back out.

It does what the server's state thread does and no more: each fact is recorded and folded, a round
is decided when something has moved or a timer is due, and commands go to the engine. Virtual time
stands still meanwhile, so what follows at once in the world follows at the same instant here.
"""

from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any, Protocol

from irongrid.control import requests
from irongrid.control.apply import apply
from irongrid.control.commands import commands, directive
from irongrid.control.decide import decide, next_wakeup_ns
from irongrid.control.state import State
from irongrid.domain.command import Command, Launch
from irongrid.domain.decision import Move, Recover, Stop
from irongrid.domain.device import Node, Placement
from irongrid.domain.event import (
    CheckpointCommitted,
    Decided,
    Event,
    JobSubmitted,
    LaunchAccepted,
    Measured,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    Recorded,
    ServerStarted,
    WorkerFact,
    WorkerJoined,
)
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec
from irongrid.domain.messages import Beat, LaunchOrder, WorkerReport
from irongrid.scheduler.cluster import Policy
from irongrid.twin.agenda import Agenda
from irongrid.twin.engine import Gang, SimulatedEngine
from irongrid.twin.truth.world import Futures, Measurement, TraceJob
from irongrid.units import NS_PER_S

# What happens at one instant: work ends, work begins, and only then new jobs come.
FINISH, READY, SUBMIT = range(3)
_BEAT = Beat()
_TOLD_TO_WORKERS = frozenset({Stop, Move, Recover})
Entry = Callable[[], None]
Watcher = Callable[[Recorded], None]


class Tuner(Protocol):
    """What chooses the batch inside a job: the agent of Pollux (OSDI 2021)."""

    def batch(self, job: JobId, placement: Placement) -> tuple[int, int]:
        """Samples per rank and pass, and passes beyond the first."""


class UsersBatch:
    """Jobs that keep the batch of their users."""

    def batch(self, job: JobId, placement: Placement) -> tuple[int, int]:
        """Of no effect."""
        return 0, 0


class Driver:
    """One virtual cluster under the real `control`.

    Attributes:
        watchers: called after each fact has been folded: invariants, reports, learners.
        decision_s: processor time of each round.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        futures: Futures,
        policy: Policy | None,
        tuner: Tuner | None = None,
    ) -> None:
        self.state = State()
        self.engine = SimulatedEngine(nodes)
        self.futures = futures
        self.tuner: Tuner = tuner or UsersBatch()
        self.agenda: Agenda[Entry] = Agenda()
        self.now_ns = 0
        self.watchers: list[Watcher] = []
        self.decision_s: list[float] = []
        self._pending: list[Command] = []
        self._decided_seq = 0
        self._decided_ns = 0
        self.state.use(policy)
        self.record(ServerStarted(server_epoch=1, irongrid_version="twin", nodes=nodes))

    # ---- the log

    def record(self, event: Event) -> None:
        """Stamp and fold one fact, and note what is to be carried out."""
        state = self.state
        recorded = Recorded(state.seq + 1, self.now_ns, event)
        apply(state, recorded)
        if type(event) is Decided:
            self._pending.extend(commands(recorded, state))
        for watch in self.watchers:
            watch(recorded)

    def submit(self, spec: JobSpec, row: TraceJob) -> JobId:
        """Hand a job in, through the checks that every submit passes; its future stays here."""
        event = requests.submit(self.state, spec, row.key)
        assert isinstance(event, JobSubmitted), f"{row.key} was submitted before"
        self.futures.add(event.job, row)
        self.record(event)
        return event.job

    # ---- time

    def next_ns(self) -> int | None:
        """When something happens next, or a timer is due; None if the world is at rest."""
        now_ns, wakeup_ns = self.agenda.next_ns(), next_wakeup_ns(self.state, self._decided_ns)
        if now_ns is None or (wakeup_ns is not None and wakeup_ns < now_ns):
            return wakeup_ns
        return now_ns

    def turn(self, now_ns: int) -> None:
        """Everything that happens at one instant."""
        self.now_ns = now_ns
        agenda = self.agenda
        while agenda.next_ns() == now_ns:
            agenda.pop()()
        state = self.state
        wakeup_ns = next_wakeup_ns(self.state, self._decided_ns)
        woken = wakeup_ns is not None and wakeup_ns <= now_ns
        while woken or state.moved_seq > self._decided_seq:
            self._decided_seq, self._decided_ns = state.seq, now_ns
            # First-come looks at the head of the queue only, and goes on in a next round.
            woken = self._decide() and state.policy is None

    def _decide(self) -> bool:
        began = perf_counter()
        decision = decide(self.state, self.now_ns)
        self.decision_s.append(perf_counter() - began)
        if decision is None:
            return False
        self.record(Decided(decision=decision))
        self._carry_out()
        for action in decision.actions:
            if type(action) in _TOLD_TO_WORKERS:
                self._obey(self.engine.gangs[action.job])
        return True

    # ---- effects

    def _carry_out(self) -> None:
        pending, self._pending = self._pending, []
        for command in pending:
            if isinstance(command, Launch):
                self._launch(command)
            else:
                self.engine.stop(command.job, command.epoch, command.placement)
                for share in command.placement.shares:
                    self._gone(command.job, command.epoch, share.node)

    def _launch(self, launch: Launch) -> None:
        spec = self.state.jobs[launch.job].spec
        self.engine.launch(
            [order_of(launch, spec, share.node) for share in launch.placement.shares]
        )
        self.record(LaunchAccepted(job=launch.job, epoch=launch.epoch))
        launched, self.engine.launched = self.engine.launched, []
        for gang in launched:
            self._join(gang)

    def _gone(self, job: JobId, epoch: int, node: NodeId) -> None:
        event = requests.worker_gone(self.state, job, epoch, node, "process_table")
        if event is not None:
            self.record(event)

    # ---- workers

    def _join(self, gang: Gang) -> None:
        for node in gang.nodes:
            joined = WorkerJoined(
                job=gang.job, epoch=gang.epoch, node=node, n=1, rendezvous="twin", limits="none"
            )
            self._report(gang, node, joined)
        gang.n = 1
        self._obey(gang)

    def _obey(self, gang: Gang) -> None:
        """What the workers do when they hear their directive; all hear the same here."""
        order = directive(self.state, gang.job, gang.epoch, gang.nodes[0])
        if order.action == "run" and gang.generation < order.generation:
            gang.generation = order.generation
            startup_ns = self._startup_ns(gang)
            if startup_ns:
                self.agenda.put(self.now_ns + startup_ns, READY, lambda: self._ready(gang))
            else:
                self._ready(gang)
        elif order.action == "stop" and gang.alive:
            self._stop(gang, save=order.save)

    def _ready(self, gang: Gang) -> None:
        if not gang.alive:
            return
        for node in gang.nodes:
            job, epoch, generation, n = gang.job, gang.epoch, gang.generation, gang.n
            started = RanksStarted(job=job, epoch=epoch, generation=generation, node=node, n=n + 1)
            ready = RanksReady(
                job=job, epoch=epoch, generation=generation, node=node, n=n + 2, resumed_step=0
            )
            self._report(gang, node, started, ready)
        gang.n += 2
        gang.ready_ns = self.now_ns
        self._work(gang)

    # What a world with faults does otherwise, see `twin.outages`.

    def _startup_ns(self, gang: Gang) -> int:
        """From the order to run to the first work."""
        return self.futures.startup_ns(gang.job, gang.epoch, gang.placement, self.now_ns)

    def _work(self, gang: Gang) -> None:
        """The ranks work from now on."""
        batch = self.tuner.batch(gang.job, gang.placement)
        left_ns = self.futures.begin(gang.job, gang.placement, batch, self.now_ns)
        self.agenda.put(self.now_ns + left_ns, FINISH, lambda: self._news(gang))

    def _end_work(self, gang: Gang, *, saved: bool) -> tuple[int, int]:
        """The ranks work no more; the step of their last state, and a stall before it (ns)."""
        done_ns = self.futures.stop(gang.job, self.now_ns, saved=saved)
        self._measure(gang, self.futures.measured(gang.job))
        return round(done_ns / NS_PER_S), 0

    def _news(self, gang: Gang) -> None:
        """What the ranks have measured goes into the log, and they go on; or all is done."""
        if not gang.alive:
            return
        found = self.futures.news(gang.job, self.now_ns)
        if found is None:
            self._finish(gang)
            return
        self._measure(gang, found)
        batch = self.tuner.batch(gang.job, gang.placement)
        left_ns = self.futures.tune(gang.job, batch, self.now_ns)
        self.agenda.put(self.now_ns + left_ns, FINISH, lambda: self._news(gang))

    def _measure(self, gang: Gang, found: Measurement | None) -> None:
        """The first node's worker reports what the ranks have measured."""
        if found is not None:
            gang.n += 1
            about = who(gang, gang.nodes[0])
            self._report(gang, gang.nodes[0], Measured(**about, n=gang.n, **asdict(found)))

    def _finish(self, gang: Gang) -> None:
        gang.alive = False
        self.futures.finish(gang.job, self.now_ns)
        for node in gang.nodes:
            self._report(gang, node, RanksFinished(**who(gang, node), n=gang.n + 1))
        del self.engine.gangs[gang.job]

    def _stop(self, gang: Gang, *, save: bool) -> None:
        """Save where that is wanted, and end; both take no time here."""
        gang.alive = False
        worked = gang.ready_ns is not None
        step, stall_ns = 0, 0
        if worked:
            step, stall_ns = self._end_work(gang, saved=save)
        else:
            self.futures.abort(gang.job, self.now_ns)
        for at, node in enumerate(gang.nodes):
            if at == 0 and save and worked:
                fact = committed(who(gang, node), gang.n + 1, step, stall_ns=stall_ns)
                self._report(gang, node, fact)
            self._report(gang, node, RanksStopped(**who(gang, node), n=gang.n + 2))

    def _report(self, gang: Gang, node: NodeId, *facts: WorkerFact) -> None:
        news = WorkerReport(job=gang.job, epoch=gang.epoch, node=node, beat=_BEAT, facts=facts)
        for fact in requests.report(self.state, news):
            self.record(fact)


def order_of(launch: Launch, spec: JobSpec, node: NodeId) -> LaunchOrder:
    """What one worker is told at its start; nobody opens a door here, so it needs no token."""
    return LaunchOrder(
        job=launch.job,
        epoch=launch.epoch,
        node=node,
        placement=launch.placement,
        spec=spec,
        token="",
        address_file="",
        job_dir="",
        cache_dir="",
        lease_s=None,
        environment={},
    )


def who(gang: Gang, node: NodeId) -> dict[str, Any]:
    """What every fact about ranks carries, but its number."""
    return {
        "job": gang.job, "epoch": gang.epoch, "node": node, "generation": gang.generation
    }  # fmt: skip


def committed(who: dict[str, Any], n: int, step: int, *, stall_ns: int = 0) -> CheckpointCommitted:
    """A save that is whole at the moment of the report."""
    return CheckpointCommitted(
        **who,
        n=n,
        step=step,
        path="twin",
        size_bytes=0,
        written_bytes=0,
        age_ns=0,
        stall_ns=stall_ns,
    )
