"""The state thread: nothing is answered before it is durable, and nothing stops it but a fence."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from irongrid.control import requests
from irongrid.control.snapshot import state_hash
from irongrid.control.state import State
from irongrid.domain.device import Node
from irongrid.domain.event import (
    CancelRequested,
    Decided,
    JobSubmitted,
    Recorded,
    ServerStarted,
    ServerStopped,
)
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, RunTask
from irongrid.errors import NotFound, StoreError
from irongrid.ports import JobEnvironment
from irongrid.server.brain import Brain, Unavailable
from irongrid.server.clock import SteadyClock
from irongrid.server.journal import open_journal
from irongrid.server.metrics import Metrics
from irongrid.server.replay import load_state
from irongrid.server.work import Change, Work
from irongrid.store import EventStore, open_reader, open_store

DEADLINE_S = 90.0

NODE = Node(id=NodeId("n0"), device_type="cpu", devices=2, cpus=2.0, memory_bytes=2**30)


def spec(name: str = "job", env_names: tuple[str, ...] = ()) -> JobSpec:
    return JobSpec(name=name, task=RunTask(argv=("true",)), workdir="/", env_names=env_names)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def submit(key: str, values: dict[str, str] | None = None) -> Work[JobId]:
    values = values or {}

    def change(state: State, now_ns: int) -> Change[JobId]:
        outcome = requests.submit(state, spec(env_names=tuple(values)), key)
        if not isinstance(outcome, JobSubmitted):
            return Change((), lambda state, now_ns: outcome)
        job = outcome.job
        secret = (JobEnvironment(job=job, values=values),) if values else ()
        return Change((outcome,), lambda state, now_ns: state.jobs[job].id, secret)

    return change


def cancel(job: JobId) -> Work[None]:
    return lambda state, now_ns: Change((CancelRequested(job=job),), lambda state, now_ns: None)


class Failing:
    """Lets the real store's `append` fail when told to, as a full disk does."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.problem: Exception | None = None
        self.batches: list[int] = []
        append = store.append

        def guarded(records: Sequence[Recorded], environments: Sequence[JobEnvironment]) -> None:
            if self.problem is not None:
                raise self.problem
            append(records, environments)
            self.batches.append(len(records))

        monkeypatch.setattr(store, "append", guarded)


