"""Random lives of every policy: against a short reference model where one exists, and by promise.

The model knows sizes, nodes and an order, and nothing of indexes, lines, trials and logs. Behind
each step `World` checks the invariants of the state: no device twice, gangs whole.
"""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Draw
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from tests.control.world import USER_ERROR, World, node, spec

from irongrid.control import requests
from irongrid.control.decide import decide
from irongrid.control.state import Job, Phase
from irongrid.domain.decision import Start, Stop
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import Decided, NodeClosed, NodeOpened
from irongrid.domain.ids import JobId, NodeId
from irongrid.errors import Conflict
from irongrid.scheduler import preempting
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.qssf import Qssf
from irongrid.scheduler.rooms import Trial
from irongrid.scheduler.shortest import Shortest
from irongrid.scheduler.srtf import Srtf

QUICK = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=1_000)
FLEETS = ((4, 4, 4), (2, 4, 4), (1, 1, 1, 3))


def service_s(size: int) -> float:
    """Larger gangs are shorter, so that this order differs from that of submission."""
    return 100.0 / size


def left_s(job: JobId, at_ns: int) -> float:
    """What is left of a job, without rhyme or reason, so that younger ones often go first."""
    return 50.0 + 97 * int(job[-1], 36) % 400


def of_job(job: Waiting) -> float:
    return service_s(job.spec.resources.sizes[0])


# A policy, and for the model: what it orders by, and whether it goes on behind who does not fit.
MODELLED: dict[str, tuple[Callable[[], Policy], Callable[[int], float], bool]] = {
    "fifo": (Fifo, lambda size: 0.0, False),
    "fifo-backfill": (lambda: Fifo(backfill=True), lambda size: 0.0, True),
    "qssf": (
        lambda: Qssf(lambda group, ranks: service_s(ranks) / ranks, backfill=True),
        service_s,
        True,
    ),
    "qssf-strict": (
        lambda: Qssf(lambda group, ranks: service_s(ranks) / ranks, backfill=False),
        service_s,
        False,
    ),
    "sjf": (
        lambda: Shortest("sjf", of_job, times_gpus=False, backfill=False),
        service_s,
        False,
    ),
}
PREEMPTING: dict[str, Callable[[], Policy]] = {
    "las": lambda: Las(first_queue_gpu_s=50),
    "srtf": lambda: Srtf(left_s, lambda ranks: 7.0),
}


class Model:
    """Who runs where, worked out anew from nothing but sizes, nodes and an order."""

    def __init__(self, devices: tuple[int, ...], rank: Callable[[int], float], on: bool) -> None:
        self.free = {NodeId(f"n{at}"): set(range(count)) for at, count in enumerate(devices)}
        self.largest = max(devices)
        self.rank, self.goes_on = rank, on
        self.closed: set[NodeId] = set()
        self.queue: dict[JobId, int] = {}
        self.running: dict[JobId, Placement] = {}

    def settle(self) -> None:
        """Start whoever may start, in order."""
        for job in sorted(self.queue, key=lambda job: (self.rank(self.queue[job]), job)):
            placement = place(self.open(), self.largest, self.queue[job])
            if placement is None:
                if not self.goes_on:
                    return
                continue
            del self.queue[job]
            self.running[job] = placement
            for share in placement.shares:
                self.free[share.node] -= set(share.devices)

    def open(self) -> dict[NodeId, set[int]]:
        return {name: free for name, free in self.free.items() if name not in self.closed}

    def leave(self, job: JobId) -> None:
        self.queue.pop(job, None)
        placement = self.running.pop(job, None)
        for share in placement.shares if placement else ():
            self.free[share.node] |= set(share.devices)


def place(free: dict[NodeId, set[int]], largest: int, ranks: int) -> Placement | None:
    """Whole nodes of the largest kind, and the tightest one for what is left."""
    whole, rest = divmod(ranks, largest) if ranks > largest else (0, ranks)
    taken = dict.fromkeys([name for name in sorted(free) if len(free[name]) == largest][:whole])
    if len(taken) < whole:
        return None
    counts = dict.fromkeys(taken, largest)
    if rest:
        fits = [name for name in free if name not in taken and len(free[name]) >= rest]
        if not fits:
            return None
        counts[min(fits, key=lambda name: (len(free[name]), name))] = rest
    shares = (
        NodeShare(node=name, devices=tuple(sorted(free[name])[:count]))
        for name, count in sorted(counts.items())
    )
    return Placement(shares=tuple(shares))


def running(job: Job) -> bool:
    return job.attempt is not None and job.attempt.phase is Phase.RUNNING


