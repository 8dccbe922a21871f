"""A worker as the contract of `domain.messages.Directive` wants it, over an unreliable mail.

It numbers its facts and sends them until they are answered, starts a generation at most once, stops
an older one before, and ends its ranks when its lease has run out.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from irongrid.domain.event import (
    CheckpointCommitted,
    GangFailed,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    WorkerFact,
    WorkerJoined,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Beat, Directive, ReportAnswer, WorkerReport
from irongrid.twin.chaos.gang import Gang
from irongrid.units import NS_PER_S

if TYPE_CHECKING:
    from irongrid.twin.chaos.cluster import Cluster

LEASE_S = 60.0
# Between two reports without news; also how soon an unanswered fact is sent again.
_BEAT_S = 20.0
_AGAIN_S = 5.0
_BEAT = Beat()
KILLED = Failure(code=FailureCode.SIGNAL, signal="SIGKILL", rank=0, message="rank 0 was killed")
LOST_PEER = Failure(code=FailureCode.LOST_PEER, message="a peer is gone")


class _Ranks(Enum):
    NONE = auto()
    UP = auto()
    GOING = auto()


class Worker:
    """One node's worker of one attempt."""

    def __init__(
        self, cluster: Cluster, job: JobId, epoch: int, node: NodeId, devices: tuple[int, ...]
    ) -> None:
        self.job, self.epoch, self.node = job, epoch, node
        self.devices = devices
        self.alive = True
        self._cluster = cluster
        self._time = cluster.time
        self._n = 0
        self._outbox: list[WorkerFact] = []
        self._directive: Directive | None = None
        self._generation = 0
        self._confirmed = 0
        self._ranks = _Ranks.NONE
        self._started = False
        self._finishing = False
        self._saving = False
        self._leaving = False
        self._cut_off = False
        self._contact_ns = self._time.now_ns
        self._gang: Gang | None = None
        rendezvous = f"{node}:1"
        self._tell(
            WorkerJoined(job=job, epoch=epoch, node=node, n=1, rendezvous=rendezvous, limits="none")
        )
        self._beats()

    # ---- news

    def _tell(self, fact: WorkerFact) -> None:
        self._n = fact.n
        self._cluster.ledger.told(fact)
        self._outbox.append(fact)
        self._report()

    def _report(self) -> None:
        facts, sent_ns = tuple(self._outbox), self._time.now_ns
        news = WorkerReport(job=self.job, epoch=self.epoch, node=self.node, beat=_BEAT, facts=facts)
        self._cluster.to_server(news, lambda answer: self._answered(sent_ns, answer))

    def _beats(self) -> None:
        """Report again and again, and look at the lease."""
        if not self.alive:
            return
        if self._time.now_ns - self._contact_ns > LEASE_S * NS_PER_S:
            self.cut_off()
            return
        self._time.after(_AGAIN_S if self._outbox else _BEAT_S, self._beats)
        self._report()

    def _answered(self, sent_ns: int, answer: ReportAnswer | None) -> None:
        """The server's word; None is a fence."""
        if not self.alive:
            return
        if answer is None:
            self.cut_off()
            return
        self._contact_ns = max(self._contact_ns, sent_ns)
        self._outbox = [fact for fact in self._outbox if fact.n > answer.accepted_n]
        self.hear(answer.directive)
        if self._leaving and not self._outbox:
            self.alive = False

    def _gang_facts(self, generation: int | None = None) -> dict[str, Any]:
        return {
            "job": self.job,
            "epoch": self.epoch,
            "node": self.node,
            "generation": self._generation if generation is None else generation,
            "n": self._n + 1,
        }

    # ---- directives

    def hear(self, directive: Directive) -> None:
        """Follow a directive, if it is newer than what is known."""
        known = self._directive
        if not self.alive or (known is not None and directive.version <= known.version):
            return
        if known is not None and known.action == "stop" and directive.action != "stop":
            return
        self._directive = directive
        self._follow()

    def _follow(self) -> None:
        wanted = self._directive
        if wanted is None or self._leaving or self._cut_off or self._ranks is _Ranks.GOING:
            return
        if wanted.action == "stop":
            self._stop(wanted)
        elif wanted.generation > self._generation:
            if self._ranks is _Ranks.UP:
                self._kill()
                return
            if wanted.generation - 1 > self._confirmed:
                self._confirm(wanted.generation - 1)
            if wanted.action == "run":
                self._start(wanted.generation)

    def _stop(self, wanted: Directive) -> None:
        if self._ranks is _Ranks.NONE:
            self._leaving = True
            self._confirm(wanted.generation)
        elif not wanted.save or not self._started or self._gang is None:
            self._kill()
        elif not self._saving:
            self._saving = True
            gang, step = self._gang, self._gang.step()
            self._time.after(self._time.draw.uniform(0.1, 5), lambda: self._last_save(gang, step))

    def _last_save(self, gang: Gang, step: int) -> None:
        if self.alive and self._ranks is _Ranks.UP and self._gang is gang:
            gang.save(step)
            self._kill()

    def _confirm(self, generation: int) -> None:
        self._confirmed = max(self._confirmed, generation)
        self._tell(RanksStopped(**self._gang_facts(generation)))

    # ---- ranks

    def _start(self, generation: int) -> None:
        self._generation = generation
        self._ranks = _Ranks.UP
        self._started = self._finishing = self._saving = False
        self._cluster.ledger.ranks_up(self.job, self.epoch, generation, self.node, self.devices)
        gang = self._gang = self._cluster.gang(self.job, self.epoch, generation)
        gang.enter(self)
        draw = self._time.draw
        slow = 4 if self._cluster.mail.is_slow(self.node) else 1
        self._time.after(slow * draw.uniform(0.1, 2), lambda: self._are_up(gang))
        self._time.after(slow * draw.uniform(2, 10), lambda: self._are_ready(gang))

    def _works(self, gang: Gang) -> bool:
        return self.alive and self._ranks is _Ranks.UP and self._gang is gang

    def _are_up(self, gang: Gang) -> None:
        if self._works(gang):
            self._started = True
            self._tell(RanksStarted(**self._gang_facts()))

    def _are_ready(self, gang: Gang) -> None:
        if self._works(gang):
            step = gang.ready(self)
            self._tell(RanksReady(**self._gang_facts(), resumed_step=step))

    def progress(self, step: int) -> None:
        """The first rank has come so far."""
        self._tell(ProgressMade(**self._gang_facts(), step=step, metrics={}))

    def saved(self, step: int) -> None:
        """The ranks have written a checkpoint."""
        about = self._gang_facts()
        fact = CheckpointCommitted(
            **about, step=step, path="chaos", size_bytes=1, written_bytes=1, age_ns=0, stall_ns=0
        )
        self._tell(fact)

    def ended_well(self, gang: Gang) -> None:
        """All ranks of the node have ended with exit code 0."""
        if self._works(gang):
            self._finishing = not (self._directive and self._directive.action == "stop")
            self._kill()

    def lost_peer(self, gang: Gang) -> None:
        """Ranks of another node are gone."""
        if self._works(gang):
            self._failed(LOST_PEER)

    def rank_failed(self) -> None:
        """A rank fails."""
        if self.alive and self._ranks is _Ranks.UP:
            self._failed(KILLED if self._time.draw.random() < 0.8 else _USERS_OWN)

    def _failed(self, failure: Failure) -> None:
        stopping = self._directive is not None and self._directive.action == "stop"
        if not stopping and self._gang is not None:
            step = self._gang.step()
            self._tell(GangFailed(**self._gang_facts(), failure=failure, step=step))
        self._kill()

    def _kill(self) -> None:
        self._ranks = _Ranks.GOING
        most_s = 8.0 if self._cluster.mail.is_slow(self.node) else 2.0
        self._time.after(self._time.draw.uniform(0.05, most_s), self._gone)

    def _gone(self) -> None:
        """No process of the ranks is left."""
        if not self.alive or self._ranks is not _Ranks.GOING:
            return
        self._ranks_are_gone()
        if self._cut_off:
            self.alive = False
        elif self._finishing:
            self._finishing = False
            self._tell(RanksFinished(**self._gang_facts()))
        elif not (self._directive and self._directive.action == "stop"):
            self._confirm(self._generation)
        self._follow()

    def _ranks_are_gone(self) -> None:
        self._ranks = _Ranks.NONE
        self._cluster.ledger.ranks_down(self.job, self.node, self.devices)
        gang, self._gang = self._gang, None
        if gang is not None:
            gang.leave(self)

    # ---- ends

    def cut_off(self) -> None:
        """A newer epoch has taken over, or the lease has run out: end without a word."""
        self._cut_off = True
        if self._ranks is _Ranks.NONE:
            self.alive = False
        elif self._ranks is _Ranks.UP:
            self._kill()

    def vanish(self) -> None:
        """Worker and ranks are gone at once: a node that broke, or a kill by the engine."""
        if self.alive:
            self.alive = False
            if self._ranks is not _Ranks.NONE:
                self._ranks_are_gone()


_USERS_OWN = Failure(code=FailureCode.EXIT_CODE, exit_code=1, rank=0, message="rank 0: exit 1")
