"""What a worker does next: directives, ranks and time in; effects out. No I/O, no clock.

A worker follows the newest directive. A generation of ranks is started at most once, ranks of an
older one are gone before a newer one starts, and `stop` is for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from irongrid.domain.event import (
    CheckpointCommitted,
    CheckpointFailed,
    GangFailed,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    WorkerFact,
    WorkerJoined,
)
from irongrid.domain.failure import Failure
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Directive
from irongrid.session.lines import (
    CheckpointFailedLine,
    CheckpointLine,
    Line,
    ProgressLine,
    ReadyLine,
)

PROGRESS_FACT_S = 30.0
KILL_AFTER_TERM_S = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """Start the ranks of a generation."""

    generation: int
    rendezvous: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill all ranks and whatever they have started; `Life.gone` when nothing is left."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send SIGTERM to ranks: to all, or to those only that cannot be asked by session."""

    only_silent: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the ranks' sessions."""

    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """Put a fact into the outbox."""

    fact: WorkerFact


@dataclass(frozen=True, slots=True)
class Exit:
    """End the worker, once its facts were heard if they still matter."""

    facts_matter: bool


Effect = Start | Kill | Terminate | Tell | Report | Exit


class _Ranks(Enum):
    NONE = auto()
    UP = auto()
    GOING = auto()