class Life:
    """What happens to one world; a list of it can be lived again."""

    def __init__(self, devices: tuple[int, ...], make: Callable[[], Policy]) -> None:
        self.policy = make()
        self.world = World(*(node(f"n{at}", count) for at, count in enumerate(devices)))
        self.world.state.use(self.policy)

    def do(self, word: str, *about: Any) -> Any:
        """One step by its name."""
        return getattr(self, word)(*about)

    def submit(self, size: int) -> JobId:
        return self.world.submit(spec(size, retries=10**6))

    def finish(self, job: JobId) -> None:
        self.world.finish(job)

    def fail(self, job: JobId) -> None:
        self.world.fail(job, USER_ERROR)

    def lose(self, job: JobId) -> None:
        world = self.world
        world.kill_worker(job, world.job(job).epoch, world.of(job)[0].node)
        world.decide()
        for worker in world.of(job):
            world.step(worker)
        world.advance(120)  # past any back-off

    def ask(self, verb: str, job: JobId) -> bool:
        try:
            self.world.ask(getattr(requests, verb)(self.world.state, job))
        except Conflict:
            return False
        return True

    def close(self, name: NodeId) -> None:
        self.world.record(NodeClosed(node=name, reason="it drains", leaves=False))

    def open(self, name: NodeId) -> None:
        self.world.record(NodeOpened(node=name))

    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    def crash(self, through_snapshot: bool) -> None:
        self.world.restart(through_snapshot=through_snapshot)
        self.world.state.use(self.policy)

    def settle(self) -> None:
        self.world.settle()


class Machine(RuleBasedStateMachine):
    """Steps that all policies go through; what must hold then is for subclasses."""

    make: Callable[[], Policy]

    def begin(self, devices: tuple[int, ...], make: Callable[[], Policy]) -> None:
        self.devices, self.make = devices, make
        self.steps: list[tuple[Any, ...]] = []
        self.life = Life(devices, make)

    def do(self, word: str, *about: Any) -> Any:
        self.steps.append((word, *about))
        return self.life.do(word, *about)

    def quiet(self) -> None:
        """Nothing is left to decide, and what was decided in vain is not decided again."""
        seen = len(self.life.world.log)
        self.do("settle")
        self.looks_right(seen)
        assert decide(self.life.world.state, self.life.world.now_ns) is None

    def looks_right(self, seen: int) -> None:
        raise NotImplementedError

    def job(self, index: int) -> JobId | None:
        jobs = list(self.life.world.state.jobs)
        return jobs[index % len(jobs)] if jobs else None

    def runs(self, index: int) -> JobId | None:
        state = self.life.world.state
        jobs = [job for job in sorted(state.active) if running(state.jobs[job])]
        return jobs[index % len(jobs)] if jobs else None

    @rule(size=st.integers(1, 12))
    def submit(self, size: int) -> None:
        size = min(size, max(self.devices) * self.devices.count(max(self.devices)))
        self.submitted(self.do("submit", size), size)
        self.quiet()

    @rule(sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5), seconds=st.integers(20, 90))
    def crowd(self, sizes: list[int], seconds: int) -> None:
        """Many come, and those who found a place work for a while."""
        for size in sizes:
            self.submit(size)
        self.time(float(seconds))

    @rule(index=st.integers(0, 30), how=st.sampled_from(["finish", "fail", "lose"]))
    def end(self, index: int, how: str) -> None:
        job = self.runs(index)
        if job is not None:
            self.do(how, job)
            self.ended(job, how)
            self.quiet()

    @rule(index=st.integers(0, 30), verb=st.sampled_from(["cancel", "pause", "resume"]))
    def ask(self, index: int, verb: str) -> None:
        job = self.job(index)
        if job is not None and self.do("ask", verb, job):
            self.asked(job, verb)
        self.quiet()

    @rule(index=st.integers(0, 3), verb=st.sampled_from(["close", "open"]))
    def node(self, index: int, verb: str) -> None:
        name = NodeId(f"n{index % len(self.devices)}")
        self.do(verb, name)
        self.node_changed(name, verb)
        self.quiet()

    @rule(seconds=st.floats(0, 300))
    def time(self, seconds: float) -> None:
        self.do("advance", seconds)
        self.quiet()

    @rule(through_snapshot=st.booleans())
    def crash(self, through_snapshot: bool) -> None:
        self.do("crash", through_snapshot)
        self.quiet()

    def submitted(self, job: JobId, size: int) -> None: ...

    def ended(self, job: JobId, how: str) -> None: ...

    def asked(self, job: JobId, verb: str) -> None: ...

    def node_changed(self, name: NodeId, verb: str) -> None: ...

    def teardown(self) -> None:
        """The same steps give the same log."""
        if hasattr(self, "life"):
            again = Life(self.devices, self.make)
            for word, *about in self.steps:
                again.do(word, *about)
            assert again.world.log == self.life.world.log


