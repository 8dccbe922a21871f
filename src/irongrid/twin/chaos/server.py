"""The control plane around the real `control`: a log, turns, commands, and crashes at any step.

It does what the server's state thread and its helpers do: a turn works out facts, commits them
together, and only then answers and acts. What is not committed is gone with a crash; a new life
begins with the log, or a snapshot and the rest of the log, and nothing else.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from irongrid.control import requests, snapshot
from irongrid.control.apply import apply
from irongrid.control.commands import commands, directive, outstanding
from irongrid.control.decide import decide, evacuate, next_wakeup_ns
from irongrid.control.state import State
from irongrid.domain.codec import canonical, from_json, to_json
from irongrid.domain.command import Command, Launch
from irongrid.domain.decision import Start
from irongrid.domain.event import (
    OF_NO_JOB,
    Decided,
    Event,
    JobSubmitted,
    LaunchAccepted,
    LaunchRefused,
    NodeClosed,
    NodeOpened,
    Recorded,
    ServerStarted,
    ServerStopped,
)
from irongrid.domain.ids import JobId
from irongrid.domain.messages import ReportAnswer, WorkerReport
from irongrid.errors import IrongridError
from irongrid.scheduler.cluster import Policy
from irongrid.twin.chaos.cluster import Cluster, Look, Place
from irongrid.twin.chaos.worker import LEASE_S
from irongrid.units import NS_PER_S

MERGE_S = 0.01
_LOOK_S = 10.0
# A worker looks at its lease every 20 s and may need 8 s to end its ranks.
_LEASE_MARGIN_S = 35.0
_SNAPSHOT_EVERY = 500
# Rounds on a timer, one after another, that decide nothing.
_MOST_IN_VAIN = 100
# Of servers that come back: so many are told to decide in another way.
_ANOTHER_POLICY = 0.25

# Where a crash can be aimed at; `submitted` and `started` are commits of just that.
PLACES = ("request", "decide", "commit", "submitted", "started", "committed", "answer", "act")

Request = Callable[[State], Iterable[Event]]
Reply = Callable[[State, IrongridError | None], None]


class Crash(BaseException):
    """The process is gone, between two steps."""


class ControlPlane:
    """One server after another over one store."""

    def __init__(self, cluster: Cluster, policies: Sequence[Policy | None]) -> None:
        """
        Args:
            policies: the first server's, and others that a later one may be started with.
        """
        self.state: State | None = None
        self.lives = 0
        self._cluster = cluster
        self._time = cluster.time
        self._mail = cluster.mail
        self._ledger = cluster.ledger
        self._policies = policies
        self._policy = policies[0]
        self._snapshot: list[str] | None = None
        self._crash_place = ""
        self._crash_in: int | None = None
        cluster.report = self.report
        self._start()

    # ---- lives

    def crash_at(self, place: str, steps: int) -> None:
        """Let the process go after so many more steps of one of `PLACES`; empty is of any."""
        if self.state is not None:
            self._crash_place, self._crash_in = place, steps

    def _step(self, place: str) -> None:
        """A moment at which a process can be gone."""
        if self._crash_in is not None and self._crash_place in ("", place):
            self._crash_in -= 1
            if self._crash_in < 0:
                raise Crash

    def restart(self) -> None:
        """A person stops the server in order, and starts it again."""
        self.ask(lambda state: (ServerStopped(server_epoch=state.server_epoch),), self._stopped)

    def _stopped(self, state: State, problem: IrongridError | None) -> None:
        if state is self.state:
            self._go_down()

    def evacuate(self) -> None:
        """A person wants all jobs to save, stop, and wait again."""

        def request(state: State) -> list[Event]:
            decision = evacuate(state)
            return [] if decision is None else [Decided(decision=decision)]

        self.ask(request, None)

    def _die(self) -> None:
        self._cluster.happens("crash")
        self._go_down()

    def _go_down(self) -> None:
        self.state, self._crash_in = None, None
        down_s = self._time.draw.choice([0.5, 5.0, 30.0, 90.0])
        self._time.after(self._time.draw.uniform(0, down_s), self._start)

    def _start(self) -> None:
        """A server takes the store over."""
        self.lives += 1
        state = self._load()
        if self.lives > 1:
            self._ledger.restarted(state)
        if self.lives > 1 and self._time.draw.random() < _ANOTHER_POLICY:
            self._policy = self._time.draw.choice(self._policies)
        state.use(self._policy)
        self.state = state
        self._inbox: list[tuple[Request, Reply | None]] = []
        self._heard: dict[Place, int] = {}
        self._newest_look = 0
        self._decided_ns = self._in_vain = 0
        self._decide_at_ns: int | None = self._time.now_ns
        self._turn_at_ns: int | None = None
        first = ServerStarted(
            server_epoch=state.server_epoch + 1,
            irongrid_version="chaos",
            nodes=self._cluster.nodes,
        )
        self.ask(lambda state: (first,), None)
        self._act(outstanding(state))
        life = self.lives
        self._time.after(_LOOK_S, lambda: self._look(life))

    def _load(self) -> State:
        """I6: the log alone suffices; a snapshot and the rest of the log are a shortcut."""
        draw, state = self._time.draw, State()
        if self._snapshot is not None and draw.random() < 0.5:
            state = snapshot.load(self._snapshot)
        through_text = draw.random() < 0.03
        for recorded in self._ledger.log[state.seq :]:
            apply(state, _written(recorded) if through_text else recorded)
        return state

    # ---- turns

    def ask(self, request: Request, reply: Reply | None) -> None:
        """Queue a request; nobody hears an answer before its facts are durable."""
        if self.state is None:
            return
        self._inbox.append((request, reply))
        self._plan_turn(self._time.now_ns)

    def _plan_turn(self, at_ns: int) -> None:
        if self._turn_at_ns is not None and self._turn_at_ns <= at_ns:
            return
        life = self.lives
        self._turn_at_ns = at_ns = max(at_ns, self._time.now_ns)

        def due() -> None:
            if self.lives == life and self.state is not None and self._turn_at_ns == at_ns:
                self._turn_at_ns = None
                self._turn(self.state)

        self._time.at(at_ns, due)

    def _turn(self, state: State) -> None:
        inbox, self._inbox = self._inbox, []
        batch: list[Recorded] = []
        todo: list[Command] = []
        replies: list[tuple[Reply, IrongridError | None]] = []
        try:
            for request, reply in inbox:
                self._step("request")
                problem: IrongridError | None = None
                try:
                    for event in request(state):
                        self._record(state, batch, todo, event)
                except IrongridError as no:
                    problem = no
                if reply is not None:
                    replies.append((reply, problem))
            self._decide(state, batch, todo)
            self._finish(state, batch, replies)
            self._act(todo)
        except Crash:
            self._die()
            return
        if self.state is not state:
            return  # Somebody has stopped it.
        self._tell_workers(state, batch)
        due = [
            at
            for at in (next_wakeup_ns(state, self._decided_ns), self._decide_at_ns)
            if at is not None
        ]
        if due:
            self._plan_turn(max(min(due), self._decided_ns + round(MERGE_S * NS_PER_S)))

    def _record(
        self, state: State, batch: list[Recorded], todo: list[Command], event: Event
    ) -> None:
        recorded = Recorded(state.seq + 1, max(self._time.now_ns, state.at_ns), event)
        apply(state, recorded)
        batch.append(recorded)
        todo.extend(commands(recorded, state))

    def _decide(self, state: State, batch: list[Recorded], todo: list[Command]) -> None:
        now_ns, wakeup_ns = self._time.now_ns, next_wakeup_ns(state, self._decided_ns)
        woken = wakeup_ns is not None and wakeup_ns <= now_ns
        if not (batch or woken or self._decide_at_ns is not None):
            return
        due_ns = self._decided_ns + round(MERGE_S * NS_PER_S)
        if now_ns < due_ns:
            self._decide_at_ns = due_ns
            return
        self._step("decide")
        decision = decide(state, now_ns)
        self._decided_ns, self._decide_at_ns = now_ns, None
        self._in_vain = self._in_vain + 1 if woken and decision is None else 0
        if self._in_vain > _MOST_IN_VAIN:
            self._ledger.says("I10: a timer is due for ever and no round ends it")
        if decision is not None:
            self._record(state, batch, todo, Decided(decision=decision))
            self._decide_at_ns = now_ns + round(MERGE_S * NS_PER_S)

    def _finish(
        self,
        state: State,
        batch: list[Recorded],
        replies: list[tuple[Reply, IrongridError | None]],
    ) -> None:
        """First the log, and only then the answers."""
        self._commit(state, batch)
        self._answer(state, replies)

    def _commit(self, state: State, batch: list[Recorded]) -> None:
        for recorded in batch:
            self._step(_place_of(recorded.event))
        before = len(self._ledger.log) // _SNAPSHOT_EVERY
        for recorded in batch:
            self._ledger.committed(recorded)
        if len(self._ledger.log) // _SNAPSHOT_EVERY > before:
            self._snapshot = list(snapshot.dump(state))
        if batch:
            self._step("committed")

    def _answer(self, state: State, replies: list[tuple[Reply, IrongridError | None]]) -> None:
        for reply, problem in replies:
            self._step("answer")
            reply(state, problem)

    # ---- effects

    def _act(self, todo: Iterable[Command]) -> None:
        for command in todo:
            self._step("act")
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        if not isinstance(command, Launch):
            self._mail.send(lambda: self._cluster.stop(command))
            return

        def launch() -> None:
            taken = self._cluster.launch(command)
            about: dict[str, Any] = {"job": command.job, "epoch": command.epoch}
            if taken is not None:
                answer: Event = (
                    LaunchAccepted(**about)
                    if taken
                    else LaunchRefused(**about, message="the cluster is full")
                )
                self._mail.send(lambda: self.ask(lambda state: (answer,), None))

        self._mail.send(launch)

    def _look(self, life: int) -> None:
        """Ask the engine what is gone, look at leases, and send again what was not answered."""
        state = self.state
        if self.lives != life or state is None:
            return
        self._time.after(_LOOK_S, lambda: self._look(life))
        wanted = requests.wanted_workers(state)
        self._mail.send(lambda: self._ask_engine(wanted))
        silent_ns = self._time.now_ns - round((LEASE_S + _LEASE_MARGIN_S) * NS_PER_S)
        for place in wanted:
            if self._heard.setdefault(place, self._time.now_ns) < silent_ns:
                self.ask(partial(_gone, place=place, proof="lease"), None)
        try:
            self._act(outstanding(state))
        except Crash:
            self._die()

    def _ask_engine(self, wanted: list[Place]) -> None:
        look = self._cluster.look(wanted)
        self._mail.send(lambda: self.ask(lambda state: self._seen(state, look), None))

    def _seen(self, state: State, look: Look) -> list[Event]:
        """Facts that follow from what the engine saw; an overtaken look tells less."""
        found: list[Event] = []
        for one in look.gone:
            found += _gone(state, place=(one.job, one.epoch, one.node), proof="engine")
        if look.number < self._newest_look:
            return found
        self._newest_look = look.number
        for node, (reason, leaves) in look.closed.items():
            if state.closed.get(node) != reason:
                found.append(NodeClosed(node=node, reason=reason, leaves=leaves))
        found += [NodeOpened(node=node) for node in state.closed if node not in look.closed]
        return found

    # ---- workers

    def report(self, news: WorkerReport, reply: Callable[[ReportAnswer | None], None]) -> None:
        """A worker's news; the answer is what it should do now, or a fence."""

        def answer(state: State, problem: IrongridError | None) -> None:
            if problem is not None:
                reply(None)
                return
            accepted_n = max((fact.n for fact in news.facts), default=0)
            try:
                wanted = directive(state, news.job, news.epoch, news.node)
            except IrongridError:
                reply(None)
            else:
                reply(ReportAnswer(accepted_n=accepted_n, directive=wanted))

        def request(state: State) -> Iterable[Event]:
            self._heard[news.job, news.epoch, news.node] = self._time.now_ns
            return requests.report(state, news)

        self.ask(request, answer)

    def _tell_workers(self, state: State, batch: list[Recorded]) -> None:
        """Directives that may have changed go out at once, as answers to long polls."""
        changed: dict[JobId, None] = {}
        for recorded in batch:
            event = recorded.event
            if isinstance(event, Decided):
                changed.update((action.job, None) for action in event.decision.actions)
            elif not isinstance(event, OF_NO_JOB):
                changed[event.job] = None
        for job_id in changed:
            job = state.jobs[job_id]
            attempt = job.attempt or (job.past[-1] if job.past else None)
            for node in attempt.members if attempt is not None else ():
                worker = self._cluster.worker((job_id, job.epoch, node))
                if worker is not None and worker.alive:
                    wanted = directive(state, job_id, job.epoch, node)
                    self._mail.send(partial(worker.hear, wanted), node)


def _place_of(event: Event) -> str:
    """What a crash in the last moment before the commit would undo."""
    if isinstance(event, Decided):
        starts = any(isinstance(action, Start) for action in event.decision.actions)
        return "started" if starts else "commit"
    return "submitted" if isinstance(event, JobSubmitted) else "commit"


def _written(recorded: Recorded) -> Recorded:
    """A record as a store gives it back."""
    text = canonical(to_json(recorded.event))
    event: Event = from_json(type(recorded.event), json.loads(text))
    return Recorded(recorded.seq, recorded.at_ns, event)


def _gone(state: State, place: Place, proof: str) -> list[Event]:
    event = requests.worker_gone(state, *place, proof)
    return [] if event is None else [event]
