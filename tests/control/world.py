"""A small world around the pure core: virtual time, an engine and workers that follow directives.

Every event goes through its JSON form on the way into the log, and the invariants are checked after
every event.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from irongrid.control import requests, snapshot
from irongrid.control.apply import apply
from irongrid.control.commands import commands, directive, outstanding
from irongrid.control.decide import decide
from irongrid.control.invariants import violations
from irongrid.control.state import Job, State
from irongrid.domain.codec import canonical, from_json, to_json
from irongrid.domain.command import Command, Launch
from irongrid.domain.device import Node
from irongrid.domain.event import (
    CheckpointCommitted,
    Decided,
    Event,
    GangFailed,
    LaunchAccepted,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    Recorded,
    ServerStarted,
    WorkerFact,
    WorkerJoined,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, Resources, Retries, RunTask
from irongrid.domain.messages import Beat, WorkerReport
from irongrid.errors import Fenced
from irongrid.units import NS_PER_S

KILLED = Failure(code=FailureCode.SIGNAL, signal="SIGKILL", rank=0, message="rank 0: SIGKILL")
USER_ERROR = Failure(code=FailureCode.EXIT_CODE, exit_code=1, rank=0, message="rank 0: exit 1")


def node(name: str, devices: int, *, cpus: float = 64.0, memory_bytes: int = 2**38) -> Node:
    return Node(
        id=NodeId(name), device_type="cpu", devices=devices, cpus=cpus, memory_bytes=memory_bytes
    )


def spec(*sizes: int, max_duration_s: float | None = None, retries: int = 3) -> JobSpec:
    return JobSpec(
        name="test",
        task=RunTask(argv=("true",)),
        workdir="/",
        resources=Resources(sizes=sizes),
        retries=Retries(max=retries),
        max_duration_s=max_duration_s,
    )


@dataclass
class SimWorker:
    """A worker that obeys the contract, as slowly as the test likes."""

    job: JobId
    epoch: int
    node: NodeId
    n: int = 0
    running: int = 0
    stopped: int = 0
    alive: bool = True
    unacked: tuple[WorkerFact, ...] = ()


class World:
    """The core, its log, and everything around it."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.state = State()
        self.log: list[Recorded] = []
        self.now_ns = NS_PER_S
        self.pending: list[Command] = []
        self.workers: dict[tuple[JobId, int, NodeId], SimWorker] = {}
        self.launched: set[tuple[JobId, int]] = set()
        self.record(ServerStarted(server_epoch=1, irongrid_version="test", nodes=nodes))

    # ---- the log

    def record(self, event: Event) -> None:
        """Append and fold one event, and check everything that must hold."""
        text = canonical(to_json(event))
        stored: Event = from_json(type(event), json.loads(text))
        assert stored == event
        recorded = Recorded(len(self.log) + 1, self.now_ns, stored)
        self.log.append(recorded)
        apply(self.state, recorded)
        assert violations(self.state) == []
        self.pending += commands(recorded, self.state)

    def restart(self, *, through_snapshot: bool) -> None:
        """Crash the control plane: a new state from the log alone, or from a snapshot."""
        before = snapshot.state_hash(self.state)
        if through_snapshot:
            self.state = snapshot.load(iter(list(snapshot.dump(self.state))))
        else:
            self.state = State()
            for recorded in self.log:
                apply(self.state, recorded)
        assert snapshot.state_hash(self.state) == before
        epoch = self.state.server_epoch + 1
        self.pending = []
        self.record(ServerStarted(server_epoch=epoch, irongrid_version="test", nodes=self.nodes))
        self.pending = list(outstanding(self.state))

    # ---- people

    def submit(self, job: JobSpec, key: str = "") -> JobId:
        event = requests.submit(self.state, job, key or f"key-{len(self.log)}")
        assert not isinstance(event, str)
        self.record(event)
        return event.job

    def ask(self, event: Event | None) -> None:
        if event is not None:
            self.record(event)

    def job(self, job: JobId) -> Job:
        return self.state.jobs[job]

    # ---- time and decisions

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)

    def decide(self) -> bool:
        decision = decide(self.state, self.now_ns)
        if decision is not None:
            self.record(Decided(decision=decision))
        return decision is not None

    def settle(self) -> None:
        """Let everything react until nothing changes."""
        for _ in range(1000):
            moved = self.decide()
            moved = self.run_engine() or moved
            for worker in list(self.workers.values()):
                moved = self.step(worker) or moved
            if not moved:
                return
        raise AssertionError("the world does not come to rest")

    # ---- the engine

    def run_engine(self) -> bool:
        done, self.pending = self.pending, []
        for command in done:
            if isinstance(command, Launch):
                self.launch(command)
            else:
                for share in command.placement.shares:
                    self.kill_worker(command.job, command.epoch, share.node)
        return bool(done)

    def launch(self, command: Launch) -> None:
        """Idempotent by (job, epoch), as every engine must be."""
        key = (command.job, command.epoch)
        if key not in self.launched:
            self.launched.add(key)
            for share in command.placement.shares:
                place = (*key, share.node)
                self.workers[place] = SimWorker(*place)
        self.record(LaunchAccepted(job=command.job, epoch=command.epoch))

    def kill_worker(self, job: JobId, epoch: int, node: NodeId) -> None:
        worker = self.workers.get((job, epoch, node))
        if worker is not None:
            worker.alive = False
        self.ask(requests.worker_gone(self.state, job, epoch, node, "process_table"))

    # ---- workers

    def send(self, worker: SimWorker, *facts: WorkerFact) -> None:
        """Report facts; a fence ends the worker."""
        news = WorkerReport(
            job=worker.job, epoch=worker.epoch, node=worker.node, beat=Beat(), facts=facts
        )
        try:
            fresh = requests.report(self.state, news)
        except Fenced:
            worker.alive, worker.running = False, 0
            return
        for fact in fresh:
            self.record(fact)

    def number(self, worker: SimWorker) -> int:
        worker.n += 1
        return worker.n

    def step(self, worker: SimWorker) -> bool:
        """One look at the directive; True if the worker did something."""
        if not worker.alive:
            return False
        who: dict[str, Any] = {"job": worker.job, "epoch": worker.epoch, "node": worker.node}
        if worker.n == 0:
            self.send(
                worker,
                WorkerJoined(**who, n=self.number(worker), rendezvous="h:1", limits="none"),
            )
            return True
        try:
            order = directive(self.state, worker.job, worker.epoch, worker.node)
        except Fenced:
            worker.alive, worker.running = False, 0
            return True
        if order.action == "run" and worker.running < order.generation:
            assert worker.running == 0 or worker.stopped >= worker.running
            worker.running = order.generation
            gang: dict[str, Any] = {**who, "generation": order.generation}
            started = RanksStarted(**gang, n=self.number(worker))
            ready = RanksReady(**gang, n=self.number(worker), resumed_step=0)
            self.send(worker, started, ready)
            return True
        if order.action == "hold" and worker.stopped < order.generation - 1:
            worker.stopped, worker.running = order.generation - 1, 0
            gang = {**who, "generation": order.generation - 1}
            self.send(worker, RanksStopped(**gang, n=self.number(worker)))
            return True
        if order.action == "stop":
            worker.alive, worker.running = False, 0
            gang = {**who, "generation": order.generation}
            self.send(worker, RanksStopped(**gang, n=self.number(worker)))
            return True
        return False

    def of(self, job: JobId) -> list[SimWorker]:
        """The live workers of a job's newest epoch, in node order."""
        epoch = self.job(job).epoch
        found = [w for w in self.workers.values() if (w.job, w.epoch) == (job, epoch) and w.alive]
        return sorted(found, key=lambda worker: worker.node)

    def fail(self, job: JobId, failure: Failure = KILLED, *, step: int = 0) -> None:
        """A rank on the job's first node fails."""
        worker = self.of(job)[0]
        gang: dict[str, Any] = {
            "job": job,
            "epoch": worker.epoch,
            "node": worker.node,
            "generation": worker.running,
        }
        worker.stopped, worker.running = worker.running, 0
        failed = GangFailed(**gang, n=self.number(worker), failure=failure, step=step)
        self.send(worker, failed, RanksStopped(**gang, n=self.number(worker)))

    def finish(self, job: JobId) -> None:
        """Every rank of the job ends well."""
        for worker in self.of(job):
            gang: dict[str, Any] = {"job": job, "epoch": worker.epoch, "node": worker.node}
            finished = RanksFinished(**gang, generation=worker.running, n=self.number(worker))
            worker.stopped, worker.running = worker.running, 0
            self.send(worker, finished)

    def checkpoint(
        self, job: JobId, step: int, *, age_s: float = 0.0, stall_s: float = 0.0
    ) -> None:
        worker = self.of(job)[0]
        fact = CheckpointCommitted(
            job=job,
            epoch=worker.epoch,
            generation=worker.running,
            node=worker.node,
            n=self.number(worker),
            step=step,
            path=f"/c/{step}",
            size_bytes=1,
            written_bytes=1,
            age_ns=round(age_s * NS_PER_S),
            stall_ns=round(stall_s * NS_PER_S),
        )
        self.send(worker, fact)

    def ranks_running(self) -> Iterator[tuple[JobId, int, NodeId]]:
        for place, worker in self.workers.items():
            if worker.running:
                yield place
