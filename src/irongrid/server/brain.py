"""The state thread: the only owner of state and store.

It takes everything that waits in its queue, works out the facts, and appends them all in one
transaction (group commit). Only then does it answer, so nobody hears of what is not durable; reads
are answered after the commit too, from committed state alone. Engines and sockets never block it.
"""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

from irongrid.control.apply import apply
from irongrid.control.commands import commands, outstanding
from irongrid.control.decide import decide, next_wakeup_ns
from irongrid.control.state import State
from irongrid.domain.command import Command
from irongrid.domain.event import Decided, Event, Recorded
from irongrid.domain.ids import JobId
from irongrid.errors import Fenced, IrongridError, Refused, StoreError
from irongrid.ports import Clock, JobEnvironment
from irongrid.server.clock import ResumedClock
from irongrid.server.garbage import Garbage
from irongrid.server.journal import Journal
from irongrid.server.metrics import Metrics
from irongrid.server.replay import load_state
from irongrid.server.work import Change, Item, Replies, Work, jobs_of
from irongrid.store import EventStore
from irongrid.units import NS_PER_S

T = TypeVar("T")

BATCH_ITEMS = 256
QUEUE_ITEMS = 10_000
FORGET_ITEMS = 1_000
MERGE_WINDOW_NS = 10_000_000
# After a failed commit, writes are refused for a while: the disk needs time, and readers need us.
REFUSE_NS = NS_PER_S
STOP = None


class Unavailable(Refused):
    """The server cannot do it now; asking again later is right."""