class Stand:
    """A brain on a real store."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "irongrid.db"
        self.store = open_store(self.path, holder="test")
        self.disk = Failing(self.store, monkeypatch)
        self.brain = Brain(self.store, SteadyClock(), open_journal(None), Metrics(), budget=10)
        self.fatal: list[str] = []
        self.brain.on_fatal = self.fatal.append
        self.brain.start(ServerStarted(server_epoch=1, irongrid_version="0", nodes=(NODE,)))

    def look(self, answer: Callable[[State], Any]) -> Any:
        return self.brain.look(lambda state, now_ns: answer(state))

    def hold(self) -> threading.Event:
        """Keep the thread busy until the event is set, so that what follows is one batch."""
        go, there = threading.Event(), threading.Event()

        def wait(state: State, now_ns: int) -> None:
            there.set()
            assert go.wait(DEADLINE_S)

        threading.Thread(target=lambda: self.brain.look(wait), daemon=True).start()
        assert there.wait(DEADLINE_S)
        return go

    def together(
        self, wanted: Sequence[Work[Any]], reads: Sequence[Callable[[State, int], Any]] = ()
    ) -> list[Any]:
        """Ask everything at once; answers or errors."""

        async def ask() -> list[Any]:
            go = self.hold()
            answers = [asyncio.ensure_future(self.brain.ask(request)) for request in wanted]
            answers += [asyncio.ensure_future(self.brain.read(answer)) for answer in reads]
            await asyncio.sleep(0)
            go.set()
            return await asyncio.gather(*answers, return_exceptions=True)

        return asyncio.run(ask())

    def recorded(self) -> list[Recorded]:
        reader = open_reader(self.path)
        try:
            return list(reader.read())
        finally:
            reader.close()


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    found = Stand(tmp_path, monkeypatch)
    yield found
    found.brain.stop(None)
    found.store.close()


def test_what_is_answered_is_in_the_store(stand: Stand) -> None:
    job = stand.brain.call(submit("k"))

    assert [r.event.job for r in stand.recorded() if isinstance(r.event, JobSubmitted)] == [job]


def test_requests_that_wait_together_share_one_commit(stand: Stand) -> None:
    before = len(stand.disk.batches)
    jobs = stand.together([submit(f"k{number}") for number in range(50)])

    assert len(set(jobs)) == 50
    assert max(stand.disk.batches[before:]) >= 50
    assert len(stand.disk.batches) - before <= 3


def test_a_key_that_comes_twice_in_one_batch_makes_one_job(stand: Stand) -> None:
    first, second = stand.together([submit("k"), submit("k")])

    assert first == second
    assert sum(isinstance(r.event, JobSubmitted) for r in stand.recorded()) == 1


def test_a_decision_follows_and_names_what_it_saw(stand: Stand) -> None:
    stand.brain.call(submit("k"))
    wait_until(lambda: isinstance(stand.recorded()[-1].event, Decided))
    decided = stand.recorded()[-1]

    assert isinstance(decided.event, Decided)
    assert decided.event.decision.saw_seq == decided.seq - 1


def test_time_never_steps_back_in_the_log(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.brain.call(submit("a"))
    monkeypatch.setattr(SteadyClock, "now_ns", lambda self: 5)
    stand.brain.call(submit("b"))
    stamps = [r.at_ns for r in stand.recorded()]

    assert stamps == sorted(stamps)
    assert stamps[-1] > 5


def test_a_failed_commit_acknowledges_nobody_and_leaves_no_trace(stand: Stand) -> None:
    stand.brain.call(submit("before"))
    stand.disk.problem = StoreError("the disk is full")
    answers = stand.together([submit("a"), submit("b"), submit("a")])

    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert "the disk is full" in answers[0].problem
    assert "with the same key" in answers[0].fix
    assert stand.look(lambda state: sorted(state.by_key)) == ["before"]


def test_reads_go_on_while_commits_fail(stand: Stand) -> None:
    stand.disk.problem = StoreError("the disk is full")
    answers = stand.together([submit("a")], [lambda state, now_ns: len(state.jobs)])

    assert isinstance(answers[0], Unavailable)
    assert answers[1] == 0


def test_after_a_failed_commit_the_server_goes_on_by_itself(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("irongrid.server.brain.REFUSE_NS", 1)
    stand.disk.problem = StoreError("the disk is full")
    with pytest.raises(Unavailable):
        stand.brain.call(submit("a"))
    stand.disk.problem = None
    job = stand.brain.call(submit("a"))
    stand.brain.stop(ServerStopped(server_epoch=1))
    state = load_state(stand.store)
    assert list(state.jobs) == [job]
    assert [r.seq for r in stand.recorded()] == list(range(1, state.seq + 1))


def test_a_store_that_is_lost_ends_the_server_with_its_words(stand: Stand) -> None:
    stand.store._lost = "the store is lost until a restart: connection reset"
    with pytest.raises(Unavailable):
        stand.brain.call(submit("a"))

    wait_until(lambda: stand.fatal == [stand.store.lost])
    with pytest.raises(Unavailable):
        stand.brain.call(submit("b"))


def test_the_state_in_memory_is_the_fold_of_the_log(stand: Stand) -> None:
    for number in range(20):
        stand.brain.call(submit(f"k{number}"))
    stand.brain.call(submit("last"))

    def fold() -> tuple[int, str]:
        reader = open_reader(stand.path)
        state = load_state(reader)
        reader.close()
        return state.seq, state_hash(state)

    # The round that follows the last submit may still be on its way.
    wait_until(lambda: fold() == stand.look(lambda state: (state.seq, state_hash(state))))


def test_a_request_that_is_refused_harms_no_other(stand: Stand) -> None:
    def bad(state: State, now_ns: int) -> Change[None]:
        raise NotFound("unknown_job", "no")

    def broken(state: State, now_ns: int) -> Change[None]:
        raise ZeroDivisionError

    answers = stand.together([bad, submit("a"), broken])

    assert isinstance(answers[0], NotFound)
    assert answers[1] == "j000001"
    assert isinstance(answers[2], ZeroDivisionError)
    assert not stand.fatal


def test_a_fault_of_ours_in_the_middle_of_a_change_is_undone(stand: Stand) -> None:
    stand.brain.call(submit("a"))
    with pytest.raises(Unavailable):
        stand.brain.call(cancel(JobId("j00none")))

    assert stand.look(lambda state: sorted(state.by_key)) == ["a"]
    assert not stand.fatal


def test_a_server_that_was_overtaken_ends_and_says_so(stand: Stand) -> None:
    stand.brain.call(submit("a"))
    other = open_store(stand.path, holder="another", takeover=True)
    with pytest.raises(Unavailable):
        stand.brain.call(submit("b"))
    with pytest.raises(Unavailable):
        stand.brain.call(submit("c"))
    keys = [r.event.key for r in other.read() if isinstance(r.event, JobSubmitted)]
    other.close()

    assert keys == ["a"]
    assert len(stand.fatal) == 1
    assert "taken the store over" in stand.fatal[0]


def test_secret_values_are_kept_beside_the_log_and_dropped_with_the_job(stand: Stand) -> None:
    for number in range(2):
        stand.brain.call(submit(f"busy{number}"))
    job = stand.brain.call(submit("a", {"TOKEN": "s3cret"}))
    kept = stand.look(lambda state: stand.store.environment(job))
    stand.brain.call(cancel(job))

    assert kept == {"TOKEN": "s3cret"}
    wait_until(lambda: stand.look(lambda state: stand.store.environment(job)) == {})
    assert "s3cret" not in str(stand.recorded())
