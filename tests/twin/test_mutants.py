"""Would chaos notice? Bugs are put in by hand, and each must be found within a few seeds.

Each mutant changes the real functions. Beside it stand how many seeds it may take, and which of the
promises is seen broken first; the unchanged code passes the same seeds
(`tests/twin/test_chaos.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from irongrid.control import apply as applying
from irongrid.control import attempts, commands, decide, requests
from irongrid.control.state import Attempt, Job, Phase, State
from irongrid.domain.decision import Outcome, Start
from irongrid.domain.device import Placement
from irongrid.domain.event import CheckpointCommitted, WorkerFact
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources
from irongrid.domain.messages import WorkerReport
from irongrid.scheduler.rooms import Rooms
from irongrid.twin.chaos import server as chaos_server
from irongrid.twin.chaos.cluster import Cluster
from irongrid.twin.chaos.run import live
from irongrid.twin.chaos.server import ControlPlane

Patch = pytest.MonkeyPatch


def skip_the_fence(patch: Patch) -> None:
    """The server takes what workers of an older epoch say."""
    real = requests.report

    def report(state: State, news: WorkerReport) -> tuple[WorkerFact, ...]:
        job = state.jobs.get(news.job)
        if job is not None and 0 < news.epoch < job.epoch:
            return news.facts
        return real(state, news)

    patch.setattr(requests, "report", report)


def accept_a_stale_epoch(patch: Patch) -> None:
    """Facts of an older epoch count for the newest attempt, at the door and in the fold."""
    real = requests.report

    def report(state: State, news: WorkerReport) -> tuple[WorkerFact, ...]:
        job = state.jobs.get(news.job)
        if job is None or job.attempt is None or news.node not in job.attempt.members:
            return real(state, news)
        facts = tuple(replace(fact, epoch=job.epoch) for fact in news.facts)
        return real(state, replace(news, epoch=job.epoch, facts=facts))

    patch.setattr(requests, "report", report)


def double_count_a_device(patch: Patch) -> None:
    """A placement leaves its last device free."""
    real = Rooms.take

    def take(self: Rooms, placement: Placement, per: Resources) -> None:
        last = placement.shares[-1]
        shorter = replace(last, devices=last.devices[:-1])
        real(self, Placement(shares=(*placement.shares[:-1], shorter)), per)

    patch.setattr(Rooms, "take", take)


def launch_half_a_gang(patch: Patch) -> None:
    """A gang over several nodes runs as soon as its first node is ready."""
    real = applying._ready

    def ready(state: State, job: Job, attempt: Attempt, event: Any, at_ns: int) -> None:
        for member in attempt.members.values():
            member.ready = attempt.generation
        real(state, job, attempt, event, at_ns)

    patch.setattr(applying, "_ready", ready)


def place_half_a_gang(patch: Patch) -> None:
    """Nobody asks whether a placement has the whole gang, and some have not."""
    real = decide.decide

    def decided(state: State, now_ns: int) -> Any:
        decision = real(state, now_ns)
        if decision is None:
            return None
        actions = tuple(
            replace(action, placement=Placement(shares=action.placement.shares[:1]))
            if isinstance(action, Start)
            else action
            for action in decision.actions
        )
        return replace(decision, actions=actions)

    patch.setattr(chaos_server, "decide", decided)
    patch.setattr(attempts, "holds", lambda state, job, placement: True)


def lose_a_requeue(patch: Patch) -> None:
    """A job that is to wait again is not put back into the queue."""
    real = attempts.requeue

    def requeue(state: State, job: Job, not_before_ns: int, at_ns: int) -> None:
        real(state, job, not_before_ns, at_ns)
        if job.restarts % 2:
            state.dequeue(job.id)

    patch.setattr(attempts, "requeue", requeue)


def forget_a_cancel(patch: Patch) -> None:
    """A cancel of a running job is noted nowhere."""
    real = applying._want

    def want(state: State, job: Job, outcome: Outcome, reason: str) -> None:
        if outcome is not Outcome.CANCEL:
            real(state, job, outcome, reason)

    patch.setattr(applying, "_want", want)


def never_free_a_dead_nodes_devices(patch: Patch) -> None:
    """What a job held on a node that has died stays taken."""
    real = State.release

    def release(self: State, job: Job, placement: Placement) -> None:
        left = tuple(share for share in placement.shares if share.node not in self.closed)
        real(self, job, Placement(shares=left))

    patch.setattr(State, "release", release)


def start_on_a_draining_node(patch: Patch) -> None:
    """Policies and checks overlook that a node is closed."""
    patch.setattr(Rooms, "close", lambda self, node: None)
    patch.setattr(Rooms, "open", lambda self, node: None)
    real = attempts.holds

    def holds(state: State, job: Job, placement: Placement) -> bool:
        closed, state.closed = state.closed, {}
        try:
            return real(state, job, placement)
        finally:
            state.closed = closed

    patch.setattr(attempts, "holds", holds)


def launch_before_the_stop_is_confirmed(patch: Patch) -> None:
    """A stop counts as done once it is decided."""
    real = attempts.finish_if_stopped

    def finish(state: State, job: Job, attempt: Attempt, at_ns: int) -> None:
        if attempt.stopping is not None:
            for member in attempt.members.values():
                member.gone = True
        real(state, job, attempt, at_ns)

    patch.setattr(attempts, "finish_if_stopped", finish)


def acknowledge_before_the_log(patch: Patch) -> None:
    """Answers go out first; a crash may come between them and the commit."""

    def finish(self: ControlPlane, state: State, batch: Any, replies: Any) -> None:
        self._answer(state, replies)
        self._commit(state, batch)

    patch.setattr(ControlPlane, "_finish", finish)


def act_before_the_log(patch: Patch) -> None:
    """Commands go out while their decision is not durable."""
    real = ControlPlane._record

    def record(self: ControlPlane, state: State, batch: Any, todo: Any, event: Any) -> None:
        real(self, state, batch, todo, event)
        for command in todo:
            self._carry_out(command)

    patch.setattr(ControlPlane, "_record", record)


def start_the_next_generation_too_early(patch: Patch) -> None:
    """Ranks of a new generation do not wait until those of the old one are gone everywhere."""
    real = commands._wanted

    def wanted(attempt: Attempt, member: Any) -> tuple[str, int]:
        if attempt.phase is Phase.RECOVERING and not member.gone:
            return "run", attempt.generation
        return real(attempt, member)

    patch.setattr(commands, "_wanted", wanted)


def name_a_checkpoint_that_is_older(patch: Patch) -> None:
    """The newest checkpoint is the one that was heard of last."""
    real = applying._checkpoint

    def checkpoint(job: Job, attempt: Attempt, event: CheckpointCommitted, at_ns: int) -> None:
        saved, job.saved = job.saved, None
        real(job, attempt, event, at_ns)
        if job.saved is None:
            job.saved = saved

    patch.setattr(applying, "_checkpoint", checkpoint)


def free_devices_one_node_at_a_time(patch: Patch) -> None:
    """A node of a stopping gang is given back before the others have stopped."""
    real = applying._worker_stopped

    def stopped(state: State, job: Job, attempt: Attempt, event: Any, at_ns: int) -> None:
        left = tuple(share for share in attempt.placement.shares if share.node != event.node)
        gone = tuple(share for share in attempt.placement.shares if share.node == event.node)
        if left and gone:
            state.release(job, Placement(shares=gone))
            attempt.placement = Placement(shares=left)
        real(state, job, attempt, event, at_ns)

    patch.setattr(applying, "_worker_stopped", stopped)


def keep_a_job_twice(patch: Patch) -> None:
    """A submit that is repeated makes another job."""
    real = requests.submit

    def submit(state: State, spec: Any, key: str) -> Any:
        known = state.by_key.pop(key, None)
        try:
            return real(state, spec, key)
        finally:
            if known is not None:
                state.by_key[key] = known

    patch.setattr(requests, "submit", submit)


def prove_what_nobody_saw(patch: Patch) -> None:
    """The engine calls a worker on a node that is cut off gone."""

    def is_gone(self: Cluster, place: tuple[JobId, int, NodeId]) -> bool:
        worker = self.worker(place)
        return worker is None or not worker.alive or self.mail.is_cut(place[2])

    patch.setattr(Cluster, "_is_gone", is_gone)


def leave_time_out(patch: Patch) -> None:
    """A job that waits again does not count its time anew."""
    real = attempts.requeue

    def requeue(state: State, job: Job, not_before_ns: int, at_ns: int) -> None:
        before = job.account.stopping_ns
        real(state, job, not_before_ns, at_ns)
        job.account.stopping_ns = before

    patch.setattr(attempts, "requeue", requeue)


MUTANTS: Sequence[tuple[Callable[[Patch], None], int, str]] = (
    (skip_the_fence, 3, "I2"),
    (accept_a_stale_epoch, 3, "I2"),
    (double_count_a_device, 1, "I3"),
    (launch_half_a_gang, 3, "I4"),
    (place_half_a_gang, 1, "I4"),
    (lose_a_requeue, 1, "I6"),
    (forget_a_cancel, 3, "I1"),
    (never_free_a_dead_nodes_devices, 3, "I3"),
    (start_on_a_draining_node, 3, "I3"),
    (launch_before_the_stop_is_confirmed, 1, "I2 I3"),
    (acknowledge_before_the_log, 5, "I1"),
    (act_before_the_log, 12, "I2"),
    (start_the_next_generation_too_early, 3, "I2"),
    (name_a_checkpoint_that_is_older, 3, "I7"),
    (free_devices_one_node_at_a_time, 3, "I3 I4"),
    (keep_a_job_twice, 3, "I1"),
    (prove_what_nobody_saw, 3, "I2 I3"),
    (leave_time_out, 1, "I9"),
)


@pytest.mark.parametrize(
    ("mutant", "seeds", "promises"), MUTANTS, ids=[mutant.__name__ for mutant, _, _ in MUTANTS]
)
def test_chaos_finds(
    mutant: Callable[[Patch], None], seeds: int, promises: str, monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    first = next((life for life in map(live, range(seeds)) if life.broken), None)

    assert first is not None, f"{seeds} seeds passed"
    assert first.broken[0][:2] in promises.split(), first.broken