class AgainstTheModel(Machine):
    """Policies without preemption: both agree on who runs on which devices."""

    @initialize(devices=st.sampled_from(FLEETS), name=st.sampled_from(sorted(MODELLED)))
    def start(self, devices: tuple[int, ...], name: str) -> None:
        make, rank, goes_on = MODELLED[name]
        self.model = Model(devices, rank, goes_on)
        self.sizes: dict[JobId, int] = {}
        self.paused: set[JobId] = set()
        self.begin(devices, make)

    def submitted(self, job: JobId, size: int) -> None:
        self.model.queue[job] = self.sizes[job] = size

    def ended(self, job: JobId, how: str) -> None:
        self.model.leave(job)
        if how == "lose":
            self.model.queue[job] = self.sizes[job]

    def asked(self, job: JobId, verb: str) -> None:
        live = job in self.model.queue or job in self.model.running
        if verb == "resume" and job in self.paused:
            self.paused.remove(job)
            self.model.queue[job] = self.sizes[job]
        elif verb == "cancel":
            self.paused.discard(job)
            self.model.leave(job)
        elif verb == "pause" and live:
            self.paused.add(job)
            self.model.leave(job)

    def node_changed(self, name: NodeId, verb: str) -> None:
        (self.model.closed.add if verb == "close" else self.model.closed.discard)(name)

    def looks_right(self, seen: int) -> None:
        self.model.settle()
        state = self.life.world.state
        assert {job: state.jobs[job].placement for job in state.active} == self.model.running
        assert state.queue == sorted(self.model.queue)
        assert set(state.paused) == self.paused


class Preempting(Machine):
    """Policies that stop others: nobody in vain, nobody twice, and for none that stands behind."""

    @initialize(devices=st.sampled_from(FLEETS), name=st.sampled_from(sorted(PREEMPTING)))
    def start(self, devices: tuple[int, ...], name: str) -> None:
        self.begin(devices, PREEMPTING[name])

    def looks_right(self, seen: int) -> None:
        world = self.life.world
        news = [one.event for one in world.log[seen:] if isinstance(one.event, Decided)]
        actions = [action for event in news for action in event.decision.actions]
        stopped = [a.job for a in actions if isinstance(a, Stop) and a.reason.startswith("makes")]
        started = [action.job for action in actions if isinstance(action, Start)]
        # No preemption loop: between two events nobody is stopped twice or started twice.
        assert len(set(stopped)) == len(stopped)
        assert len(set(started)) == len(started)
        # Whoever was stopped has made way for somebody.
        assert not stopped or set(started) - set(stopped)
        self.first_in_order_has_no_better_place()

    def first_in_order_has_no_better_place(self) -> None:
        """Whoever waits first fits neither into what is free nor into what those behind it hold."""
        state = self.life.world.state
        assert state.order is not None
        assert state.held is not None
        state.held.advance(self.life.world.now_ns)
        ready = (
            (rank, job, need)
            for (rank, job), need in state.order.walk()
            if state.jobs[job].not_before_ns <= self.life.world.now_ns
        )
        first = next(ready, None)
        if first is None:
            return
        rank, job, need = first
        room = {
            name: set(free.devices) for name, free in state.free.items() if name not in state.closed
        }
        bar = rank
        if state.policy is not None and state.policy.name == "srtf":
            bar = self.life.world.now_ns / 1e9 + rank
        for other, held in state.held.ranked:
            if other > bar:
                for share in state.jobs[held].placement.shares:
                    if share.node in room:
                        room[share.node] |= set(share.devices)
        assert place(room, max(self.devices), need.sizes[0]) is None, f"{job} waits"


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = QUICK
TestPreempting = Preempting.TestCase
TestPreempting.settings = QUICK


def stop_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preempting, "_make_way", lambda now, rank, need: None)


def stop_anybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Srtf, "_end_s", lambda self, run, now_ns: 1e9)
    patch.setattr(Las, "_rank", lambda self, job, now_ns: 1e9 if now_ns else 0.0)


def keep_a_trial(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trial, "undo", lambda self, to=0: self._done.clear())


@pytest.mark.parametrize("mutant", [stop_nobody, stop_anybody, keep_a_trial])
def test_the_promises_can_be_broken(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Preempting, settings=settings(QUICK, phases=[Draw.generate]))


@pytest.mark.slow
@pytest.mark.parametrize("machine", [AgainstTheModel, Preempting])
def test_long_lives(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=LONG)
