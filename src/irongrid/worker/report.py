"""The line to the server: an outbox of facts, a beat each second, a long poll for directives.

Two threads wait on the network, so that the loop which watches ranks never does. Facts stay in the
outbox until the server has answered for them. A server that does not answer is tried again and
again, at whatever address its file then names.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from irongrid.client.worker import WorkerClient
from irongrid.domain.codec import to_json
from irongrid.domain.event import CheckpointFailed, ProgressMade, WorkerFact
from irongrid.domain.messages import Beat, Directive, LaunchOrder, WorkerReport
from irongrid.errors import Fenced, Unreachable
from irongrid.worker.place import folder_of, place_file

BEAT_S = 1.0
_BACKOFF_S = (0.1, 2.0)
# The server takes a megabyte; a single fact is far below that.
_REPORT_BYTES = 2**18
_OPTIONAL_FACTS = 200
_HOMELESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A directive that is new to this worker."""

    directive: Directive


@dataclass(frozen=True, slots=True)
class CutOff:
    """The attempt is over for this worker, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The server has heard facts."""


News = Heard | CutOff | Answered


class Link:
    """Speaks to the server on threads of its own.

    Attributes:
        last_contact_s: monotonic time at which the last answered request was sent.
    """

    def __init__(self, order: LaunchOrder, post: Callable[[News], None]) -> None:
        self._job, self._epoch, self._node = order.job, order.epoch, order.node
        self._address_file = Path(order.address_file)
        self._place_file = place_file(folder_of(order))
        self._token = order.token
        self._post = post
        self._changed = threading.Condition()
        self._facts: list[WorkerFact] = []
        self._beat = Beat()
        self._sent_n = 0
        self._answered_n = 0
        self._version = 0
        self._closed = False
        self._homeless_since_s: float | None = None
        self.last_contact_s = time.monotonic()

    def start(self) -> None:
        """Begin to report and to listen."""
        for name, loop in (("report", self._report_loop), ("listen", self._listen_loop)):
            threading.Thread(target=loop, name=name, daemon=True).start()

    def put(self, fact: WorkerFact) -> None:
        """Report a fact, soon and until it is durable.

        While the server is away a long time, facts that later ones make up for are not piled up.
        """
        with self._changed:
            if len(self._facts) >= _OPTIONAL_FACTS:
                if isinstance(fact, ProgressMade | CheckpointFailed):
                    return
                self._facts = [each for each in self._facts if not isinstance(each, ProgressMade)]
            self._facts.append(fact)
            self._changed.notify_all()

    def beat(self, beat: Beat) -> None:
        """What the next beat says."""
        self._beat = beat

    def all_answered(self) -> bool:
        """Whether the server has heard every fact."""
        with self._changed:
            return not self._facts or self._facts[-1].n <= self._answered_n

    def close(self) -> None:
        """Stop both threads as soon as they notice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # ---- reporting ----------------------------------------------------------------------------

    def _report_loop(self) -> None:
        client = WorkerClient(self._address_file, self._token)
        pause_s = _BACKOFF_S[0]
        while (report := self._next_report()) is not None:
            sent_at_s = time.monotonic()
            try:
                answer = client.report(report)
            except Fenced as problem:
                self._post(CutOff(problem.problem))
                return
            except Unreachable:
                pause_s = self._pause(pause_s)
                continue
            pause_s = _BACKOFF_S[0]
            self._contact(sent_at_s)
            with self._changed:
                self._facts = [fact for fact in self._facts if fact.n > answer.accepted_n]
                self._answered_n = max([self._answered_n, *(fact.n for fact in report.facts)])
            if report.facts:
                self._post(Answered())
            self._hear(answer.directive)

    def _next_report(self) -> WorkerReport | None:
        """The next report when it is due: at once for a new fact, else with the beat."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_news(), timeout=BEAT_S)
            if self._closed:
                return None
            facts = _first_of(self._facts)
            if facts:
                self._sent_n = max(self._sent_n, facts[-1].n)
        return WorkerReport(
            job=self._job, epoch=self._epoch, node=self._node, beat=self._beat, facts=facts
        )

    def _has_news(self) -> bool:
        return bool(self._facts) and self._facts[-1].n > self._sent_n

    # ---- listening ----------------------------------------------------------------------------

    def _listen_loop(self) -> None:
        client = WorkerClient(self._address_file, self._token)
        pause_s = _BACKOFF_S[0]
        while not self._closed:
            sent_at_s = time.monotonic()
            try:
                directive = client.directive(self._node, self._version)
            except Fenced as problem:
                self._post(CutOff(problem.problem))
                return
            except Unreachable:
                pause_s = self._pause(pause_s)
                continue
            pause_s = _BACKOFF_S[0]
            self._contact(sent_at_s)
            self._hear(directive)

    def _hear(self, directive: Directive) -> None:
        # Answers of two connections may overtake each other; versions put them in order.
        with self._changed:
            if directive.version <= self._version:
                return
            self._version = directive.version
            self._post(Heard(directive))

    # ---- without a server ---------------------------------------------------------------------

    def _contact(self, sent_at_s: float) -> None:
        self.last_contact_s = max(self.last_contact_s, sent_at_s)
        self._homeless_since_s = None

    def _pause(self, pause_s: float) -> float:
        """Wait before the next try; returns the pause after that."""
        self._notice_a_lost_home()
        with self._changed:
            # Another server may count anew. Its directives are complete, so each may be taken.
            self._version = 0
            self._sent_n = self._answered_n
            self._changed.wait_for(lambda: self._closed, timeout=pause_s)
        return min(2 * pause_s, _BACKOFF_S[1])

    def _notice_a_lost_home(self) -> None:
        """Without its own file no server will ever find this worker again."""
        if self._place_file.exists():
            self._homeless_since_s = None
            return
        now_s = time.monotonic()
        if self._homeless_since_s is None:
            self._homeless_since_s = now_s
        elif now_s - self._homeless_since_s > _HOMELESS_S:
            self._post(CutOff(f"{self._place_file} is gone, and no server answers"))


def _first_of(facts: list[WorkerFact]) -> tuple[WorkerFact, ...]:
    """As many of the oldest facts as fit into one report, and one at least."""
    size_bytes = 0
    for count, fact in enumerate(facts):
        size_bytes += len(json.dumps(to_json(fact)))
        if count and size_bytes > _REPORT_BYTES:
            return tuple(facts[:count])
    return tuple(facts)
