"""Random lives of the control plane: against a short reference model, and under message chaos."""

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.control.world import KILLED, USER_ERROR, World, node, spec

from irongrid.control import requests, snapshot
from irongrid.control.state import Phase
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobState
from irongrid.errors import Conflict

QUICK = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=1500)
TOTAL = 6


class Reference:
    """What users expect, in a few lines: sizes only, one pool, everything instant.

    First come, first served. The first job that does not fit reserves its size out of what older
    jobs hold or leave free; a younger job may only take from the rest.
    """

    def __init__(self) -> None:
        self.size: dict[JobId, int] = {}
        self.state: dict[JobId, str] = {}

    def held(self) -> int:
        return sum(size for job, size in self.size.items() if self.state[job] == "running")

    def settle(self) -> None:
        holder: JobId | None = None
        for job in sorted(job for job, state in self.state.items() if state == "queued"):
            size = self.size[job]
            if size > TOTAL - self.held():
                holder = holder or job
                continue
            if holder is not None:
                younger = sum(
                    self.size[other]
                    for other, state in self.state.items()
                    if state == "running" and other > holder
                )
                if TOTAL - younger - size < self.size[holder]:
                    continue
            self.state[job] = "running"


class AgainstTheReference(RuleBasedStateMachine):
    """Whatever happens, once things are quiet both agree on who runs, who waits and who is done."""

    @initialize()
    def start(self) -> None:
        self.world = World(node("n0", 4), node("n1", 2))
        self.model = Reference()

    def pick(self, index: int) -> JobId | None:
        jobs = list(self.model.state)
        return jobs[index % len(jobs)] if jobs else None

    def quiet(self) -> None:
        self.world.settle()
        self.model.settle()
        alias = {"starting": "running"}
        seen = {
            job: alias.get(found.state, str(found.state))
            for job, found in self.world.state.jobs.items()
        }
        assert seen == self.model.state

    @rule(size=st.integers(1, TOTAL))
    def submit(self, size: int) -> None:
        job = self.world.submit(spec(size, retries=10**6))
        self.model.size[job], self.model.state[job] = size, "queued"
        self.quiet()

    @rule(index=st.integers(0, 30), verb=st.sampled_from(["cancel", "pause", "resume"]))
    def ask(self, index: int, verb: str) -> None:
        job = self.pick(index)
        if job is None:
            return
        state = self.model.state[job]
        final = state in ("succeeded", "failed", "cancelled")
        try:
            self.world.ask(getattr(requests, verb)(self.world.state, job))
        except Conflict:
            assert final
            return
        assert not final or (verb, state) == ("cancel", "cancelled")
        if verb == "cancel":
            self.model.state[job] = "cancelled"
        elif verb == "pause":
            self.model.state[job] = "paused"
        elif state == "paused":
            self.model.state[job] = "queued"
        self.quiet()

    @rule(index=st.integers(0, 30), how=st.sampled_from(["finish", "user error", "rank", "worker"]))
    def end(self, index: int, how: str) -> None:
        running = [job for job, state in self.model.state.items() if state == "running"]
        if not running:
            return
        job = running[index % len(running)]
        if how == "finish":
            self.world.finish(job)
            self.model.state[job] = "succeeded"
        elif how == "user error":
            self.world.fail(job, USER_ERROR)
            self.model.state[job] = "failed"
        elif how == "rank":
            self.world.fail(job, KILLED)
            self.world.advance(120)  # past any back-off
        else:
            self.world.kill_worker(job, self.world.job(job).epoch, self.world.of(job)[0].node)
            self.world.decide()
            self.model.state[job] = "queued"
            # Its other workers stop before anything else may take their place.
            for worker in self.world.of(job):
                self.world.step(worker)
            self.world.advance(120)
        self.quiet()

    @rule(through_snapshot=st.booleans())
    def crash(self, through_snapshot: bool) -> None:
        self.world.restart(through_snapshot=through_snapshot)
        self.quiet()


