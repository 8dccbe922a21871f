"""What everybody in the virtual world shares: time, chance, the mail, and the jobs' files."""

from collections.abc import Callable
from random import Random

from irongrid.domain.ids import JobId, NodeId
from irongrid.twin.agenda import Agenda
from irongrid.units import NS_PER_S

Entry = Callable[[], None]


class Virtual:
    """Virtual time, and one source of chance: the same seed gives the same world."""

    def __init__(self, seed: int) -> None:
        self.now_ns = NS_PER_S
        self.draw = Random(seed)  # noqa: S311
        self._agenda: Agenda[Entry] = Agenda()

    def after(self, delay_s: float, entry: Entry) -> None:
        """Let something happen later."""
        self.at(self.now_ns + round(delay_s * NS_PER_S), entry)

    def at(self, at_ns: int, entry: Entry) -> None:
        """Let something happen at a moment, or now if that is past."""
        self._agenda.put(max(at_ns, self.now_ns), 0, entry)

    def advance(self) -> bool:
        """What happens next; False if nothing is left to happen."""
        next_ns = self._agenda.next_ns()
        if next_ns is None:
            return False
        self.now_ns = next_ns
        self._agenda.pop()()
        return True


class Mail:
    """Messages: most come soon, some late, twice or never, and none to or from a cut-off node.

    Attributes:
        healed: from now on nothing is lost, doubled or late.
        counts: what became of messages.
    """

    LOST, DOUBLED, LATE = 0.04, 0.05, 0.08

    def __init__(self, time: Virtual) -> None:
        self._time = time
        self.healed = False
        self.cut: dict[NodeId, int] = {}
        self.slow: dict[NodeId, int] = {}
        self.counts = {"lost": 0, "duplicated": 0, "late": 0}

    def send(self, deliver: Entry, node: NodeId | None = None) -> None:
        """Post a message that ends in a call.

        Args:
            node: the one at either end, if any.
        """
        time, luck = self._time, self._time.draw.random()

        def arrive() -> None:
            if not self.is_cut(node):
                deliver()

        if self.is_cut(node):
            return
        if self.healed:
            time.after(0.01, arrive)
            return
        if luck < self.LOST:
            self.counts["lost"] += 1
            return
        time.after(self._delay_s(node), arrive)
        if luck < self.LOST + self.DOUBLED:
            self.counts["duplicated"] += 1
            time.after(self._delay_s(node) + time.draw.uniform(0, 60), arrive)

    def is_cut(self, node: NodeId | None) -> bool:
        """Whether nothing passes to or from a node."""
        return node is not None and self.cut.get(node, 0) > 0

    def is_slow(self, node: NodeId | None) -> bool:
        """Whether a node takes its time over everything."""
        return node is not None and self.slow.get(node, 0) > 0

    def _delay_s(self, node: NodeId | None) -> float:
        draw = self._time.draw
        if draw.random() < self.LATE:
            self.counts["late"] += 1
            return draw.expovariate(1 / 20)
        return draw.uniform(0.001, 3.0 if self.is_slow(node) else 0.1)


class Files:
    """Checkpoint folders, which outlive everything; they refuse writers of an older epoch."""

    def __init__(self) -> None:
        self._saves: dict[JobId, list[tuple[int, int]]] = {}
        self._epoch: dict[JobId, int] = {}
        self.refused = 0

    def open(self, job: JobId, epoch: int) -> int:
        """Ranks of an epoch begin to use a job's folder; the step to go on from."""
        self._epoch[job] = max(epoch, self._epoch.get(job, 0))
        return self.latest(job)[1]

    def save(self, job: JobId, epoch: int, step: int) -> bool:
        """A checkpoint is whole; False if a newer epoch has the folder."""
        if epoch < self._epoch.get(job, 0):
            self.refused += 1
            return False
        self._saves.setdefault(job, []).append((epoch, step))
        return True

    def latest(self, job: JobId) -> tuple[int, int]:
        """The newest whole checkpoint: epoch and step."""
        return max(self._saves.get(job, ()), default=(0, 0))

    def holds(self, job: JobId, epoch: int, step: int) -> bool:
        """Whether there is such a checkpoint, whole."""
        return (epoch, step) in self._saves.get(job, ())
