"""The ranks of one generation over all their nodes: they work together, or not at all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from irongrid.domain.ids import JobId, NodeId
from irongrid.twin.chaos.site import Files, Virtual

if TYPE_CHECKING:
    from irongrid.twin.chaos.worker import Worker

NS_PER_STEP = 1_000_000
_BETWEEN_SAVES_S = 40.0
_BETWEEN_WORDS_S = 10.0


class Gang:
    """Ranks that know nothing of control: a step is a millisecond of common work.

    Attributes:
        total: steps of the whole job.
        fails_at: the step at which a rank fails by itself; None is never.
    """

    def __init__(
        self,
        time: Virtual,
        files: Files,
        job: JobId,
        nodes: tuple[NodeId, ...],
        total: int,
        fails_at: int | None,
    ) -> None:
        self._time = time
        self._files = files
        self._job = job
        self._nodes = nodes
        self._total = total
        self._fails_at = fails_at
        self._workers: dict[NodeId, Worker] = {}
        self._ready: set[NodeId] = set()
        self._from_step = 0
        self._since_ns: int | None = None
        self.over = False

    def enter(self, worker: Worker) -> None:
        """The ranks of a node exist."""
        self._workers[worker.node] = worker
        if self.over:
            # It comes to ranks that have already lost one another.
            self._time.after(self._time.draw.uniform(0.2, 6), lambda: worker.lost_peer(self))

    def ready(self, worker: Worker) -> int:
        """The ranks of a node stand ready; the step that they go on from."""
        step = self._files.open(self._job, worker.epoch)
        self._ready.add(worker.node)
        if len(self._ready) == len(self._nodes) and not self.over:
            self._from_step, self._since_ns = step, self._time.now_ns
            self._go_on()
        return step

    def step(self) -> int:
        """How far they have come."""
        if self._since_ns is None:
            return self._from_step
        done = (self._time.now_ns - self._since_ns) // NS_PER_STEP
        return min(self._from_step + done, self._total)

    def leave(self, worker: Worker) -> None:
        """The ranks of a node are gone: their peers notice, each after a while."""
        self._from_step, self._since_ns = self.step(), None
        self._workers.pop(worker.node, None)
        if self.over:
            return
        self.over = True
        for peer in list(self._workers.values()):
            self._time.after(self._time.draw.uniform(0.2, 6), partial(peer.lost_peer, self))

    def _go_on(self) -> None:
        """The next thing that happens to ranks which work."""
        left_s = (self._total - self.step()) / 1_000
        entries = [(left_s, self._done), (_BETWEEN_WORDS_S, self._word)]
        if self._fails_at is not None:
            entries.append((max(self._fails_at - self.step(), 0) / 1_000, self._fail))
        after_s, entry = min(entries, key=lambda one: one[0])
        since_ns = self._since_ns

        def due() -> None:
            if self._since_ns == since_ns and not self.over:
                entry()

        self._time.after(after_s, due)

    def _first(self) -> Worker:
        return self._workers[self._nodes[0]]

    def _word(self) -> None:
        """Now and then progress becomes a fact, and sometimes a checkpoint."""
        if self._time.draw.random() < _BETWEEN_WORDS_S / _BETWEEN_SAVES_S:
            step = self.step()
            self._time.after(self._time.draw.uniform(0.1, 4), lambda: self.save(step))
        self._first().progress(self.step())
        self._go_on()

    def save(self, step: int) -> None:
        """A checkpoint of a step becomes whole, if its writer still lives."""
        first = self._workers.get(self._nodes[0])
        if first is not None and self._files.save(self._job, first.epoch, step):
            first.saved(step)

    def _fail(self) -> None:
        self._first().rank_failed()

    def _done(self) -> None:
        self.over = True
        for worker in list(self._workers.values()):
            worker.ended_well(self)