class Life:
    """The state of one worker. Each method takes what has happened and returns what to do."""

    def __init__(
        self, job: JobId, epoch: int, node: NodeId, ranks: Sequence[int], *, ready_at_start: bool
    ) -> None:
        self._job, self._epoch, self._node = job, epoch, node
        self._local = frozenset(ranks)
        self._ready_at_start = ready_at_start
        self._n = 0
        self._directive: Directive | None = None
        self._checkpoints_asked = 0
        self._leaving: Exit | None = None
        self._confirmed = 0
        self._ranks = _Ranks.NONE
        self._started = False
        self._finishing = False
        self._term_at_s: float | None = None
        self._kill_at_s: float | None = None
        self._well: set[int] = set()
        self._ready: set[int] = set()
        self._progress: ProgressLine | None = None
        self._progress_at_s = float("-inf")
        self._reached_step = 0
        self.generation = 0
        self.step = 0

    # ---- what happens -------------------------------------------------------------------------

    def joined(self, rendezvous: str, limits: str) -> list[Effect]:
        """The worker can host ranks."""
        fact = WorkerJoined(
            job=self._job,
            epoch=self._epoch,
            node=self._node,
            n=self._next_n(),
            rendezvous=rendezvous,
            limits=limits,
        )
        return [Report(fact)]

    def directive(self, directive: Directive, now_s: float) -> list[Effect]:
        """The server says what it wants."""
        before = self._directive
        if before is not None and before.action == "stop" and directive.action != "stop":
            return []
        self._directive = directive
        return self._follow(now_s)

    def started(self) -> list[Effect]:
        """All ranks of the generation exist."""
        if self._ranks is not _Ranks.UP or self._started:
            return []
        self._started = True
        effects: list[Effect] = [Report(RanksStarted(**self._gang()))]
        if self._ready_at_start:
            effects.append(Report(RanksReady(**self._gang(), resumed_step=0)))
        return effects

    def line(self, rank: int, line: Line, now_s: float) -> list[Effect]:
        """A rank of the current generation says something."""
        match line:
            case ReadyLine():
                return self._rank_ready(rank, line)
            case ProgressLine():
                self.step = max(self.step, line.step)
                if rank != 0:
                    return []
                self._progress = line
                due = now_s - self._progress_at_s >= PROGRESS_FACT_S
                return self._report_progress(now_s) if due else []
            case CheckpointLine():
                fact = CheckpointCommitted(
                    **self._gang(),
                    step=line.step,
                    path=line.path,
                    size_bytes=line.size_bytes,
                    written_bytes=line.written_bytes,
                    age_ns=line.age_ns,
                    stall_ns=line.stall_ns,
                )
                return [Report(fact)]
            case CheckpointFailedLine():
                return [
                    Report(
                        CheckpointFailed(
                            **self._gang(), step=line.step, code=line.code, message=line.message
                        )
                    )
                ]
        return []

    def ended_well(self, rank: int, now_s: float) -> list[Effect]:
        """A rank has ended with exit code 0."""
        if self._ranks is not _Ranks.UP:
            return []
        self._well.add(rank)
        if self._well < self._local:
            return []
        self._finishing = not self._ending
        return [*self._report_progress(now_s), self._kill()]

    def failed(self, failure: Failure, now_s: float) -> list[Effect]:
        """A rank has failed, or could not be started; the first failure ends the generation."""
        if self._ranks is not _Ranks.UP:
            return []
        if self._ending:
            # It was asked to end: how it does is of no interest, only that all do.
            return self.ended_well(failure.rank, now_s) if failure.rank is not None else []
        return [*self._report_progress(now_s), self._gang_failed(failure), self._kill()]

    def cannot_go_on(self, failure: Failure, now_s: float) -> list[Effect]:
        """The worker has lost what every generation needs."""
        if self._leaving is not None:
            return []
        self._leaving = Exit(facts_matter=True)
        effects = self._report_progress(now_s)
        if self._ranks is not _Ranks.GOING:
            generation = self._directive.generation if self._directive else 1
            self.generation = max(self.generation, generation)
            effects.append(self._gang_failed(failure))
        return [*effects, self._kill()]

    def cut_off(self) -> list[Effect]:
        """A newer epoch has taken over, or the server is lost for good: end without a word."""
        if self._leaving is not None and not self._leaving.facts_matter:
            return []
        self._leaving = Exit(facts_matter=False)
        return [self._kill()]

    def terminated(self, now_s: float) -> list[Effect]:
        """The worker itself is asked to end; the engine will prove that it has."""
        if self._leaving is not None and not self._leaving.facts_matter:
            return []
        self._leaving = Exit(facts_matter=False)
        if self._ranks is not _Ranks.UP:
            return [self._kill()]
        self._kill_at_s = now_s + KILL_AFTER_TERM_S
        return [Terminate(only_silent=False)]

    def gone(self, now_s: float) -> list[Effect]:
        """After `Kill`: no process of the ranks is left."""
        if self._ranks is not _Ranks.GOING:
            return []
        self._ranks = _Ranks.NONE
        self._term_at_s = self._kill_at_s = None
        effects: list[Effect] = []
        if self._leaving is not None and not self._leaving.facts_matter:
            return [self._leaving]
        if self._finishing:
            effects.append(Report(RanksFinished(**self._gang())))
        elif not self._stopping:
            effects.append(self._confirm(self.generation))
        if self._leaving is not None:
            return [*effects, self._leaving]
        return effects + self._follow(now_s)

    def tick(self, now_s: float) -> list[Effect]:
        """Time has passed."""
        if self._ranks is not _Ranks.UP:
            return []
        if self._kill_at_s is not None and now_s >= self._kill_at_s:
            return [self._kill()]
        if self._term_at_s is not None and now_s >= self._term_at_s:
            self._term_at_s = None
            self._kill_at_s = now_s + KILL_AFTER_TERM_S
            return [Terminate(only_silent=False)]
        return []

    def next_due_s(self) -> float | None:
        """When `tick` has something to do."""
        due = [at_s for at_s in (self._term_at_s, self._kill_at_s) if at_s is not None]
        return min(due, default=None)

    # ---- what follows -------------------------------------------------------------------------

    @property
    def _stopping(self) -> bool:
        return self._directive is not None and self._directive.action == "stop"

    @property
    def _ending(self) -> bool:
        return self._stopping or self._leaving is not None

    def _follow(self, now_s: float) -> list[Effect]:
        directive = self._directive
        if directive is None or self._leaving is not None:
            return []
        if self._ranks is _Ranks.GOING:
            return []
        if directive.action == "stop":
            return self._stop(directive, now_s)
        if directive.generation <= self.generation:
            # `hold` names the generation to come: for one that is here already, it is an old word.
            return self._ask_for_checkpoint(directive)
        if self._ranks is _Ranks.UP:
            return [*self._report_progress(now_s), self._kill()]
        effects: list[Effect] = []
        if directive.generation - 1 > self._confirmed:
            effects.append(self._confirm(directive.generation - 1))
        return effects + (self._start(directive) if directive.action == "run" else [])

    def _start(self, directive: Directive) -> list[Effect]:
        self.generation = directive.generation
        self._ranks = _Ranks.UP
        self._started = self._finishing = False
        self._well, self._ready = set(), set()
        self.step = self._reached_step = 0
        self._checkpoints_asked = directive.checkpoint
        return [Start(directive.generation, directive.rendezvous)]

    def _stop(self, directive: Directive, now_s: float) -> list[Effect]:
        if self._ranks is _Ranks.NONE:
            self._leaving = Exit(facts_matter=True)
            return [self._confirm(directive.generation), self._leaving]
        if directive.grace_s <= 0 or not self._started:
            return [*self._report_progress(now_s), self._kill()]
        at_s = now_s + directive.grace_s
        if self._term_at_s is not None or self._kill_at_s is not None:
            self._term_at_s = at_s if self._term_at_s is None else min(self._term_at_s, at_s)
            return []
        self._term_at_s = at_s
        return [Tell({"t": "stop", "save": directive.save}), Terminate(only_silent=True)]

    def _ask_for_checkpoint(self, directive: Directive) -> list[Effect]:
        # A server that has restarted counts from zero again.
        asked, self._checkpoints_asked = self._checkpoints_asked, directive.checkpoint
        if self._ranks is _Ranks.UP and directive.checkpoint > asked:
            return [Tell({"t": "checkpoint"})]
        return []

    def _kill(self) -> Effect:
        self._ranks = _Ranks.GOING
        return Kill()

    def _confirm(self, generation: int) -> Effect:
        self._confirmed = max(self._confirmed, generation)
        return Report(RanksStopped(**(self._gang() | {"generation": generation})))

    def _rank_ready(self, rank: int, line: ReadyLine) -> list[Effect]:
        if self._ready_at_start or self._ready >= self._local:
            return []
        # Only the rank that keeps the job's files knows how far they go.
        self._reached_step = max(self._reached_step, line.reached_step)
        self._ready.add(rank)
        if self._ready < self._local:
            return []
        self.step = max(self.step, line.resumed_step)
        return [
            Report(
                RanksReady(
                    **self._gang(),
                    resumed_step=line.resumed_step,
                    reached_step=self._reached_step,
                )
            )
        ]

    def _report_progress(self, now_s: float) -> list[Effect]:
        line, self._progress = self._progress, None
        if line is None:
            return []
        self._progress_at_s = now_s
        return [Report(ProgressMade(**self._gang(), step=line.step, metrics=line.metrics))]

    def _gang_failed(self, failure: Failure) -> Effect:
        return Report(GangFailed(**self._gang(), failure=failure, step=self.step))

    def _gang(self) -> dict[str, Any]:
        """What every fact about ranks carries."""
        return {
            "job": self._job,
            "epoch": self._epoch,
            "generation": self.generation,
            "node": self._node,
            "n": self._next_n(),
        }

    def _next_n(self) -> int:
        self._n += 1
        return self._n
