"""The tree of errors. Each carries its parts as fields, so that a program can act on them."""

from collections.abc import Sequence
from dataclasses import dataclass


class IrongridError(Exception):
    """Any error that Irongrid raises on purpose."""


class CodecError(IrongridError):
    """A JSON value does not have the shape that a type asks for."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'value'}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a file that a person wrote, and the way out."""

    field: str
    problem: str
    fix: str
    source: str = "<input>"
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line is not None else self.source
        where = f"{place}: {self.field}" if self.field else place
        return f"{where}: {self.problem}. {self.fix}"


class SpecError(IrongridError):
    """A file that a person wrote cannot be used. Holds every problem, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Refused(IrongridError):
    """The request is well formed, but the answer is no.

    Attributes:
        code: stable word for programs, such as `unknown_job`.
        problem: one sentence.
        fix: what to do about it.
    """

    def __init__(self, code: str, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}. {fix}" if fix else problem)
        self.code = code
        self.problem = problem
        self.fix = fix


class NotFound(Refused):
    """The thing asked for does not exist."""


class Conflict(Refused):
    """The thing exists, in a state that does not allow the request."""


class Fenced(Refused):
    """A newer epoch or generation has taken over; the caller must stop what it does."""


class Unauthorised(Refused):
    """No token, or one that does not allow the request."""


class Unreachable(IrongridError):
    """No answer from the other side. Repeating is safe.

    Attributes:
        target: who was asked.
        problem: what happened.
        fix: what to do about it.
    """

    def __init__(self, target: str, problem: str, fix: str = "") -> None:
        super().__init__(f"{target}: {problem}. {fix}" if fix else f"{target}: {problem}")
        self.target = target
        self.problem = problem
        self.fix = fix


class EngineRefused(IrongridError):
    """The engine said no to a launch. Repeating will not help."""


class EngineUnreachable(Unreachable):
    """The engine gave no answer. Repeating is safe: calls are idempotent."""


class StoreError(IrongridError):
    """The store cannot do what was asked: full disk, broken file, lost connection."""


class StoreHeld(StoreError):
    """Another server holds the store."""

    def __init__(self, holder: str) -> None:
        super().__init__(
            f"the store is held by {holder}. Stop that server first, or use its address"
        )
        self.holder = holder


class CheckpointDamaged(IrongridError):
    """A checkpoint is incomplete or does not match its checksums."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