class UnderChaos(RuleBasedStateMachine):
    """Workers lag, repeat themselves and die; the control plane crashes; invariants hold.

    The invariants run inside `World.record`. At the end the world must come to rest with every job
    final or waiting for a reason: nothing is stuck.
    """

    @initialize()
    def start(self) -> None:
        self.world = World(node("n0", 2, cpus=2), node("n1", 2, cpus=3), node("n2", 1, cpus=1))

    def some(self, index: int) -> JobId | None:
        jobs = list(self.world.state.jobs)
        return jobs[index % len(jobs)] if jobs else None

    @rule(sizes=st.sampled_from([(1,), (2,), (4,), (1, 2, 4), (5,)]), limit=st.booleans())
    def submit(self, sizes: tuple[int, ...], limit: bool) -> None:
        self.world.submit(spec(*sizes, max_duration_s=30 if limit else None))

    @rule(index=st.integers(0, 30), verb=st.sampled_from(["cancel", "pause", "resume"]))
    def ask(self, index: int, verb: str) -> None:
        job = self.some(index)
        if job is not None:
            with contextlib.suppress(Conflict):  # the answer of a job that ends or has ended
                self.world.ask(getattr(requests, verb)(self.world.state, job))

    @rule(seconds=st.floats(0, 100))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def decide(self) -> None:
        self.world.decide()

    @rule()
    def engine(self) -> None:
        self.world.run_engine()

    @precondition(lambda self: self.world.workers)
    @rule(index=st.integers(0, 30), twice=st.booleans())
    def worker(self, index: int, twice: bool) -> None:
        workers = list(self.world.workers.values())
        chosen = workers[index % len(workers)]
        before = chosen.n
        self.world.step(chosen)
        if twice and chosen.n > before:
            chosen.n, facts_again = before, chosen.n
            self.world.step(chosen)
            chosen.n = max(chosen.n, facts_again)

    @rule(
        index=st.integers(0, 30),
        how=st.sampled_from(["finish", "user error", "rank", "save", "gone"]),
    )
    def happen(self, index: int, how: str) -> None:
        alive = [w for w in self.world.workers.values() if w.alive and w.running]
        if not alive:
            return
        worker = alive[index % len(alive)]
        current = self.world.job(worker.job)
        if current.attempt is None or current.epoch != worker.epoch:
            return
        if worker is not self.world.of(worker.job)[0]:
            return
        if how == "finish":
            if all(other.running == worker.running for other in self.world.of(worker.job)):
                self.world.finish(worker.job)
        elif how == "save":
            self.world.checkpoint(worker.job, current.step + 1, age_s=1, stall_s=0.5)
        elif how == "gone":
            self.world.kill_worker(worker.job, worker.epoch, worker.node)
        else:
            self.world.fail(worker.job, USER_ERROR if how == "user error" else KILLED, step=7)

    @rule(through_snapshot=st.booleans())
    def crash(self, through_snapshot: bool) -> None:
        self.world.restart(through_snapshot=through_snapshot)

    @rule()
    def no_device_hosts_two_generations(self) -> None:
        """I2 seen from the machines: one job's ranks belong to one epoch."""
        epochs: dict[JobId, set[int]] = {}
        for job, epoch, _ in self.world.ranks_running():
            epochs.setdefault(job, set()).add(epoch)
        assert all(len(found) == 1 for found in epochs.values())

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for _ in range(6):
            self.world.advance(120)
            self.world.settle()
        state = self.world.state
        for job in state.jobs.values():
            if job.attempt is not None:
                assert job.attempt.phase is Phase.RUNNING, (job.id, job.attempt)
        if not state.active:
            assert not state.queue, "an idle fleet leaves no one waiting"
        assert snapshot.state_hash(snapshot.load(snapshot.dump(state))) == snapshot.state_hash(
            state
        )
        assert all(job.state in JobState for job in state.jobs.values())


TestAgainstTheReference = AgainstTheReference.TestCase
TestAgainstTheReference.settings = QUICK
TestUnderChaos = UnderChaos.TestCase
TestUnderChaos.settings = QUICK


@pytest.mark.slow
@pytest.mark.parametrize("machine", [AgainstTheReference, UnderChaos])
def test_long_lives(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=LONG)