class _Batch:
    """What one turn has worked out and not yet committed."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self.environments: list[JobEnvironment] = []
        self.commands: list[Command] = []
        self.changes: list[tuple[Item, Change[Any]]] = []


class Brain:
    """Owns `State` and `Store` on a thread of its own.

    Attributes:
        on_commit: called on the state thread with records that are durable.
        on_commands: called on the state thread with effects to carry out; must not block.
        on_fatal: called once, with a sentence, when the thread cannot go on.
    """

    def __init__(
        self, store: EventStore, clock: Clock, journal: Journal, metrics: Metrics, budget: int
    ) -> None:
        self.on_commit: Callable[[tuple[Recorded, ...]], None] = lambda records: None
        self.on_commands: Callable[[tuple[Command, ...]], None] = lambda commands: None
        self.on_fatal: Callable[[str], None] = lambda sentence: None
        self.store = store
        self._clock = clock
        self._journal = journal
        self._metrics = metrics
        self._budget = budget
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="brain", daemon=True)
        self._state: State | None = None
        self._replies = Replies()
        self._garbage = Garbage()
        self._decided_ns = 0
        self._decide_at_ns: int | None = None
        self._refuse_until_ns = 0
        self._problem = ""
        self._final: list[JobId] = []
        self._ended = False
        self._stopping = False

    # ---- any thread ---------------------------------------------------------------------------

    def start(self, first: Event) -> None:
        """Load the state, log `first`, and send again what was not answered before a crash.

        Raises:
            StoreError: the store cannot be read or written.
            Fenced: another server has taken the store over.
        """
        state = self._state = self._load()
        self._clock = ResumedClock(self._clock, state.at_ns)
        self._final = [
            job.id for job in state.jobs.values() if job.state.final and job.spec.env_names
        ]
        batch = _Batch()
        self._record(state, batch, first)
        self._commit(batch)
        self._publish(state, batch)
        self.on_commands(outstanding(state))
        self._decide_at_ns = self._now_ns()
        self._thread.start()

    def stop(self, last: Event | None) -> None:
        """Answer what is queued, log `last`, and end the thread."""
        if last is not None and self._thread.is_alive():
            try:
                self.call(lambda state, now_ns: Change((last,), lambda s, n: None), timeout_s=10)
            except (IrongridError, TimeoutError) as problem:
                self._journal.warning("last_event_lost", problem=str(problem))
        self._queue.put(STOP)
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def drain(self) -> None:
        """Start nothing more: the server is about to stop its jobs."""
        self._budget = 0

    def depth(self) -> int:
        """Requests that wait."""
        return self._queue.qsize()

    async def ask(self, request: Work[T]) -> T:
        """The answer to a request, from the event loop's thread, once its facts are durable."""
        return await self._queued(request, writes=True)

    async def read(self, answer: Callable[[State, int], T]) -> T:
        """Something computed from committed state, from the event loop's thread."""
        return await self._queued(lambda state, now_ns: Change((), answer), writes=False)

    async def _queued(self, request: Work[T], *, writes: bool) -> T:
        if self._queue.qsize() > QUEUE_ITEMS:
            raise Unavailable("busy", "too many requests wait", "try again in a second")
        reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(Item(request, reply, writes))
        return await reply

    def call(self, request: Work[T], timeout_s: float = 60) -> T:
        """Like `ask`, from a thread that may block."""
        reply: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._put(Item(request, reply, writes=True))
        return reply.result(timeout_s)

    def look(self, answer: Callable[[State, int], T], timeout_s: float = 60) -> T:
        """Like `read`, from a thread that may block."""
        reply: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._put(Item(lambda state, now_ns: Change((), answer), reply, writes=False))
        return reply.result(timeout_s)

    def _put(self, item: Item) -> None:
        self._queue.put(item)
        if self._ended:
            self._turn_away()

    # ---- the state thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn(self._take())
        except Fenced as problem:
            self._end(f"another server has taken the store over: {problem.problem}")
        except Exception as problem:
            self._journal.exception("brain_died")
            self._end(f"the state thread failed: {problem!r}")
        finally:
            self._ended = True
            self._turn_away()

    def _take(self) -> list[Item]:
        """Everything that waits, up to a bound; else wait until something is due."""
        items: list[Item] = []
        try:
            item = self._queue.get(timeout=self._idle_s())
            while item is not STOP:
                items.append(item)
                if len(items) >= BATCH_ITEMS:
                    return items
                item = self._queue.get_nowait()
            self._stopping = True
        except queue.Empty:
            pass
        return items

    def _idle_s(self) -> float | None:
        now_ns = self._now_ns()
        due_ns = self._decide_at_ns
        if self._state is None:
            due_ns = self._refuse_until_ns
        else:
            wakeup_ns = next_wakeup_ns(self._state, self._decided_ns)
            due_ns = min((due for due in (due_ns, wakeup_ns) if due is not None), default=None)
            if due_ns is not None:
                due_ns = max(due_ns, self._refuse_until_ns, self._decided_ns + MERGE_WINDOW_NS)
        return None if due_ns is None else max(0.0, (due_ns - now_ns) / NS_PER_S)

    def _turn(self, items: list[Item]) -> None:
        state = self._state or self._reload()
        if state is None:
            self._refuse(items, _unavailable(self._problem))
            return
        batch = _Batch()
        try:
            self._work(state, items, batch)
            self._decide_if_due(state, batch)
            self._commit(batch)
        except Fenced:
            self._replies.clear()
            self._refuse(items, _stopping())
            raise
        except Exception as problem:
            self._replies.clear()
            self._undo(items, problem)
        else:
            self._publish(state, batch)
            self._answer(state, batch)
            self._forget_environments()
            self._garbage.grown(len(batch.records))

    def _work(self, state: State, items: list[Item], batch: _Batch) -> None:
        now_ns = self._now_ns()
        refusing = now_ns < self._refuse_until_ns
        for item in items:
            try:
                change = item.request(state, now_ns)
                if change.events and refusing:
                    raise _unavailable(self._problem)
            except IrongridError as problem:
                self._replies.add(item.reply, None, problem)
                continue
            except Exception as problem:
                self._journal.exception("request_failed")
                self._replies.add(item.reply, None, problem)
                continue
            batch.changes.append((item, change))
            batch.environments.extend(change.environments)
            for event in change.events:
                self._record(state, batch, event)

    def _record(self, state: State, batch: _Batch, event: Event) -> None:
        record = Recorded(state.seq + 1, max(self._clock.now_ns(), state.at_ns), event)
        apply(state, record)
        batch.records.append(record)
        batch.commands.extend(commands(record, state))

    def _decide_if_due(self, state: State, batch: _Batch) -> None:
        """Run the policy over what has changed, at most once per merge window."""
        now_ns = self._now_ns()
        if now_ns < self._refuse_until_ns:
            return
        wakeup_ns = next_wakeup_ns(state, self._decided_ns)
        woken = wakeup_ns is not None and wakeup_ns <= now_ns
        if not (batch.records or woken or self._decide_at_ns is not None):
            return
        due_ns = self._decided_ns + MERGE_WINDOW_NS
        if now_ns < due_ns:
            self._decide_at_ns = due_ns
            return
        started = perf_counter()
        decision = decide(state, now_ns, self._budget)
        self._metrics.decide_s.observe(perf_counter() - started)
        self._decided_ns, self._decide_at_ns = now_ns, None
        if decision is not None:
            self._record(state, batch, Decided(decision=decision))
            self._decide_at_ns = now_ns + MERGE_WINDOW_NS

    def _commit(self, batch: _Batch) -> None:
        if not batch.records:
            return
        started = perf_counter()
        self.store.append(batch.records, batch.environments)
        self._metrics.committed(batch.records, perf_counter() - started)

    def _publish(self, state: State, batch: _Batch) -> None:
        if not batch.records:
            return
        self.on_commit(tuple(batch.records))
        if batch.commands:
            self.on_commands(tuple(batch.commands))
        for job_id in {job for record in batch.records for job in jobs_of(record.event)}:
            job = state.jobs.get(job_id)
            if job is not None and job.state.final and job.spec.env_names:
                self._final.append(job_id)

    def _answer(self, state: State, batch: _Batch) -> None:
        now_ns = self._now_ns()
        for item, change in batch.changes:
            try:
                self._replies.add(item.reply, change.answer(state, now_ns), None)
            except IrongridError as problem:
                self._replies.add(item.reply, None, problem)
            except Exception as problem:
                self._journal.exception("answer_failed")
                self._replies.add(item.reply, None, problem)
        self._replies.send()

    def _now_ns(self) -> int:
        now_ns = self._clock.now_ns()
        return now_ns if self._state is None else max(now_ns, self._state.at_ns)

    # ---- when something goes wrong ------------------------------------------------------------

    def _undo(self, items: list[Item], problem: Exception) -> None:
        """Nothing of this turn was committed, so nobody is told that it was.

        The state in memory is ahead of the store, or half changed by a fault of ours: it is built
        again from the store, which alone says what is true.
        """
        self._metrics.failed_commits.inc()
        self._journal.error("turn_failed", problem=str(problem), exc_info=_unexpected(problem))
        if self.store.lost:
            self._refuse(items, _stopping())
            self._end(self.store.lost)
            return
        self._state, self._problem = None, str(problem) or type(problem).__name__
        self._reload()
        self._refuse_until_ns = self._clock.now_ns() + REFUSE_NS
        self._decide_at_ns = self._refuse_until_ns
        self._refuse([item for item in items if item.writes], _unavailable(self._problem))
        self._turn([item for item in items if not item.writes])

    def _reload(self) -> State | None:
        if self._clock.now_ns() >= self._refuse_until_ns:
            try:
                self._state = self._load()
            except StoreError as problem:
                self._journal.error("reload_failed", problem=str(problem))
                self._problem = str(problem)
                self._refuse_until_ns = self._clock.now_ns() + REFUSE_NS
        return self._state

    def _load(self) -> State:
        with self._garbage.loading():
            return load_state(self.store)

    def _refuse(self, items: list[Item], problem: Unavailable) -> None:
        for item in items:
            self._replies.add(item.reply, None, problem)
        self._replies.send()

    def _forget_environments(self) -> None:
        if not self._final or not self._queue.empty():
            return
        some = self._final[:FORGET_ITEMS]
        try:
            self.store.drop_environments(some)
            del self._final[: len(some)]
        except StoreError as problem:
            self._journal.warning("environments_kept", problem=str(problem))

    def _end(self, sentence: str) -> None:
        self._stopping = True
        self.on_fatal(sentence)

    def _turn_away(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is not STOP:
                self._replies.add(item.reply, None, _stopping())
        self._replies.send()


def _unexpected(problem: Exception) -> Exception | None:
    return None if isinstance(problem, StoreError) else problem


def _unavailable(problem: str) -> Unavailable:
    return Unavailable(
        "store_unavailable",
        f"nothing was accepted, as it could not be written: {problem}",
        "free disk space or repair the store, then repeat the request with the same key",
    )


def _stopping() -> Unavailable:
    return Unavailable("stopping", "the server is stopping", "try again when it is back")
