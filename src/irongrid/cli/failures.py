"""Errors as people and programs see them on the command line: exit code, sentence, way out."""

from dataclasses import dataclass, field
from typing import Any

from irongrid.errors import (
    IrongridError,
    NotFound,
    Problem,
    Refused,
    SpecError,
    StoreError,
    Unauthorised,
    Unreachable,
)

DONE = 0
THE_ANSWER_IS_NO = 1
YOUR_INPUT = 2
NOT_REACHABLE = 3
OUR_FAULT = 4
INTERRUPTED = 130
"""What shells report for Ctrl-C. Nothing but the watching has ended; see each verb's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An error, ready to print.

    Attributes:
        details: further problems of the same report, as JSON values.
    """

    exit_code: int
    code: str
    problem: str
    fix: str = ""
    details: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints in place of an answer."""
        return {
            "error": {
                "code": self.code,
                "problem": self.problem,
                "fix": self.fix,
                "details": self.details,
            },
            "exit_code": self.exit_code,
        }

    def lines(self) -> list[str]:
        """What a person reads on stderr."""
        lines = [f"irongrid: {self.problem}"]
        for detail in self.details:
            lines.append(f"  {_place(detail)}{detail['problem']}")
            if detail["fix"]:
                lines.append(f"      -> {detail['fix']}")
        if self.fix:
            lines.append(f"  -> {self.fix}")
        return lines


def shown(error: IrongridError) -> Shown:
    """How an error of ours looks on the command line."""
    if isinstance(error, SpecError):
        return _of_spec(error)
    if isinstance(error, Unreachable):
        problem = f"{error.target}: {error.problem}"
        return Shown(exit_code=NOT_REACHABLE, code="unreachable", problem=problem, fix=error.fix)
    if isinstance(error, Unauthorised):
        fix = error.fix or "is IRONGRID_HOME the home of this server? its token file opens the door"
        return Shown(exit_code=NOT_REACHABLE, code=error.code, problem=error.problem, fix=fix)
    if isinstance(error, NotFound):
        # A job without output yet is there: that is an answer, not a mistake.
        exit_code = THE_ANSWER_IS_NO if error.code == "no_attempt" else YOUR_INPUT
        return Shown(exit_code=exit_code, code=error.code, problem=error.problem, fix=error.fix)
    if isinstance(error, Refused):
        return Shown(
            exit_code=THE_ANSWER_IS_NO, code=error.code, problem=error.problem, fix=error.fix
        )
    if isinstance(error, StoreError):
        return Shown(exit_code=THE_ANSWER_IS_NO, code="store", problem=str(error))
    return Shown(exit_code=OUR_FAULT, code="internal", problem=str(error))


def _of_spec(error: SpecError) -> Shown:
    details = [
        {
            "source": problem.source,
            "line": problem.line,
            "field": problem.field,
            "problem": problem.problem,
            "fix": problem.fix,
        }
        for problem in error.problems
    ]
    if len(details) == 1:
        only = details[0]
        problem = f"{_place(only)}{only['problem']}"
        return Shown(exit_code=YOUR_INPUT, code="bad_input", problem=problem, fix=str(only["fix"]))
    return Shown(
        exit_code=YOUR_INPUT,
        code="bad_input",
        problem=f"{len(details)} problems",
        details=details,
    )


def _place(detail: dict[str, Any]) -> str:
    source = (
        "" if detail["source"] in ("", "server", "irongrid", "<input>") else str(detail["source"])
    )
    if source and detail["line"] is not None:
        source += f":{detail['line']}"
    return "".join(f"{part}: " for part in (source, detail["field"]) if part)


def wrong_input(problem: str, fix: str) -> SpecError:
    """An error about what was typed."""
    return SpecError([Problem(field="", problem=problem, fix=fix, source="irongrid")])
