"""What other threads ask of the state thread, and how they get their answers."""

import asyncio
import concurrent.futures
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from irongrid.control.state import State
from irongrid.domain.decision import Wait
from irongrid.domain.event import OF_NO_JOB, Decided, Event
from irongrid.domain.ids import JobId
from irongrid.ports import JobEnvironment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """Facts to log, and what to answer once they are durable.

    Attributes:
        answer: computed from the committed state and the time.
        environments: secret values that the facts need; kept beside the log, never in it.
    """

    events: tuple[Event, ...]
    answer: Callable[[State, int], T]
    environments: tuple[JobEnvironment, ...] = ()


# Runs on the state thread, in the order of arrival; reads the state, changes nothing itself.
Work = Callable[[State, int], Change[T]]
AnyFuture = asyncio.Future[Any] | concurrent.futures.Future[Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A request in the queue of the state thread.

    Attributes:
        writes: the answer may rest on facts of the same transaction, so it fails with it.
    """

    request: Work[Any]
    reply: AnyFuture
    writes: bool


class Replies:
    """Answers on their way to other threads: one wake-up of the event loop for a whole batch."""

    def __init__(self) -> None:
        self._answers: list[_Answer] = []

    def add(self, reply: AnyFuture, value: Any, problem: BaseException | None) -> None:
        """Answer one request when `send` is called."""
        self._answers.append((reply, value, problem))

    def clear(self) -> None:
        """Take back what has not been sent."""
        self._answers = []

    def send(self) -> None:
        """Let the other threads see what has been added."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = defaultdict(list)
        answers, self._answers = self._answers, []
        for answer in answers:
            if isinstance(answer[0], asyncio.Future):
                by_loop[answer[0].get_loop()].append(answer)
            else:
                _settle([answer])
        for loop, of_loop in by_loop.items():
            # A closed loop has nobody left who could hear.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, of_loop)


_Answer = tuple[AnyFuture, Any, BaseException | None]


def _settle(answers: list[_Answer]) -> None:
    for reply, value, problem in answers:
        if reply.done():
            continue  # The caller has gone away.
        if problem is not None:
            reply.set_exception(problem)
        else:
            reply.set_result(value)


def jobs_of(event: Event) -> Iterator[JobId]:
    """The jobs whose state or directives an event may change."""
    if isinstance(event, Decided):
        for action in event.decision.actions:
            if not isinstance(action, Wait):
                yield action.job
    elif not isinstance(event, OF_NO_JOB):
        yield event.job
